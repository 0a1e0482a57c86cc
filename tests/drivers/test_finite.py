"""A model whose stream overflows: every command ends with one line that names layer and site, and with status 2."""

import json
import re
import shutil

import pytest
from safetensors.numpy import load_file, save_file

GROUPS = ("safe", "risky")
ANSWERS = [{"text": " stop", "label": "a"}, {"text": " bet", "label": "b"}]
LINES = [
    {"prompt": f"you {word} choice:", "correct_answer": " stop", "incorrect_answer": " bet", "group": GROUPS[i % 2],
     "behaviour": "games", "split": "train"}
    for i, word in enumerate(("won.", "lost.", "won $5.", "lost. won."))
]  # fmt: skip


@pytest.fixture(scope="module")
def place(small, tmp_path_factory):
    """The small model, and the same with layer 1's MLP a thousand times as strong, beside prompts and features."""
    folder = tmp_path_factory.mktemp("finite")
    shutil.copytree(small / "model", folder / "model")
    shutil.copytree(small / "saes", folder / "saes")
    tensors = load_file(folder / "model" / "model.safetensors")
    tensors["model.layers.1.mlp.down_proj.weight"] = tensors["model.layers.1.mlp.down_proj.weight"] * 1e5
    save_file(tensors, folder / "model" / "model.safetensors", metadata={"format": "pt"})
    write(folder / "lines.jsonl", LINES)
    texts = [{"text": line["prompt"], "group": line["group"], "answers": ANSWERS} for line in LINES]
    write(folder / "texts.jsonl", texts)
    write(folder / "features.jsonl", [{"layer": 0, "feature": 3, "value_safe": 1.0, "value_risky": 1.0}])
    (folder / "corpus.json").write_text(json.dumps(["you won $5. choice: stop. you lost."] * 40))
    return folder


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


SWEEP = ("--prompts={}/texts.jsonl", "--features={}/features.jsonl", "--arms=baseline,patch", "--batch_rows=8")
COMMANDS = {
    "patch_sweep": (
        (*SWEEP, "--workdir={}/exact"),
        (*SWEEP, "--workdir={}/sampled", "--outcome=sampled", "--trials=2", "--max_new_tokens=2"),
    ),
    "screen": (("--prompts={}/texts.jsonl", "--groups=safe,risky", "--out={}/screen"),),
    "features": (("--prompts={}/lines.jsonl", "--out={}/features", "--keep=4", "--full"),),
    "evaluate": (("--prompts={}/lines.jsonl", "--out={}/evaluate"),),
    "attribute": (("--prompts={}/lines.jsonl", "--workdir={}/attribute"),),
    "intervene": (("--prompts={}/lines.jsonl", "--edits=0:1:3", "--workdir={}/intervene"),),
    "inspect": (("--data={}/corpus.json",),),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [name if name == "patch_sweep" else pytest.param(name, marks=pytest.mark.slow) for name in COMMANDS]
)
def test_one_line_and_status_2(name, drive, place):
    own = [f"--model={place / 'model'}", "--compute=float16"]
    own += [f"--dictionaries={place / 'saes'}"] * (name != "evaluate")
    for run in drive(name, *[[*own, *(flag.format(place) for flag in flags)] for flags in COMMANDS[name]]):
        assert run["status"] == 2, run["out"] + run["err"]
        *progress, line = run["err"].splitlines()
        assert all("Traceback" not in text for text in progress)
        assert re.search(r"layer 1 mlp_\w+ is not finite in float16, .*compute in bfloat16 or float32", line), line


@pytest.mark.slow
def test_an_edit_that_overflows_is_named_with_feature_and_arm(drive, small, place):
    write(place / "large.jsonl", [{"layer": 0, "feature": 3, "value_safe": 3e38, "value_risky": 3e38}])
    flags = [f"--model={small / 'model'}", f"--dictionaries={small / 'saes'}", *(f.format(place) for f in SWEEP),
             f"--features={place / 'large.jsonl'}"]  # fmt: skip
    runs = drive(
        "patch_sweep",
        [*flags, f"--workdir={place / 'large'}"],
        [*flags, f"--workdir={place / 'large_sampled'}", "--outcome=sampled", "--trials=2", "--max_new_tokens=2"],
    )
    for run in runs:
        assert run["status"] == 2, run["out"] + run["err"]
        assert re.search(
            r"prompt \d, arm patch:\w+ of layer 0 feature 3: layer 0 resid_post .*the edit there makes it so",
            run["err"],
        ), run["err"]

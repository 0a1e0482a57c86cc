"""Conversations in every command that takes prompts: rendered, shown, kept, and found by their turns."""

import json
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from causeway.drivers.stages.made_prompts import states as states_of
from causeway.drivers.stages.made_prompts import token_counts
from causeway.ports.dictionaries.load import save_dictionary
from causeway.ports.models.load import model_directory

TEMPLATE = (
    "{% if messages[0].role == 'assistant' %}{{ raise_exception('users begin') }}{% endif %}"
    "{% for m in messages %}{{ ' stop' * (m.role == 'system') }}{{ m.content }}{% endfor %}"
    "{{ ' choice:' * add_generation_prompt }}"
)
PAIR = {"correct_answer": " stop", "incorrect_answer": " bet"}
TEXTS = ["you won $5.", "you lost.", "you lost. you won $5.", "you won $5. you lost."]


def asked(text, **rest):
    return {
        "messages": [{"role": "user", "content": text}],
        "group": "risky" if text.endswith("lost.") else "safe",
        **rest,
    }


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def place(tiny, small, tmp_path_factory):
    """The small model with a template, transcoders, and files of prompts."""
    folder = tmp_path_factory.mktemp("conversations")
    shutil.copytree(small / "model", folder / "model")
    (folder / "model" / "chat_template.jinja").write_text(TEMPLATE)
    transcoders = tiny.make_dictionary("relu", layers=(0, 1, 2), stream="mlp_in", write_stream="mlp_out")
    save_dictionary(folder / "transcoders", transcoders)
    write(folder / "talks.jsonl", *(asked(text, **PAIR) for text in TEXTS))
    write(folder / "texts.jsonl", *({"text": text, "group": "safe", **PAIR} for text in TEXTS))
    return folder


@pytest.fixture(scope="module")
def base(place):
    return [f"--model={place / 'model'}", f"--prompts={place / 'talks.jsonl'}"]


def rendered(messages, generation_prompt=True):
    [text], _ = render_jinja_template(
        conversations=[messages], chat_template=TEMPLATE, add_generation_prompt=generation_prompt
    )
    return text


@pytest.mark.slow
def test_what_was_rendered_is_shown_and_kept_and_runs_again(drive, place, base):
    texts = [*base[:1], f"--prompts={place / 'texts.jsonl'}"]
    kept = place / "evaluated" / "baseline_prompts_talks_all.jsonl"
    talks, again, plain, system = drive(
        "evaluate",
        [*base, f"--out={place / 'evaluated'}"],
        [*base[:1], f"--prompts={kept}", f"--out={place / 'again'}"],
        [*texts, "--chat", f"--out={place / 'chat'}"],
        [*texts, "--chat", "--system= bet $5.", "--nogeneration_prompt", f"--out={place / 'system'}"],
    )
    assert [run["status"] for run in (talks, again, plain, system)] == [0] * 4, [talks, again, plain, system]
    lines = read(kept)
    assert [line["prompt"] for line in lines] == [rendered(asked(text)["messages"]) for text in TEXTS]
    assert f"4 prompts through the model's chat template; the first: {lines[0]['prompt']!r}" in talks["out"]
    assert f"its {len(lines[0]['tokens'])} tokens: {' '.join(map(str, lines[0]['tokens']))}\n" in talks["out"]
    rows = {out: (place / out / f"baseline_{name}_all.csv").read_text().splitlines()
            for out, name in (("evaluated", "talks"), ("again", "talks"), ("chat", "texts"))}  # fmt: skip
    assert rows["evaluated"] == rows["again"]
    figures = [[row.rsplit("incorrect", 1)[-1].split(",")[-6:] for row in rows[out]] for out in ("evaluated", "chat")]
    assert figures[0] == figures[1]
    messages = [{"role": "system", "content": " bet $5."}, *asked(TEXTS[1])["messages"]]
    assert read(place / "system" / "baseline_prompts_texts_all.jsonl")[1]["prompt"] == rendered(messages, False)


@pytest.mark.slow
def test_turns_are_positions_and_scopes(drive, place, base, small):
    saes = [*base, f"--dictionaries={small / 'saes'}"]
    (found,) = drive("features", [*saes, f"--out={place / 'features'}", "--positions=user.last,-1", "--keep=4"])
    assert found["status"] == 0, found["err"]
    lines = read(place / "features" / "talks_all_prompts.jsonl")
    samples = np.load(place / "features" / "talks_all_samples.npy")
    ends = [len(line["tokens"]) for line in lines]
    assert samples.tolist() == [[n, p] for n, end in enumerate(ends) for p in (end - 3, end - 1)]
    where = [*saes, "--groups=safe,risky", "--keep_repeats"]
    at_turn, at_end = drive(
        "screen", [*where, f"--out={place / 'turn'}", "--position=user.last"],
        [*where, f"--out={place / 'number'}", "--position=-3"],
    )  # fmt: skip
    assert at_turn["status"] == at_end["status"] == 0, at_turn["err"]
    assert pq.read_table(place / "turn" / "screen.parquet").equals(pq.read_table(place / "number" / "screen.parquet"))
    assert [line["tokens"] for line in read(place / "turn" / "prompts.jsonl")] == [line["tokens"] for line in lines]
    write(place / "features.jsonl", {"layer": 2, "feature": 7, "value_safe": 0.0, "value_risky": 3.0})
    answers = json.dumps([{"text": " stop", "label": "stop"}, {"text": " bet", "label": "bet"}])
    write(place / "asked.jsonl", *(asked(text) for text in TEXTS))
    (swept,) = drive(
        "patch_sweep",
        [*saes[:1], saes[2], f"--prompts={place / 'asked.jsonl'}", f"--features={place / 'features.jsonl'}",
         "--value=safe=0,risky=3", f"--answers={answers}", "--scope=positions:user.last,-1",
         f"--workdir={place / 'swept'}"],
    )  # fmt: skip
    assert swept["status"] == 0, swept["err"]
    assert [len(line["tokens"]) for line in read(place / "swept" / "rendered_prompts.jsonl")] == ends


@pytest.mark.slow
@pytest.mark.parametrize(("driver", "flags"), [("attribute", []), ("intervene", ["--edits=1:-1:3"])])
def test_one_prompt_and_files_of_circuits(drive, place, driver, flags):
    given = [f"--model={place / 'model'}", f"--dictionaries={place / 'transcoders'}", *flags]
    one = ["--prompt=you won $5.", "--correct= stop", "--incorrect= bet", "--chat"]
    alone, many = drive(
        driver, [*given, *one, f"--workdir={place / driver}"],
        [*given, f"--prompts={place / 'talks.jsonl'}", f"--workdir={place / (driver + '_many')}"],
    )  # fmt: skip
    assert alone["status"] == many["status"] == 0, alone["err"] + many["err"]
    [line] = read(place / driver / "rendered_prompts.jsonl")
    assert line["prompt"] == rendered(asked(TEXTS[0])["messages"])
    assert len(read(place / f"{driver}_many" / "rendered_prompts.jsonl")) == 4
    assert "1 prompt through the model's chat template" in alone["out"]


@pytest.mark.slow
def test_states_of_the_game_are_conversations_and_are_patched_as_they_were_screened(drive, place):
    player = place / "player"
    shutil.copytree(model_directory("bundled:tiny"), player)
    (player / "chat_template.jinja").write_text(TEMPLATE)
    shared = [f"--model={player}", "--dictionaries=bundled:tiny/saes"]
    out, workdir = place / "states", place / "patched"
    states, unknown, games = drive(
        "screen", [*shared, "--states=4", "--chat", f"--out={out}"],
        [*shared, "--states=4", "--system=x", f"--out={out}", "--overwrite"],
        [*shared, "--play=2", "--chat", f"--out={out}", "--overwrite"],
    )  # fmt: skip
    assert states["status"] == 0, states["err"]
    assert "--system: without effect without --chat" in unknown["err"]
    assert "--chat: without effect with --play" in games["err"]
    lines = read(out / "prompts.jsonl")
    # As a study counts them before they are made.
    values = {"states": 4, "seed": 0, "menu": ["variable"], "wording": "tiny", "chat": True, "system": None}
    planned = states_of(values | {"model": str(player), "generation_prompt": True})
    assert token_counts(planned, str(player)) == [len(line["tokens"]) for line in lines]
    assert all(line["messages"][0]["content"] + " choice:" == line["text"] for line in lines)
    (patched,) = drive(
        "patch_sweep",
        [*shared, f"--prompts={out / 'prompts.jsonl'}", f"--features={out / 'screen.parquet'}", "--limit_features=1",
         f"--workdir={workdir}"],
    )  # fmt: skip
    assert patched["status"] == 0, patched["err"]
    assert [line["text"] for line in read(workdir / "rendered_prompts.jsonl")] == [line["text"] for line in lines]


@pytest.mark.parametrize(
    ("driver", "flags", "message"),
    [
        ("evaluate", ["--system=x", "--prompts={place}/texts.jsonl"], "--system: without effect without --chat"),
        ("evaluate", ["--model=bundled:tiny"], "--model: bundled:tiny has no chat template"),
        ("evaluate", ["--prompts={place}/wrong.jsonl"], "wrong.jsonl line 1: .*chat template failed .*users begin"),
        ("evaluate", ["--prompts={place}/ids.jsonl", "--chat"], "ids.jsonl line 1: tokens: are run as they are"),
        ("evaluate", ["--prompts={place}/robot.jsonl"], "robot.jsonl line 1: messages: number 0 has the role 'robot'"),
        ("features", ["--positions=assistant.last"], "positions: the prompt has no place 'assistant'; it has user"),
        ("features", ["--positions=user", "--include_first"], "--include_first: without effect where --positions"),
        ("features", ["--positions="], "--positions: got nothing; needs last_N"),
        ("screen", ["--position=user"], "line 1: position: 'user' is 5 tokens of the prompt; needs one"),
    ],
)  # fmt: skip
def test_refusals(drive, place, base, small, tmp_path, driver, flags, message):
    write(place / "wrong.jsonl", {"messages": [{"role": "assistant", "content": "you"}], **PAIR})
    write(place / "ids.jsonl", {"tokens": [5, 6], **PAIR})
    write(place / "robot.jsonl", {"messages": [{"role": "robot", "content": "you"}], **PAIR})
    saes = [f"--dictionaries={small / 'saes'}"] * (driver != "evaluate")
    (run,) = drive(driver, [*base, *saes, f"--out={tmp_path}", *(flag.format(place=place) for flag in flags)])
    assert run["status"] != 0
    assert re.search(message, run["err"]), run["err"]
    assert run["err"].count("\n") == 1

"""The driver makes a loadable model from a text file, and refuses before it computes."""

import functools
import json

import pytest

import causeway as cw

SMALL = (
    "--config.model.num_layers=1",
    "--config.model.d_model=16",
    "--config.model.num_heads=2",
    "--config.model.num_kv_heads=1",
    "--config.model.head_dim=8",
    "--config.model.d_ff=16",
    "--config.schedule.steps=8",
    "--config.schedule.warmup_steps=2",
    "--config.text.rows=4",
    "--config.text.length=12",
)


@pytest.fixture
def train(causeway):
    return functools.partial(causeway, "train_model")


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.json"
    path.write_text(json.dumps([f"the cat number {i} sat on the mat and saw {i % 7} dogs." for i in range(200)]))
    return path


@pytest.mark.slow
def test_a_decoder_from_own_texts(train, tmp_path, texts):
    places = (f"--out={tmp_path / 'model'}",)
    done = train(*places, f"--data={texts}", *SMALL)
    assert done.returncode == 0, done.stderr
    model = cw.load_model(tmp_path / "model")
    assert model.tokens("the cat")[0] == model.tokenizer.bos_id
    assert json.loads((tmp_path / "model.work" / "summary.json").read_text())["figures"]["held_out_loss"] < 5
    refused = train(*places, f"--data={texts}", *SMALL)
    assert refused.returncode != 0
    assert refused.stderr.count("\n") == 1
    assert "model.safetensors is there already" in refused.stderr


def test_missing_directories_and_unknown_fields_are_refused(train, tmp_path):
    missing = train()
    assert missing.returncode != 0
    assert missing.stderr.startswith("causeway train_model: --out: got nothing; needed as in `causeway train_model --")
    unknown = train(f"--out={tmp_path / 'o'}", f"--workdir={tmp_path / 'w'}", "--config.schedule.stepz=3")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert unknown.stderr.startswith("causeway train_model: --config: no such field: ")
    assert "stepz" in unknown.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train_model", "attribute", "intervene"])
def test_a_configuration_file_that_gives_no_values_is_refused_in_a_line_that_names_it(drive, tmp_path, command):
    bundled = "from causeway.configs.bundled_tiny import get_config as bundled\n"
    cases = {
        "def get_config():\n    return 3\n": "needs a Python file whose get_config() returns a ConfigDict",
        "x = 1\n": "get_config",
        "def get_config():\n    raise RuntimeError('no luck')\n": "no luck",
        "from ml_collections import ConfigDict\ndef get_config():\n    return ConfigDict({'a': 1})\n": "has no ",
    }  # fmt: skip
    if command == "train_model":
        change = bundled + "def get_config():\n    config = bundled()\n    with config.ignore_type():\n        config."
        cases |= {
            f"{change}model.d_ff = -4\n    return config\n": "--config.model: ModelConfig.d_ff: got -4; needs a whole",
            f"{change}model.size = 4\n    return config\n": "--config.model: ModelConfig.__init__() got an unexpected",
            f"{change}text.rows = 'many'\n    return config\n": "--config.text.rows: got 'many'; needs a number",
            f"{change}buckets = ()\n    return config\n": "--config.buckets: got (); needs a list",
        }
    else:
        given = f"from ml_collections import ConfigDict\ndef get_config():\n    return ConfigDict({{'{command}': "
        cases |= {
            given + "{'seed': 'many'}})\n": f"--config: {command}.seed: got 'many'; needs a whole number",
            given + "{'layers': 3}})\n": f"--config: {command}.layers: got 3; needs",
        }
    for number, text in enumerate(cases):
        (tmp_path / f"{number}.py").write_text(text)
    out = f"--{'out' if command == 'train_model' else 'workdir'}={tmp_path / 'out'}"
    runs = [[f"--config={tmp_path}/{name}.py", out] for name in [*range(len(cases)), "missing"]]
    for run, message in zip(drive(command, *runs), [*cases.values(), "which is not there"], strict=True):
        assert (run["status"], run["err"].count("\n")) == (2, 1), run["err"]
        assert run["err"].startswith(f"causeway {command}: --config"), run["err"]
        assert message in run["err"], run["err"]
    assert not (tmp_path / "out").exists()

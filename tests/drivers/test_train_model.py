"""The driver makes a loadable model from a text file, and refuses before it computes."""

import json
import os
import subprocess
import sys

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


def drive(*arguments):
    return subprocess.run(
        [sys.executable, "-P", "-m", "causeway.drivers.main", "train_model", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "XLA_FLAGS": ""},
    )


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.json"
    path.write_text(json.dumps([f"the cat number {i} sat on the mat and saw {i % 7} dogs." for i in range(200)]))
    return path


def test_a_decoder_from_own_texts(tmp_path, texts):
    places = (f"--out={tmp_path / 'model'}",)
    done = drive(*places, f"--data={texts}", *SMALL)
    assert done.returncode == 0, done.stderr
    model = cw.load_model(tmp_path / "model")
    assert model.tokens("the cat")[0] == model.tokenizer.bos_id
    assert json.loads((tmp_path / "model.work" / "summary.json").read_text())["figures"]["held_out_loss"] < 5
    refused = drive(*places, f"--data={texts}", *SMALL)
    assert refused.returncode != 0
    assert refused.stderr.count("\n") == 1
    assert "model.safetensors is there already" in refused.stderr


def test_missing_directories_and_unknown_fields_are_refused(tmp_path):
    missing = drive()
    assert missing.returncode != 0
    assert missing.stderr.startswith("causeway train_model: --out: got nothing; needed as in `causeway train_model --")
    unknown = drive(f"--out={tmp_path / 'o'}", f"--workdir={tmp_path / 'w'}", "--config.schedule.stepz=3")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert unknown.stderr.startswith("causeway train_model: --config: no such field: ")
    assert "stepz" in unknown.stderr

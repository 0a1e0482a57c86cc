"""The driver trains, writes what reads back with its figures beside it; it refuses before it computes."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import causeway as cw

SMALL = ("--features=32", "--l0=4", "--steps=12", "--batch=64", "--length=16", "--checkpoint_every=6")


def drive(*arguments):
    return subprocess.run(
        [sys.executable, "-P", "-m", "causeway.drivers.main", "train_dictionary", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "XLA_FLAGS": ""},
    )


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.json"
    path.write_text(json.dumps([f"The capital of number {i} is {i % 7}, and it is not {i % 5}." for i in range(150)]))
    return path


def test_trained_written_and_measured(tmp_path, texts):
    places = ("--model=bundled:tiny", f"--data={texts}", f"--workdir={tmp_path / 'run'}", f"--out={tmp_path / 'saes'}")
    done = drive(*places, *SMALL, "--layers=3,1", "--storage=bfloat16")
    assert done.returncode == 0, done.stderr
    assert "explained variance" in done.stdout
    trained = cw.load_dictionaries(tmp_path / "saes", for_model=cw.load_model("bundled:tiny"))
    assert trained.config.layers == (1, 3)
    assert trained.config.stream == "resid_post"
    report = json.loads((tmp_path / "saes" / "quality.json").read_text())
    assert [figures["layer"] for figures in report["layers"]] == [1, 3]
    assert all(np.isfinite(figures["explained_variance"]) for figures in report["layers"])
    again = drive(*places, *SMALL, "--layers=3,1")
    assert again.returncode != 0
    assert "holds dictionaries already" in again.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--kind=topk", "--l0=4", "--features=32"), "--kind: topk takes its sparsity from --k; got --l0=4"),
        (("--l0=4",), "--features: got nothing"),
        (("--l0=4", "--features=32", f"--out={__file__}"), "is a file; give a directory to write"),
        (("--l0=4", "--features=32", "--layers=1,9"), "needs different layers of the model, 0..3"),
        (("--l0=4", "--features=32", "--layers=top"), "--layers: got top"),
        (("--k=4", "--features=32", "--kind=topk", "--skip"), "--kind: got topk; no format read here holds"),
        (("--l0=4", "--features=32", "--cross_layer", "--layers=1,2"), "circuit-tracer's sets have 0, 1"),
        (("--l0=4", "--features=32", "--cross_layer", "--format=saelens"), "--format: got saelens"),
    ],
)
def test_bad_flags_are_refused_in_one_line(tmp_path, texts, flags, message):
    out = drive(
        "--model=bundled:tiny", f"--data={texts}", f"--workdir={tmp_path / 'r'}", f"--out={tmp_path / 'o'}", *flags
    )
    assert out.returncode != 0
    assert message in out.stderr
    assert "Traceback" not in out.stderr
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("flags", "config"),
    [
        (("--transcoder", "--layers=3,1"), "blocks.1.mlp.hook_in/cfg.json"),
        pytest.param(("--skip", "--format=circuit_tracer"), "config.yaml", marks=pytest.mark.slow),
        (("--cross_layer", "--skip"), "config.yaml"),
    ],
)
def test_transcoders_are_trained_written_and_measured(tmp_path, texts, flags, config):
    out = tmp_path / "out"
    done = drive(
        "--model=bundled:tiny", f"--data={texts}", f"--workdir={tmp_path / 'r'}", f"--out={out}", *SMALL, *flags
    )
    assert done.returncode == 0, done.stderr
    model = cw.load_model("bundled:tiny")
    trained = cw.load_dictionaries(out, for_model=model)
    assert (out / config).exists()
    assert (trained.config.stream, trained.config.output_stream) == ("mlp_in", "mlp_out")
    assert hasattr(trained, "W_skip") == ("--skip" in flags)
    report = json.loads((out / "quality.json").read_text())
    assert [figures["layer"] for figures in report["layers"]] == list(trained.config.layers)
    assert all(figures["explained_variance"] < 1 for figures in report["layers"])
    # Crossing layers, no single edit stands for a reconstruction.
    assert (report["layers"][0]["loss_recovered"] is None) == ("--cross_layer" in flags)
    assert report["identity"]["write_stream"] == "mlp_out"

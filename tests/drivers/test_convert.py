"""`causeway convert` makes directories that load_model and load_dictionaries take, or nothing."""

import importlib.util

import jax
import numpy as np
import pytest

from causeway.ports.dictionaries.load import load_dictionaries
from causeway.ports.models.load import load_model

HAS_TORCH = importlib.util.find_spec("torch") is not None


def same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.mark.slow
def test_model_and_dictionaries_of_the_package(drive, tmp_path):
    model, dictionaries, again = drive(
        "convert",
        ("--model=bundled:tiny", f"--out={tmp_path / 'model'}"),
        ("--dictionaries=bundled:tiny", "--layers=1,0", "--storage=bfloat16", f"--out={tmp_path / 'saes'}"),
        ("--model=bundled:tiny", f"--out={tmp_path / 'model'}"),
    )
    assert model["status"] == dictionaries["status"] == 0, model["err"] + dictionaries["err"]
    loaded = load_model(tmp_path / "model")
    assert same(loaded.transformer, load_model("bundled:tiny").transformer)
    assert loaded.tokens("44+95=") == load_model("bundled:tiny").tokens("44+95=")
    want = load_dictionaries("bundled:tiny", [0, 1], storage="bfloat16")
    assert same(load_dictionaries(tmp_path / "saes", for_model=loaded, storage="bfloat16"), want)
    assert again["status"] == 2
    assert "is there already" in again["err"]


def test_what_makes_no_sense_is_one_line(drive, tmp_path):
    out = f"--out={tmp_path / 'out'}"
    runs = {
        (out,): "needs one of them",
        ("--model=bundled:tiny", "--dictionaries=bundled:tiny", out): "needs one of them",
        ("--model=bundled:tiny",): "--out: got nothing",
        ("--model=bundled:tiny", "--gating=study", out): "--gating: without effect on a model; leave it out",
        ("--dictionaries=bundled:tiny", "--verify", out): "--verify: compares the logits of a model",
        ("--dictionaries=bundled:tiny", "--gating=study", out): "gating: saelens dictionaries have no such option",
        ("--model=bundled:none", out): "no bundled 'none'",
    }
    for run, message in zip(drive("convert", *runs), runs.values(), strict=True):
        assert run["status"] == 2
        assert message in run["err"]
        assert run["err"].count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
def test_verify_compares_with_torch_before_the_directory_is_named(drive, tmp_path):
    good, strict = drive(
        "convert",
        ("--model=bundled:tiny", "--verify", f"--out={tmp_path / 'good'}"),
        ("--model=bundled:tiny", "--verify", "--tolerance=0", f"--out={tmp_path / 'strict'}"),
    )
    assert good["status"] == 0, good["err"]
    assert "verify: logits differ from torch's by at most" in good["out"]
    assert "Loading weights" not in good["err"] + good["out"]
    assert strict["status"] == 2
    assert "is more than --tolerance=0" in strict["err"]
    assert (tmp_path / "good").is_dir()
    assert not (tmp_path / "strict").exists()

"""The bundled SAEs are found right; one under another layer's name is found wrong, and where it belongs is said."""

import dataclasses
import json
import re

import pytest


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Text of the bundled model's own kind, and its SAE of layer 2 written under the name of layer 1."""
    import causeway as cw
    from causeway.engine.dictionary.dictionary import Dictionary, take
    from causeway.engine.tasks import suite

    folder = tmp_path_factory.mktemp("inspect")
    (folder / "text.json").write_text(json.dumps(suite.texts("held_out", 120, 0)))
    (folder / "notes.txt").write_text("My notes of a walk along the harbour, in words of another world.\nAnd so on.\n")
    right = take(cw.load_dictionaries("bundled:tiny", [2]), 0)
    arrays = {name: getattr(right, name)[...] for name in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")}
    wrong = Dictionary(dataclasses.replace(right.config, layers=(1,)), **arrays)
    cw.save_dictionary(folder / "wrong", wrong)
    return folder


@pytest.fixture(scope="module")
def runs(drive, places):
    text = f"--data={places / 'text.json'}"
    return drive(
        "inspect",
        ["--model=bundled:tiny", text, "--layers=1,2", "--text_rows=48"],
        ["--model=bundled:tiny", f"--dictionaries={places / 'wrong'}", text, "--text_rows=48", "--json"],
        [],
        [f"--dictionaries={places / 'wrong'}"],
        [f"--dictionaries={places / 'wrong'}", text],
        ["--data=nowhere.json"],
        ["--model=bundled:tiny", "extra"],
        ["--model=bundled:tiny", f"--data={places / 'notes.txt'}"],
        ["--storage=int8", text, "--layers=1", "--text_rows=8", "--place_tokens=0"],
    )


def test_what_8_bits_changed_is_told(runs):
    assert runs[-1]["status"] == 0, runs[-1]["err"]
    (line,) = [line for line in runs[-1]["out"].splitlines() if "weights in int8 against float32" in line]
    assert 0 < float(re.search(r"differ by ([0-9.]+) at most", line)[1]) < 0.3
    assert "storage int8" in runs[-1]["out"]
    assert "model bundled:tiny: llama, 622,464 parameters" in runs[-1]["out"]


def test_right_ones(runs):
    assert runs[0]["status"] == 0, runs[0]["err"]
    out = runs[0]["out"]
    assert "layer 1: resid_post.1 is the right place" in out
    assert "layer 2: resid_post.2 is the right place" in out
    assert "format: saelens" in out
    assert "value scale: raw" in out
    assert "card: context_size 64" in out
    assert "model bundled:tiny: llama, 622,464 parameters" in out
    assert len(out.splitlines()) < 50


def test_a_wrong_one(runs):
    assert runs[1]["status"] == 0, runs[1]["err"]
    found = json.loads(runs[1]["out"])
    (place,) = found["places"]
    assert place["misplaced"]
    assert (place["named"], place["tried"][0]["place"]) == ("resid_post.1", "resid_post.2")
    assert place["tried"][0]["unexplained"] < 0.05
    (quality,) = found["quality"]
    assert quality["explained_variance"] < 0.9
    assert quality["loss_zero"] > quality["loss_clean"]
    assert found["model"]["parameters"] == 622_464
    assert found["loss"]["loss"] == pytest.approx(quality["loss_clean"], rel=1e-6)


def test_a_text_the_model_does_not_know_carries_no_verdict(runs):
    assert runs[7]["status"] == 0, runs[7]["err"]
    for reason in ("no better on this text than guessing", "are not in the vocabulary", "of 500 needed"):
        assert reason in runs[7]["out"]
    assert "place" not in runs[7]["out"].split("loss")[-1]
    assert "hooked" not in runs[7]["out"]


@pytest.mark.slow
def test_texts_of_its_tasks_do(drive):
    (run,) = drive("inspect", ["--model=bundled:tiny", "--data=tasks", "--layers=2", "--text_rows=64"])
    assert run["status"] == 0, run["err"]
    assert "layer 2: resid_post.2 is the right place" in run["out"]


def test_without_text_nothing_is_run(runs):
    assert runs[2]["status"] == 0
    assert "dictionaries: SAEs of 4 layers (0-3), resid_post, jumprelu" in runs[2]["out"]
    assert not any("loss" in name for name in runs[2]["compiled"])


def test_dictionaries_alone(runs):
    assert runs[3]["status"] == 0
    assert runs[3]["out"].startswith("dictionaries: SAEs of 1 layer (1)")
    assert "model" not in runs[3]["out"]


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (4, "--data: dictionaries are measured inside their model"),
        (5, "nowhere.json: no such file"),
        (6, "unknown arg"),
    ],
)
def test_refused_in_one_line(runs, run, message):
    assert runs[run]["status"] != 0
    assert message in runs[run]["err"]
    assert "Traceback" not in runs[run]["err"]

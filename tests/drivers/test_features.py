"""`causeway features` on the bundled model and its transcoders, and its refusals."""

import json

import numpy as np
import pytest

PROMPTS = [
    {"prompt": "12+7=", "behaviour": "sums", "split": "test", "id": "one"},
    {"prompt": "game: loss $20. balance $150.", "behaviour": "sums", "split": "test"},
    {"prompt": "4+5=", "behaviour": "sums", "split": "train"},
]


@pytest.fixture(scope="module")
def runs(drive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    (folder / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in PROMPTS))
    (folder / "short.jsonl").write_text('{"prompt": "4+5=", "split": "a"}\n{"tokens": [5], "split": "b"}\n')
    base = ["--model=bundled:tiny", "--dictionaries=bundled:tiny/transcoders", f"--prompts={folder / 'p.jsonl'}"]
    short = [*base[:2], f"--prompts={folder / 'short.jsonl'}", f"--out={folder / 'short'}"]
    results = drive(
        "features",
        [*base, f"--out={folder / 'out'}", "--positions=last_3", "--keep=4", "--full"],
        [*base, f"--out={folder / 'out'}"],
        [*base, f"--out={folder / 'other'}", "--positions=some"],
        [*base, f"--out={folder / 'other'}", "--keep=999"],
        short,
        [*base, f"--out={folder / 'p.jsonl'}"],
        [*base, f"--out={folder / 'out'}", "--overwrite", "--keep=999"],
        [*base, f"--out={folder / 'kept'}", "--positions=last_3", "--keep=4", "--full", f"--workdir={folder / 'work'}"],
    )
    return folder, results


def test_files_of_every_set(runs):
    folder, (done, *_) = runs
    assert done["status"] == 0, done["err"]
    out = folder / "out"
    summary = json.loads((out / "sums_test_summary.json").read_text())
    assert (summary["prompts"], summary["samples"], summary["ids"]) == (2, 6, ["one", "p-2"])
    assert (summary["stream"], [layer["layer"] for layer in summary["layers"]]) == ("mlp_in", [0, 1, 2, 3])
    samples = np.load(out / "sums_test_samples.npy")
    assert samples[:, 0].tolist() == [0, 0, 0, 1, 1, 1]
    for layer in range(4):
        ids, values, frequencies, full = (
            np.load(out / f"layer_{layer}" / f"sums_test_{name}.npy")
            for name in ("top_k_indices", "top_k_values", "feature_frequencies", "full_activations")
        )
        assert ids.shape == values.shape == (6, 4)
        np.testing.assert_array_equal(values, -np.sort(-full, axis=1)[:, :4])
        np.testing.assert_array_equal(np.take_along_axis(full, ids, 1), values)
        on = full.reshape(2, 3, -1) > 0
        np.testing.assert_allclose(frequencies, on.any(1).mean(0), atol=1e-6)
    assert (out / "sums_train_summary.json").exists()


def test_what_is_kept_on_the_way_changes_no_byte(runs):
    folder, results = runs
    assert results[7]["status"] == 0, results[7]["err"]
    assert sorted(path.name for path in (folder / "work").iterdir()) == ["sums_test", "sums_train"]
    for path in (folder / "out").rglob("*.npy"):
        assert path.read_bytes() == (folder / "kept" / path.relative_to(folder / "out")).read_bytes(), path


def test_a_run_killed_between_two_sets_goes_on_and_one_of_other_settings_touches_nothing(drive, runs):
    folder, _ = runs
    run = ["--model=bundled:tiny", "--dictionaries=bundled:tiny/transcoders", f"--prompts={folder / 'p.jsonl'}",
           f"--out={folder / 'kept'}", "--positions=last_3", "--full", f"--workdir={folder / 'work'}"]  # fmt: skip
    files = {path: path.read_bytes() for path in (folder / "kept").rglob("*.*")}
    (folder / "kept" / "sums_train_summary.json").unlink()
    (folder / "kept" / "causeway.sha256").unlink()
    elsewhere, other, same = drive(
        "features", [*run, "--keep=4", f"--workdir={folder / 'new'}"], [*run, "--keep=3"], [*run, "--keep=4"]
    )
    assert "sums_test_summary.json is there already" in elsewhere["err"]
    assert "is of another plan" in other["err"]
    assert same["status"] == 0, same["err"]
    assert {path: path.read_bytes() for path in (folder / "kept").rglob("*.*")} == files


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (1, "is there already; give another folder"),
        (2, "the prompt has no place 'some'; it has"),
        (3, "--keep: got 999; the dictionaries have 512 features"),
        (4, "short.jsonl line 2: 1 tokens, none of which counts"),
        (5, "is a file; give a folder"),
        (6, "--keep: got 999; the dictionaries have 512 features"),
    ],
)
def test_bad_input_is_refused_in_one_line(runs, run, message):
    folder, results = runs
    assert results[run]["status"] != 0
    assert message in results[run]["err"]
    assert "Traceback" not in results[run]["err"]
    assert not list(folder.glob("other/*.json"))
    # Every set is looked at before the first is written.
    assert not (folder / "short").exists()
    assert (folder / "out" / "sums_test_summary.json").exists()


@pytest.mark.slow
def test_what_a_killed_run_left_is_replaced_by_the_same_bytes(drive, runs):
    folder, _ = runs
    base = ["--model=bundled:tiny", "--dictionaries=bundled:tiny/transcoders", f"--prompts={folder / 'p.jsonl'}"]
    killed = [*base, f"--out={folder / 'killed'}", "--layers=0,1", "--splits=test"]
    (before,) = drive("features", killed)
    assert before["status"] == 0, before["err"]
    files = {path: path.read_bytes() for path in (folder / "killed").rglob("*.*")}
    (folder / "killed" / "sums_test_summary.json").unlink()
    (folder / "killed" / "layer_0" / "sums_test_top_k_values.npy").write_bytes(b"of another run")
    (folder / "killed" / "layer_3").mkdir()
    (folder / "killed" / "layer_3" / "sums_test_top_k_values.npy").write_bytes(b"of another run")
    (after,) = drive("features", killed)
    assert after["status"] == 0, after["err"]
    assert {path: path.read_bytes() for path in (folder / "killed").rglob("*.*")} == files

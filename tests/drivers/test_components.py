"""`causeway components` on the bundled model: its files, that others read them, and its refusals."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from causeway.engine.directions import Directions
from causeway.ports.results.component_files import read_about, read_layer
from causeway.ports.results.direction_files import write_directions
from causeway.ports.results.neuron_files import read_neurons


@pytest.fixture(scope="module")
def place(drive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("components")
    given = [f"--out={folder / 'prompts'}", "--behaviours=bundled_addition", "--train=10", "--test=4"]
    (made,) = drive("prompts", given)
    assert made["status"] == 0, made["err"]
    return folder


@pytest.mark.slow
def test_components_are_written_and_exported(drive, place):
    given = [f"--prompts={place / 'prompts'}", "--neurons=1:3,1:40,2:7", "--largest=4", f"--workdir={place / 'work'}"]
    write_directions(place, Directions(("margin",), np.ones((1, 128), np.float32)))
    first, again, other, few = drive(
        "components",
        given,
        [*given, "--as_published", f"--export_npy={place / 'npy'}", f"--directions={place}"],
        [*given, "--position=-2"],
        [*given[:1], "--layers=all", "--limit_neurons=2", "--largest=4", f"--workdir={place / 'few'}"],
    )
    assert [run["status"] for run in (first, again, few)] == [0, 0, 0], [first["err"], again["err"], few["err"]]
    assert "10 prompts choose, 4 are held out (those of the split train choose)" in first["out"]
    assert not any("_codes" in name for name in again["compiled"])
    assert (other["status"], "is of another plan" in other["err"]) == (2, True)
    assert "layer 3 is left out: no attention is above it" in few["out"]
    work = place / "work"
    fingerprint, layers = read_about(work)
    assert layers == (1, 2)
    found = read_layer(work, 1)
    assert (found.fingerprint, found.neuron.tolist()) == (fingerprint, [3, 40])
    assert len(read_neurons(work).neuron) == 3
    about = json.loads((work / "components.json").read_text())
    assert about["chosen"]["held_out"] == [0, 1, 2, 3]
    assert json.loads((work / "as_published.json").read_text())["share_of_prompts"] == 0.4
    effects = np.load(place / "npy" / "prompts_bundled-tiny_second_order_layer1.npy")
    assert effects.shape == (14, 2, 128)
    np.testing.assert_allclose(effects[4:].mean(axis=0), found.mean, atol=1e-5)
    largest = np.load(place / "npy" / "prompts_bundled-tiny_layer1_4_norm.npy")
    sizes = np.linalg.norm(effects[4:] - found.mean, axis=2)
    np.testing.assert_allclose(largest, np.sort(sizes, axis=0)[-4:].T, rtol=1e-4, atol=1e-6)
    assert np.load(place / "npy" / "prompts_bundled-tiny_layer1_4_pca.npy").shape == (2, 128)
    assert np.load(place / "npy" / "prompts_bundled-tiny_correctness_direction.npy").shape == (128,)
    assert pq.read_table(place / "few" / "neurons.parquet")["layer"].to_pylist().count(0) == 2


def test_bad_input_is_one_line(drive, place):
    given = [f"--prompts={place / 'prompts'}", f"--workdir={place / 'refused'}"]
    cases = {
        "--neurons, --layers: needs one of them": given,
        "--workdir: got nothing": [given[0], "--layers=1"],
        "--largest: got 100 largest effects of each neuron from 10 prompts": [*given, "--layers=1"],
        "--layers: layer: got 9": [*given, "--layers=9", "--largest=2"],
        "no attention is above layer 3": [*given, "--layers=3", "--largest=2"],
        "the model has layers 0..3": [*given, "--neurons=1:9999", "--largest=2"],
        "--directions: without effect without --export_npy": [*given, "--layers=1", "--directions=x"],
        "second-order effects as .npy needs": [
            *given, "--layers=1", "--largest=2", f"--export_npy={place / 'npy'}", "--disk_limits=0.00001,0.00002",
        ],
        "--disk_limits: needs two numbers": [*given, "--layers=1", "--disk_limits=0.5"],
        "--dictionaries: without effect": [*given, "--layers=1", "--dictionaries=bundled:tiny"],
    }  # fmt: skip
    for message, result in zip(cases, drive("components", *cases.values()), strict=True):
        assert result["status"] == 2, (message, result)
        assert message in result["err"]
        assert "Traceback" not in result["err"]
        assert not any("_codes" in name for name in result["compiled"])
    assert not (place / "refused").exists()

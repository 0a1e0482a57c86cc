import json

import numpy as np
import pytest

from causeway.engine.components import Components
from causeway.ports.results.component_files import ABOUT, names, read_about, read_layer, write_about, write_layer


def make(layer, count=3, width=5):
    rows = np.random.default_rng(layer).standard_normal((2, count, width)).astype(np.float32)
    component = rows[1] / np.linalg.norm(rows[1], axis=1, keepdims=True)
    return Components(layer, np.arange(count) * 2, rows[0], component, "abc")


@pytest.fixture
def folder(tmp_path):
    for layer in (1, 4):
        write_layer(tmp_path, make(layer))
    write_about(tmp_path, "abc", [1, 4], {"prompts": 12, "share": float("nan")})
    return tmp_path


def test_components_come_back_as_they_were_written(folder):
    assert {path.name for path in folder.iterdir()} <= set(names([1, 4]))
    assert read_about(folder) == ("abc", (1, 4))
    assert json.loads((folder / ABOUT).read_text())["share"] is None
    for layer in (1, 4):
        found, made = read_layer(folder, layer), make(layer)
        assert (found.layer, found.fingerprint, found.neuron.dtype) == (layer, "abc", np.int32)
        for name in ("neuron", "mean", "component"):
            np.testing.assert_array_equal(getattr(found, name), getattr(made, name))


def test_the_same_components_make_the_same_bytes(folder):
    before = (folder / "components_layer_1.npz").read_bytes()
    write_layer(folder, make(1))
    assert (folder / "components_layer_1.npz").read_bytes() == before


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"model_fingerprint": "a", "layers": []}'])
def test_a_damaged_description_is_refused(folder, content):
    (folder / ABOUT).write_text(content)
    with pytest.raises(ValueError, match=r"components\.json"):
        read_about(folder)


def test_what_is_not_there_is_told(folder, tmp_path_factory):
    with pytest.raises(ValueError, match="has components of layers 1, 4, none of layer 2"):
        read_layer(folder, 2)
    with pytest.raises(FileNotFoundError, match="give the folder that `components` wrote"):
        read_about(tmp_path_factory.mktemp("none"))
    np.savez(folder / "components_layer_1.npz", neuron=np.arange(2))
    with pytest.raises(ValueError, match="lacks the arrays component, mean"):
        read_layer(folder, 1)
    (folder / "components_layer_4.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"components_layer_4\.npz: not a readable zip file"):
        read_layer(folder, 4)


def test_components_that_are_no_unit_vectors_are_refused_with_their_file(folder):
    np.savez(folder / "components_layer_1.npz", neuron=np.arange(1), mean=np.ones((1, 3)), component=np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"components_layer_1\.npz: Components\.component: neuron 0 of layer 1"):
        read_layer(folder, 1)

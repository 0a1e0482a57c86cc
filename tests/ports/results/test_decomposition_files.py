import json

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse

from causeway.ports.results.decomposition_files import names, read_entries, write_layer, write_summary
from causeway.ports.results.neuron_files import read_neurons


def test_a_layer_is_words_by_neuron_and_a_matrix_that_scipy_reads(tmp_path):
    atom = np.array([[4, 1, -1], [0, 2, 3]])
    coefficient = np.array([[0.5, -2.0, 0], [1.0, 3.0, -1.0]], np.float32)
    entries = [[(1, -2.0, "b"), (4, 0.5, " é")], [(2, 3.0, "c")]]
    arrays = {"atom": atom, "coefficient": coefficient}
    for suffix in ("", "_as_published"):
        write_layer(tmp_path, 3, np.array([7, 2]), entries, (9, 5), arrays, suffix)
        text = (tmp_path / f"decomposition_layer_3{suffix}.json").read_text()
        assert json.loads(text) == {"7": [[1, -2.0, "b"], [4, 0.5, " é"]], "2": [[2, 3.0, "c"]]}
        codes = scipy.sparse.load_npz(tmp_path / f"decomposition_layer_3{suffix}.npz")
        wanted = np.zeros((9, 5))
        wanted[7, [4, 1]], wanted[2, [0, 2, 3]] = [0.5, -2], [1, 3, -1]
        np.testing.assert_array_equal(codes.toarray(), wanted)
        with np.load(tmp_path / f"decomposition_layer_3{suffix}.npz", allow_pickle=False) as stored:
            assert stored["neuron"].tolist() == [7, 2]
            np.testing.assert_array_equal(stored["atom"], atom)
    write_summary(tmp_path, pa.table({"layer": [3, 3], "neuron": [2, 7]}), {"p": float("nan")})
    assert read_neurons(tmp_path).neuron.tolist() == [2, 7]
    assert json.loads((tmp_path / "decompose.json").read_text()) == {"p": None}
    assert {path.name for path in tmp_path.iterdir()} == set(names([3], published=True)) - {"lexicon.jsonl"}


def test_entries_come_back_by_layer_and_neuron(tmp_path):
    arrays = {"atom": np.array([[1]]), "coefficient": np.array([[-2.0]])}
    for layer in (0, 3):
        write_layer(tmp_path, layer, np.array([layer + 4]), [[(1, -2.0, " é")]], (9, 5), arrays)
    about = {"model_fingerprint": "abc", "layers": [{"layer": 0}, {"layer": 3}]}
    write_summary(tmp_path, pa.table({"layer": [0, 3], "neuron": [4, 7]}), about)
    assert read_entries(tmp_path) == ({0: {4: [(1, -2.0, " é")]}, 3: {7: [(1, -2.0, " é")]}}, "abc")
    (tmp_path / "decomposition_layer_3.json").write_text('{"7": [[1, "x", "y"]]}')
    with pytest.raises(ValueError, match=r"layer_3.json: needs neurons with lists of \[index, coefficient, text\]"):
        read_entries(tmp_path)
    (tmp_path / "decompose.json").write_text("[]")
    with pytest.raises(ValueError, match=r"decompose.json: does not say what the decompositions are"):
        read_entries(tmp_path)
    with pytest.raises(FileNotFoundError, match="give the folder that `decompose` wrote"):
        read_entries(tmp_path / "absent")

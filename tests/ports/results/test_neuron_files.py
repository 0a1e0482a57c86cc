import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from causeway.engine.directions import Directions
from causeway.engine.neurons import Neurons
from causeway.ports.results.direction_files import FILES, read_directions, write_directions
from causeway.ports.results.neuron_files import read_neurons, read_scores, read_values


def test_neurons_come_from_a_table_its_folder_lines_or_a_list(tmp_path):
    table = pa.table({"layer": [3, 1, 3], "neuron": [9, 4, 9], "direction": ["a", "a", "b"]})
    pq.write_table(table, tmp_path / "neurons.parquet")
    (tmp_path / "some.jsonl").write_text('{"layer": 3, "neuron": 9}\n{"layer": 1, "neuron": 4}\n')
    for source in (tmp_path, tmp_path / "neurons.parquet", tmp_path / "some.jsonl", "3:9,1:4"):
        found = read_neurons(source)
        assert (found.layer.tolist(), found.neuron.tolist()) == ([3, 1], [9, 4])


def test_what_is_no_table_of_neurons_is_refused(tmp_path):
    pq.write_table(pa.table({"layer": [3], "feature": [9]}), tmp_path / "neurons.parquet")
    with pytest.raises(ValueError, match=r"lacks the columns \['neuron'\]; needs layer and neuron"):
        read_neurons(tmp_path)
    with pytest.raises(FileNotFoundError, match="give a table of neurons, or a list such as 9:5,9:17"):
        read_neurons(tmp_path / "none.parquet")
    (tmp_path / "some.jsonl").write_text('{"layer": 3}\n')
    with pytest.raises(ValueError, match="has no field neuron; it has layer"):
        read_neurons(tmp_path / "some.jsonl")


def test_directions_come_back_as_they_were_written(tmp_path):
    made = Directions(("a", "b"), np.arange(8.0).reshape(2, 4), "resid_post", 1, "abc", {"auc": 0.75})
    write_directions(tmp_path, made)
    found = read_directions(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    assert (found.names, found.stream, found.layer, found.fingerprint) == (("a", "b"), "resid_post", 1, "abc")
    assert found.about == {"auc": 0.75}
    np.testing.assert_array_equal(found.vectors, made.vectors)


@pytest.mark.parametrize("content", ["[]", "{}", '{"names": ["a"]}', "{"])
def test_a_damaged_description_is_refused(tmp_path, content):
    write_directions(tmp_path, Directions(("a",), np.ones((1, 4))))
    (tmp_path / "directions.json").write_text(content)
    with pytest.raises(ValueError, match=r"directions\.json"):
        read_directions(tmp_path)


def test_a_folder_without_directions_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="give the folder that `direction` wrote"):
        read_directions(tmp_path)


def test_a_column_is_read_for_the_neurons_that_are_meant(tmp_path):
    table = pa.table({"layer": [3, 1, 0], "neuron": [9, 4, 2], "score": [2.0, -1.0, 0.5], "name": ["a", "b", "c"]})
    pq.write_table(table, tmp_path / "neurons.parquet")
    (tmp_path / "some.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    for source in (tmp_path, tmp_path / "some.jsonl"):
        assert read_values(source, "score", Neurons([0, 3], [2, 9])).tolist() == [0.5, 2.0]
    with pytest.raises(ValueError, match="name of 3:9: got 'a'; needs a finite number"):
        read_values(tmp_path, "name", Neurons([3], [9]))
    with pytest.raises(ValueError, match="has no field nosuch"):
        read_values(tmp_path / "some.jsonl", "nosuch", Neurons([3], [9]))


def test_scores_are_those_of_one_direction(tmp_path):
    table = {"layer": [3, 1, 3], "neuron": [9, 4, 9], "direction": ["a", "a", "b"], "effect": [0.5, -1.0, 2.0]}
    pq.write_table(pa.table(table), tmp_path / "neurons.parquet")
    assert read_scores(tmp_path, "a") == ({(3, 9): 0.5, (1, 4): -1.0}, "")
    (tmp_path / "second_order.json").write_text('{"model_fingerprint": "abc"}')
    assert read_scores(tmp_path, "b") == ({(3, 9): 2.0}, "abc")
    with pytest.raises(ValueError, match="has no scores on 'c', but on a, b"):
        read_scores(tmp_path, "c")
    with pytest.raises(ValueError, match="a list, which has no scores"):
        read_scores("3:9", "a")

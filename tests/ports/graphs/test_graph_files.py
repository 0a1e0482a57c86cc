"""Graphs as files: Neuronpedia's JSON, GraphML, Parquet there and back."""

import dataclasses
import json

import networkx as nx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import causeway as cw
from causeway.ports.graphs import graph_parquet
from causeway.ports.graphs.graph_parquet import write_graph_tables
from causeway.ports.graphs.graphml import as_networkx, write_graphml
from causeway.ports.graphs.neuronpedia import cantor, write_neuronpedia
from tests.ports.graph_cases import NAMES, make_graph


@pytest.fixture
def graph():
    return make_graph()


def kept_edges(pruned):
    """(row, column, weight) of the kept edges."""
    coo = pruned.edges.tocoo()
    return sorted(zip(coo.row.tolist(), coo.col.tolist(), coo.data.tolist(), strict=True))


def test_neuronpedia_files_fit_the_schema(graph, tmp_path, data_dir):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((data_dir / "schema" / "neuronpedia_graph_schema.json").read_text())
    for thresholds in ((1.0, 1.0), (0.8, 0.98), (0.3, 0.3)):
        path = write_neuronpedia(tmp_path, graph.prune(*thresholds), NAMES)
        jsonschema.validate(json.loads(path.read_text()), schema)


@pytest.mark.parametrize("name", ["neuronpedia/one.json", "graphml/one.graphml", "parquet/one"])
def test_a_graph_is_saved_in_the_format_asked_for(graph, tmp_path, transformer, name):
    model, kind = cw.Model(transformer, None, "tiny", "of the tests"), name.split("/")[0]
    path = cw.save_graph(graph, tmp_path / kind, model, format=kind, slug="one")
    assert path == tmp_path / name
    assert path.exists()
    for changed in ({"slug": "a/b"}, {"format": "dot"}):
        with pytest.raises(ValueError, match=f"^{next(iter(changed))}: got [^\n]*; needs [^\n]*$"):
            cw.save_graph(graph, tmp_path, model, **{"format": kind} | changed)


def test_labels_are_what_viewers_say_of_features(graph, tmp_path, transformer):
    model, labels = cw.Model(transformer, None, "tiny", "of the tests"), {(0, 7): "<b> two", (1, 2): "of no feature"}
    path = cw.save_graph(graph, tmp_path, model, labels=labels)
    told = {node["node_id"]: node["clerp"] for node in json.loads(path.read_text())["nodes"]}
    assert told["0_7_1"] == "<b> two"
    assert [name for name, text in told.items() if text and not text.startswith("Output")] == ["0_7_1"]


def test_neuronpedia_nodes_and_links(graph, tmp_path):
    document = json.loads(write_neuronpedia(tmp_path, graph.prune(1.0, 1.0), NAMES).read_text())
    nodes = {node["node_id"]: node for node in document["nodes"]}
    assert list(nodes) == ["0_7_1", "0_3_2", "1_0_2", "0_-1_1", "1_-1_0", "1_-1_2", "E_4_0", "E_9_1", "E_2_2",
                           "3_30_2", "3_51_2"]  # fmt: skip
    feature, error, token, logit = (nodes[name] for name in ("0_7_1", "1_-1_0", "E_9_1", "3_30_2"))
    assert (feature["feature"], feature["layer"], feature["ctx_idx"], feature["jsNodeId"]) == (35, "0", 1, "0_7-0")
    assert (feature["feature_type"], feature["activation"]) == ("cross layer transcoder", 1.5)
    assert (error["feature"], error["layer"], error["jsNodeId"], error["activation"]) == (-1, "1", "1_-1-0", None)
    assert (token["feature"], token["layer"], token["jsNodeId"]) == (1, "E", "E_9-1")
    assert (logit["layer"], logit["jsNodeId"], logit["clerp"]) == ("3", "L_30-2", 'Output "d" (p=0.750)')
    assert [node["is_target_logit"] for node in nodes.values()].index(True) == 9
    assert logit["influence"] is None
    assert {name for name, node in nodes.items() if node["influence"] is None} == {"3_30_2", "3_51_2"}
    links = {(link["source"], link["target"]): link["weight"] for link in document["links"]}
    assert links == {
        ("E_4_0", "0_7_1"): 0.5, ("E_9_1", "0_7_1"): -2.0, ("E_2_2", "0_3_2"): pytest.approx(1e-3),
        ("0_7_1", "1_0_2"): 1.5, ("0_3_2", "1_0_2"): -0.25, ("0_-1_1", "1_0_2"): 0.125, ("E_9_1", "1_0_2"): 0.5,
        ("0_7_1", "3_30_2"): 1.0, ("1_0_2", "3_30_2"): -3.0, ("1_-1_2", "3_30_2"): 0.5, ("E_2_2", "3_30_2"): 0.25,
        ("1_0_2", "3_51_2"): 1.0, ("1_-1_0", "3_51_2"): 0.125,
    }  # fmt: skip
    metadata = document["metadata"]
    assert metadata["prompt_tokens"] == ["a", ' "b"', " c"]
    assert (metadata["schema_version"], metadata["node_threshold"]) == (1, 1.0)
    assert metadata["scores"] == pytest.approx(graph.scores()._asdict())


def test_cantor_numbers_are_distinct():
    pairs = [(layer, feature) for layer in range(30) for feature in range(30)]
    assert len({cantor(*pair) for pair in pairs}) == len(pairs)
    assert cantor(2, 253) == 255 * 256 // 2 + 253


def test_a_slug_written_again_replaces_its_entry(graph, tmp_path):
    pruned = graph.prune()
    for slug in ("one", "two", "one"):
        write_neuronpedia(tmp_path, pruned, dataclasses.replace(NAMES, slug=slug))
    listing = json.loads((tmp_path / "graph-metadata.json").read_text())["graphs"]
    assert [entry["slug"] for entry in listing] == ["two", "one"]
    (tmp_path / "graph-metadata.json").write_text("[")
    with pytest.raises(ValueError, match=r"graph-metadata\.json: not the file that was written here"):
        write_neuronpedia(tmp_path, pruned, NAMES)
    (tmp_path / "causeway.sha256").unlink()
    with pytest.raises(ValueError, match=r"graph-metadata\.json: not JSON"):
        write_neuronpedia(tmp_path, pruned, NAMES)
    (tmp_path / "graph-metadata.json").write_text('{"graphs": [1]}')
    with pytest.raises(ValueError, match="not a listing of graphs"):
        write_neuronpedia(tmp_path, pruned, NAMES)


@pytest.mark.parametrize("thresholds", [(1.0, 1.0), (0.7, 0.9)])
def test_graphml_holds_the_same_edges(graph, tmp_path, thresholds):
    pruned = graph.prune(*thresholds)
    read = nx.read_graphml(write_graphml(tmp_path, pruned, NAMES))
    whole = as_networkx(pruned, NAMES)
    assert dict(read.nodes(data=True)) == dict(whole.nodes(data=True))
    weights = sorted(weight for *_, weight in read.edges(data="weight"))
    assert weights == sorted(weight for *_, weight in kept_edges(pruned))
    assert read.nodes["3_51_2"]["label"] == "d - e"
    assert read.graph["replacement"] == pytest.approx(graph.scores().replacement)


def dense(graph, edges):
    """The weights of a table of edges as the graph's own matrix; errors and tokens have no rows."""
    n, m = len(graph.features), graph.edges.shape[1]
    found = np.zeros(graph.edges.shape, graph.edges.dtype)
    for edge in edges.to_pylist():
        found[edge["target"] if edge["target"] < n else edge["target"] - m + n, edge["source"]] = edge["weight"]
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("block", [1, 3, 1 << 20])
def test_tables_hold_the_graph_to_the_bit(tmp_path, monkeypatch, dtype, block):
    monkeypatch.setattr(graph_parquet, "EDGES_PER_BLOCK", block)
    graph = make_graph(dtype)
    write_graph_tables(tmp_path, graph)
    edges, nodes = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("edges", "nodes"))
    np.testing.assert_array_equal(dense(graph, edges), graph.edges.toarray())
    assert edges.schema.field("weight").type == pa.from_numpy_dtype(dtype)
    assert edges["kept"].null_count == graph.edges.nnz
    rows = nodes.to_pylist()[: len(graph.features)]
    np.testing.assert_array_equal([[row[n] for n in ("layer", "position", "feature")] for row in rows], graph.features)
    np.testing.assert_array_equal([row["activation"] for row in rows], graph.activations)


def test_tables_mark_what_is_kept(graph, tmp_path):
    pruned = graph.prune(0.5, 0.6)
    write_graph_tables(tmp_path, pruned)
    edges = pq.read_table(tmp_path / "edges.parquet").filter(pq.read_table(tmp_path / "edges.parquet")["kept"])
    nodes = pq.read_table(tmp_path / "nodes.parquet").to_pylist()
    assert sorted(edges["weight"].to_pylist()) == sorted(weight for *_, weight in kept_edges(pruned))
    assert [node["kept"] for node in nodes] == [*pruned.kept.columns.tolist(), True, True]
    assert [node["kind"] for node in nodes] == ["feature"] * 3 + ["error"] * 6 + ["token"] * 3 + ["logit"] * 2
    np.testing.assert_array_equal(dense(graph, pq.read_table(tmp_path / "edges.parquet")), graph.edges.toarray())


@pytest.mark.parametrize("change", [{"prompt_tokens": ("a",)}, {"slug": "a/b"}, {"slug": ""}])
def test_names_that_do_not_fit_are_refused(graph, tmp_path, change, refuses_line):
    names = dataclasses.replace(NAMES, **change)
    for write in (write_neuronpedia, write_graphml):
        with refuses_line(next(iter(change))):
            write(tmp_path / "new", graph.prune(), names)
    assert not (tmp_path / "new").exists()


@pytest.fixture
def refuses_line():
    def refuses(match):
        return pytest.raises(ValueError, match=f"^{match}: [^\n]*$")

    return refuses

"""Graph files of other programs: what they say comes in as it is, and what is none is refused in a line."""

import json

import pytest

from causeway.ports.graphs.graph_json import load_graph, parse_graph
from causeway.ports.graphs.graph_nodes import kept_links, kept_nodes
from causeway.ports.graphs.neuronpedia import write_neuronpedia
from tests.ports.graph_cases import NAMES, make_graph


def node(name, layer, place, kind="cross layer transcoder", **more):
    return {"node_id": name, "feature": 3, "layer": layer, "ctx_idx": place, "feature_type": kind,
            "jsNodeId": name, "clerp": "", **more}  # fmt: skip


def document(nodes=(), links=(), tokens=("a", "b")):
    metadata = {"slug": "s", "scan": "m", "prompt": "ab", "prompt_tokens": list(tokens)}
    return {"metadata": metadata, "qParams": {}, "nodes": list(nodes), "links": list(links)}


CIRCUIT_TRACER = document(
    [
        node("E_5_0", "E", 0, "embedding", influence=0.9),
        node("0_7_1", "0", 1, influence=0.5, activation=1.5),
        node("0_1_1", "0", 1, influence=None),
        node("0_1_1", "1", 1, "mlp reconstruction error"),
        node("x", 1, 1, feature=(2 + 9) * (2 + 9 + 1) // 2 + 9),
        node("2_88_1", "2", 1, "logit", token_prob=0.25),
    ],
    [{"source": "E_5_0", "target": "0_7_1", "weight": 1}, {"source": "0_1_1", "target": "2_88_1", "weight": -0.5}],
)


def test_a_file_of_circuit_tracer_gives_its_nodes_and_edges(tmp_path):
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(CIRCUIT_TRACER))
    found = load_graph(path)
    assert found.document == CIRCUIT_TRACER
    assert found.kinds == ["token", "feature", "feature", "error", "feature", "logit"]
    assert found.layer.tolist() == [-1, 0, 0, 1, 1, 2]
    assert found.features == [None, 7, 1, None, 9, None]
    assert (found.source.tolist(), found.target.tolist(), found.weight.tolist()) == ([0, 2], [1, 5], [1, -0.5])
    assert found.probability.tolist() == [0] * 5 + [0.25]
    assert found.shared_ids == 1


def test_a_file_that_is_written_again_says_all_that_it_said(tmp_path):
    theirs = json.loads(json.dumps(CIRCUIT_TRACER))
    theirs |= {
        "qParams": {"pinnedIds": ["x"], "supernodes": [["\u0634", "x"]], "clickedId": "x"},
        "unknown": [1, {"a": None}],
    }
    theirs["nodes"][0] |= {"of_another_program": "\u2028"}
    graph = parse_graph(theirs, "g.json")
    assert (graph.pinned, graph.supernodes) == (["x"], [("\u0634", "x")])
    assert load_graph(graph.save(tmp_path / "new" / "g.json")).document == theirs
    changed = load_graph(graph.with_state(["E_5_0"], [("b", "x", "0_7_1")]).save(tmp_path / "g.json"))
    state = {"pinnedIds": ["E_5_0"], "supernodes": [["b", "x", "0_7_1"]], "clickedId": "x"}
    assert changed.document == theirs | {"qParams": state}
    assert graph.document == theirs
    assert graph.with_state().document == theirs
    for given, said in (({"pinned": ["q"]}, "pinned: the graph has no node 'q'"), ({"supernodes": [["b"]]}, "needs a")):
        with pytest.raises(ValueError, match=said):
            graph.with_state(**given)


@pytest.mark.parametrize("thresholds", [(1.0, 1.0), (0.5, 0.6)])
def test_a_graph_that_is_saved_is_loaded(tmp_path, data_dir, thresholds):
    pruned = make_graph().prune(*thresholds)
    path = write_neuronpedia(tmp_path, pruned, NAMES)
    graph = load_graph(path)
    nodes = list(kept_nodes(pruned, NAMES.vocab_size))
    assert graph.ids == [node.id for node in nodes]
    assert graph.kinds == [node.kind for node in nodes]
    assert graph.features == [node.feature if node.kind == "feature" else None for node in nodes]
    assert (graph.layer.tolist(), graph.position.tolist()) == tuple(
        [getattr(node, name) for node in nodes] for name in ("layer", "position")
    )
    edges = zip(graph.source.tolist(), graph.target.tolist(), graph.weight.tolist(), strict=True)
    assert [(graph.ids[s], graph.ids[t], w) for s, t, w in edges] == list(kept_links(pruned, nodes))
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((data_dir / "schema" / "neuronpedia_graph_schema.json").read_text())
    grouped = graph.with_state(graph.ids[:1], [("one", *graph.ids[:2])])
    jsonschema.validate(json.loads(grouped.save(path).read_text()), schema)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("nodes"), "no metadata with prompt_tokens, nodes and links"),
        (lambda d: d["metadata"].pop("prompt_tokens"), "no metadata with prompt_tokens"),
        (lambda d: d["links"][0].update(source="q"), "links[0] names 'q', which is no node"),
        (lambda d: d["links"][0].update(weight="1"), "links[0]: weight is '1'"),
        (lambda d: d["links"][0].update(weight=float("nan")), "weight is nan"),
        (lambda d: d["nodes"][1].update(ctx_idx=2), "stands at token 2, of 2"),
        (lambda d: d["nodes"][1].update(layer="top"), "nodes[1]: layer is 'top'"),
        (lambda d: d["nodes"].append(5), "nodes[6]: got 5"),
        (lambda d: d["nodes"][1].update(ctx_idx=-1), "nodes[1] stands at token -1, of 2"),
        (lambda d: d["nodes"][1].update(ctx_idx=10**30), "nodes[1] stands at token 1000"),
        (lambda d: d["nodes"][1].update(layer="9" * 30), "nodes[1]: layer is '999"),
        (lambda d: d["nodes"][1].update(layer=-2), "nodes[1]: layer is -2"),
        (lambda d: d["links"][1].update(weight=10**400), "links[1].weight is 1000"),
        (lambda d: d["nodes"][5].update(token_prob=-(10**400)), "nodes[5].token_prob is -1000"),
        (lambda d: d["nodes"][0].update(influence=float("inf")), "nodes[0].influence is inf"),
        (lambda d: d["metadata"].update(extra=[{"a": float("-inf")}]), "metadata.extra[0].a is -inf; needs a finite"),
    ],
)
def test_what_is_no_graph_is_refused(change, said):
    content = json.loads(json.dumps(CIRCUIT_TRACER))
    change(content)
    with pytest.raises(ValueError) as refused:
        parse_graph(content, "g.json")
    assert str(refused.value).startswith("g.json: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_number_of_a_feature_that_is_none_is_left_out():
    name = f"0_{'9' * 5000}_1"
    assert parse_graph(document([node(name, 0, 1, feature=None)]), "g.json").features == [None]

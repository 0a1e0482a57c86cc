"""Aggregates of random graphs against dense sums with every absence counted as 0."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from causeway.engine.analyses.attribute.aggregate import OUTPUT, AggregateSettings, aggregate
from causeway.engine.analyses.attribute.graph import AttributionGraph, Logit
from causeway.engine.analyses.attribute.keys import Key, column_keys, unpack
from causeway.engine.stats.paired import paired_mean
from causeway.engine.stats.splits import held_out

LAYERS, FEATURES = 3, 4
ALL = AggregateSettings(max_nodes=10_000, edges_per_node=10_000)


def make_graph(seed: int, length: int) -> AttributionGraph:
    """Random features and edges that respect layers and positions."""
    rng = np.random.default_rng(seed)
    features = np.argwhere(rng.random((LAYERS, length, FEATURES)) < 0.3)
    features = features[features[:, 1] > 0]
    n, m = len(features), len(features) + (LAYERS + 1) * length
    rows = rng.standard_normal((n + 1, m)) * (rng.random((n + 1, m)) < 0.5)
    rows[:n, :n] *= features[:, None, 0] > features[None, :, 0]
    return AttributionGraph(
        tokens=tuple(range(length)), num_layers=LAYERS, features=features, activations=1 + rng.random(n),
        logits=(Logit("a - b", -1, 1.0),), edges=csr_array(rows), totals=np.abs(rows).sum(axis=1), active=n,
    )  # fmt: skip


@pytest.fixture(scope="module")
def graphs():
    cases = [(0, 5, {"subject": 2}), (1, 6, {"subject": 3}), (2, 4, {}), (3, 5, {"subject": 1})]
    return [(roles, make_graph(seed, length)) for seed, length, roles in cases]


def place(roles, length, position) -> str:
    return {at: name for name, at in roles.items()}.get(position, str(position - length))


def names_of(roles, graph) -> list[str]:
    length = len(graph.tokens)
    at = [place(roles, length, position) for position in range(length)]
    return [
        *(f"L{layer}_F{feature}@{at[position]}" for layer, position, feature in graph.features),
        *(f"error_L{layer}@{where}" for layer in range(LAYERS) for where in at), *(f"token@{where}" for where in at),
    ]  # fmt: skip


def by_name(graphs) -> tuple[dict, dict]:
    """Plain dicts: node -> [P] direct effects, and (target, source) -> [P] weights."""
    nodes, edges = {}, {}
    for p, (roles, graph) in enumerate(graphs):
        names, dense = names_of(roles, graph), graph.edges.toarray()
        for column, name in enumerate(names):
            nodes.setdefault(name, np.zeros(len(graphs)))[p] = dense[-1, column]
            for row, target in enumerate([*names[: len(graph.features)], "output"]):
                edges.setdefault((target, name), np.zeros(len(graphs)))[p] = dense[row, column]
    return nodes, {pair: weights for pair, weights in edges.items() if weights.any()}


def test_means_are_over_all_prompts_with_zeros_counted(graphs):
    found = aggregate(lambda: graphs, ALL)
    nodes, edges = by_name(graphs)
    names = [key.name for key in found.nodes]
    assert len(set(names)) == len(names)
    expected = paired_mean(np.stack([nodes[name] for name in names]))
    for field in ("effect", "low", "high"):
        np.testing.assert_allclose(getattr(found.attribution, field), getattr(expected, field), atol=1e-12)
    # Left out are only nodes without any effect.
    assert all(not nodes[name].any() for name in nodes.keys() - set(names))
    pairs = [("output" if t == OUTPUT else names[t], names[s]) for t, s in zip(found.target, found.source, strict=True)]
    kept = {pair: weights for pair, weights in edges.items() if pair[0] in {*names, "output"} and pair[1] in names}
    assert sorted(pairs) == sorted(kept)
    np.testing.assert_allclose(found.weight.effect, [kept[pair].mean() for pair in pairs], atol=1e-12)
    np.testing.assert_allclose(found.edge_frequency, [(kept[pair] != 0).mean() for pair in pairs])


def test_total_effects_activations_and_frequencies(graphs):
    found = aggregate(lambda: graphs, ALL)
    totals, active, there = ({} for _ in range(3))
    for roles, graph in graphs:
        padded = np.concatenate([graph.activations, np.zeros(graph.edges.shape[1] - len(graph.features))])
        for name, total, activation in zip(names_of(roles, graph), graph.total_effects(), padded, strict=True):
            totals[name] = totals.get(name, 0) + total / 4
            active[name] = active.get(name, 0) + activation / 4
            there[name] = there.get(name, 0) + 1 / 4
    for values, expected in ((found.total.effect, totals), (found.activation, active), (found.frequency, there)):
        np.testing.assert_allclose(values, [expected[key.name] for key in found.nodes], atol=1e-12)


def test_the_largest_nodes_and_edges_are_kept(graphs):
    whole = aggregate(lambda: graphs, ALL)
    found = aggregate(lambda: graphs, AggregateSettings(max_nodes=9, edges_per_node=2))
    sizes = {}
    for roles, graph in graphs:
        for name, total in zip(names_of(roles, graph), graph.total_effects(), strict=True):
            sizes[name] = sizes.get(name, 0) + abs(total)
    assert {key.name for key in found.nodes} == set(sorted(sizes, key=sizes.get)[-9:])
    assert np.bincount(found.target + 1).max() <= 2
    by_edge = {
        (t if t == OUTPUT else whole.nodes[t], whole.nodes[s]): effect
        for t, s, effect in zip(whole.target, whole.source, whole.weight.effect, strict=True)
    }
    for t, s, effect in zip(found.target, found.source, found.weight.effect, strict=True):
        assert effect == pytest.approx(by_edge[t if t == OUTPUT else found.nodes[t], found.nodes[s]])


def test_prompts_held_out_estimate_what_the_others_choose(graphs):
    settings = AggregateSettings(max_nodes=9, edges_per_node=2, held_out=0.5, seed=1)
    found = aggregate(lambda: graphs, settings)
    held = held_out(range(4), 0.5, 1)
    choosing, others = ([g for g, mine in zip(graphs, held, strict=True) if mine == side] for side in (False, True))
    chosen = aggregate(lambda: choosing, AggregateSettings(max_nodes=9, edges_per_node=2))
    assert (found.prompts, found.chosen_on) == (2, 2)
    assert found.nodes == chosen.nodes
    pairs = [list(zip(one.target.tolist(), one.source.tolist(), strict=True)) for one in (found, chosen)]
    assert pairs[0] == pairs[1]
    nodes, edges = by_name(others)
    names = [key.name for key in found.nodes]
    nothing = np.zeros(2)
    expected = paired_mean(np.stack([nodes.get(name, nothing) for name in names]))
    for field in ("effect", "low", "high"):
        np.testing.assert_allclose(getattr(found.attribution, field), getattr(expected, field), atol=1e-12)
    weights = [edges.get(("output" if t == OUTPUT else names[t], names[s]), nothing).mean() for t, s in pairs[0]]
    np.testing.assert_allclose(found.weight.effect, weights, atol=1e-12)


@pytest.mark.slow
def test_the_interval_of_prompts_held_out_holds_what_it_says():
    """All effects alike: of those that seem largest on some prompts, these prompts give intervals above the truth."""
    missed = {0.0: [], 0.5: []}
    for seed in range(40):
        noise = [({}, noisy_graph(100 * seed + i)) for i in range(24)]
        for share, found in missed.items():
            kept = aggregate(lambda noise=noise: noise, AggregateSettings(max_nodes=3, held_out=share, seed=seed))
            found += ((kept.attribution.low > 1) | (kept.attribution.high < 1)).tolist()
    assert np.mean(missed[0.5]) < 0.1
    assert np.mean(missed[0.0]) > 0.2


def noisy_graph(seed: int) -> AttributionGraph:
    """The same nodes in every graph, with edges to the output of mean 1."""
    rng = np.random.default_rng(seed)
    features = np.array([(0, 1, f) for f in range(60)])
    rows = np.zeros((61, 60 + (LAYERS + 1) * 2))
    rows[-1, :60] = 1 + rng.standard_normal(60)
    return AttributionGraph(
        tokens=(0, 1), num_layers=LAYERS, features=features, activations=np.ones(60),
        logits=(Logit("a - b", -1, 1.0),), edges=csr_array(rows), totals=np.abs(rows).sum(axis=1), active=60,
    )  # fmt: skip


def test_order_of_prompts_and_too_few_for_an_interval(graphs):
    settings = AggregateSettings(max_nodes=12)
    found, turned = aggregate(lambda: graphs, settings), aggregate(lambda: graphs[::-1], settings)
    assert found.nodes == turned.nodes
    np.testing.assert_allclose(found.attribution.effect, turned.attribution.effect, atol=1e-12)
    assert np.isnan(found.attribution.low).all()
    many = aggregate(lambda: graphs * 3, settings)
    told = ~np.isnan(many.attribution.low)
    assert told.any()
    assert (many.attribution.low <= many.attribution.effect)[told].all()
    # What shows in one prompt of four shows in three of twelve.
    assert not told[many.frequency < 0.5].any()


def test_keys_unpack(graphs):
    roles, graph = graphs[1]
    keys = [unpack(key, ["object", "subject"]) for key in column_keys(graph, roles, ["object", "subject"])]
    assert [key.name for key in keys] == names_of(roles, graph)
    assert Key("feature", 15, 1234, "-1").name == "L15_F1234@-1"


@pytest.mark.parametrize("change", [{"max_nodes": 0}, {"edges_per_node": 0}, {"confidence": 1.0}, {"confidence": 0.0}])
def test_settings_outside_their_range_are_refused(refuses, change):
    with refuses(f"^{next(iter(change))}: got"):
        AggregateSettings(**change)


def test_no_graphs_are_refused(refuses):
    with refuses("graphs: none"):
        aggregate(lambda: [])

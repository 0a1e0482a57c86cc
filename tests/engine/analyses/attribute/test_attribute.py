"""Attribution as a computation: budgets, batches, padding, devices, floors, targets, refusals."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.analyses.attribute.attribute import attribute
from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
from causeway.engine.analyses.attribute.targets import Target, logit_difference
from causeway.engine.devices import local_parallel
from causeway.engine.frozen import sources
from causeway.engine.frozen.pullback import Frozen, Targets, feature_targets, pullback
from causeway.engine.frozen.record import record_pass
from causeway.engine.frozen.sources import active_features, gather_sources
from causeway.engine.model.config import Numerics
from causeway.engine.model.handle import Model

PROMPT = [7, 31, 2, 19, 19, 0, 38, 11, 25, 4, 13]
PLAN = AttributionPlan(max_feature_nodes=None, rows=16)
TARGETS = (5, 9, 30)
EXACT = 1e-12

pytestmark = pytest.mark.usefixtures("double")


class Letters:
    """One token a letter, from "a" on."""

    vocab_size, bos_id, eos_id, fingerprint = 40, None, None, "letters"

    def encode(self, text: str) -> list[int]:
        return [ord(letter) - ord("a") for letter in text]

    def decode(self, ids) -> str:
        return "".join(chr(ord("a") + i) for i in ids)


@pytest.fixture(scope="module")
def model(double, tiny, cases):
    return cases.make_model(tiny, "llama", tokenizer=Letters())


@pytest.fixture(scope="module")
def transcoders(double, tiny, cases):
    return cases.make_dictionary(tiny, "skip_mlp_in")


@pytest.fixture(scope="module")
def whole(model, transcoders):
    """All rows."""
    return attribute(model, transcoders, PROMPT, targets=TARGETS, plan=PLAN)


def changed(**changes) -> AttributionPlan:
    return dataclasses.replace(PLAN, **changes)


def places(graph, whole) -> np.ndarray:
    """The numbers of a graph's features among those of the whole graph."""
    numbers = {tuple(node): i for i, node in enumerate(whole.features.tolist())}
    return np.array([numbers[tuple(node)] for node in graph.features.tolist()])


def assert_same(graph, other, atol):
    np.testing.assert_array_equal(graph.features, other.features)
    np.testing.assert_allclose(graph.edges.toarray(), other.edges.toarray(), atol=atol, rtol=0)
    np.testing.assert_allclose(graph.totals, other.totals, atol=100 * atol)


def _frozen(model, transcoders, tokens) -> Frozen:
    """The frozen pass of all tokens but the last."""
    record = record_pass(model.transformer, tokens, jnp.int32(len(tokens)), ("mlp_in", "mlp_out"))
    active = active_features(transcoders, record, len(tokens) - 1, 1)
    ids, values = jnp.asarray(active.ids), jnp.asarray(active.values)
    return Frozen(model.transformer, transcoders, record, gather_sources(transcoders, record, ids, values, 1, False))


@pytest.mark.parametrize(("budget", "update_every"), [(20, 512), (60, 16), (61, 7), (100, 32)])
def test_a_budget_takes_the_most_influential_features_and_their_rows(
    model, transcoders, whole, plain_graph, budget, update_every
):
    plan = changed(max_feature_nodes=budget, update_every=update_every)
    graph = attribute(model, transcoders, PROMPT, targets=TARGETS, plan=plan)
    n, m = len(whole.features), whole.edges.shape[1]
    chosen = plain_graph.select(whole.edges.toarray(), whole.probabilities, budget, update_every)
    np.testing.assert_array_equal(places(graph, whole), chosen)
    assert (graph.active, len(graph.features)) == (n, budget)
    rows, columns = np.r_[chosen, n : n + 3], np.r_[chosen, n:m]
    np.testing.assert_allclose(graph.edges.toarray(), whole.edges.toarray()[np.ix_(rows, columns)], atol=EXACT)
    np.testing.assert_allclose(graph.totals, whole.totals[rows], atol=1e-10)
    np.testing.assert_array_equal(graph.activations, whole.activations[chosen])


def test_a_budget_of_all_features_or_more_takes_all(model, transcoders, whole):
    for budget in (len(whole.features), 10**6):
        plan = changed(max_feature_nodes=budget)
        assert_same(attribute(model, transcoders, PROMPT, targets=TARGETS, plan=plan), whole, 0)
    short = changed(max_feature_nodes=len(whole.features) - 1)
    assert len(attribute(model, transcoders, PROMPT, targets=TARGETS, plan=short).features) == len(whole.features) - 1


@pytest.mark.parametrize("rows", [5, 40])
def test_widths_of_batches_do_not_matter(model, transcoders, whole, rows):
    assert_same(attribute(model, transcoders, PROMPT, targets=TARGETS, plan=changed(rows=rows)), whole, EXACT)


@pytest.mark.parametrize("mode", ["shard_map", "pmap"])
def test_four_devices_are_one(model, transcoders, whole, mode):
    graph = attribute(model, transcoders, PROMPT, targets=TARGETS, plan=PLAN, parallel=local_parallel(4, mode))
    assert_same(graph, whole, EXACT)
    plan = changed(max_feature_nodes=60, update_every=16)
    one = attribute(model, transcoders, PROMPT, targets=TARGETS, plan=plan)
    four = attribute(model, transcoders, PROMPT, targets=TARGETS, plan=plan, parallel=local_parallel(4, mode))
    assert_same(one, four, EXACT)


def test_what_comes_after_changes_no_row(model, transcoders, whole):
    """Also another bucket: 16 positions against 24."""
    longer = attribute(model, transcoders, [*PROMPT, *range(1, 8)], targets=TARGETS, plan=PLAN)
    n, length = len(whole.features), len(PROMPT)
    early = np.flatnonzero(longer.features[:, 1] < length)
    np.testing.assert_array_equal(longer.features[early], whole.features)
    errors = len(longer.features) + np.arange(3)[:, None] * 18 + np.arange(length)
    tokens = len(longer.features) + 3 * 18 + np.arange(length)
    rows = longer.edges.toarray()[early]
    kept = np.concatenate([early, errors.ravel(), tokens])
    np.testing.assert_allclose(rows[:, kept], whole.edges.toarray()[:n], atol=EXACT)
    assert not np.delete(rows, kept, axis=1).any()


def test_a_prompt_alone_and_after_others_is_the_same_to_the_bit(model, transcoders, whole, compilations):
    others = [PROMPT[::-1], PROMPT[:9], [1, 2, 3]]
    for other in others:
        attribute(model, transcoders, other, targets=TARGETS, plan=PLAN)
    with compilations() as compiled:
        again = attribute(model, transcoders, list(PROMPT), targets=TARGETS, plan=PLAN)
    assert compiled == []
    assert_same(again, whole, 0)
    np.testing.assert_array_equal(again.edges.toarray(), whole.edges.toarray())


def test_a_floor_leaves_small_edges_out_and_prunes_alike(model, transcoders, whole):
    sparse = attribute(model, transcoders, PROMPT, targets=TARGETS, plan=changed(edge_floor=1e-5))
    a, b = sparse.edges.toarray(), whole.edges.toarray()
    below = abs(b) <= 1e-5 * whole.totals[:, None]
    assert 0 < (below & (b != 0)).sum() == whole.edges.nnz - sparse.edges.nnz
    np.testing.assert_array_equal(a, np.where(below, 0, b))
    np.testing.assert_array_equal(sparse.totals, whole.totals)
    pruned, dense = sparse.prune(), whole.prune()
    np.testing.assert_array_equal(pruned.kept.columns, dense.kept.columns)
    np.testing.assert_array_equal(pruned.edges.toarray(), dense.edges.toarray())
    np.testing.assert_allclose(sparse.scores(), whole.scores(), atol=1e-3)


def test_the_graph_of_a_prompt_prunes_and_scores_as_dense(whole, plain_graph):
    n, length = len(whole.features), len(PROMPT)
    nodes, edges, _ = plain_graph.prune(whole.dense(), n, length, whole.probabilities, 0.8, 0.98)
    pruned, m = whole.prune(0.8, 0.98), whole.edges.shape[1]
    np.testing.assert_array_equal(pruned.kept.columns, nodes[:m])
    np.testing.assert_array_equal(pruned.edges.toarray() != 0, np.concatenate([edges[:n, :m], edges[m:, :m]]))
    expected = plain_graph.scores(whole.dense(), n, length, whole.probabilities)
    np.testing.assert_allclose(whole.scores(), expected, atol=EXACT)
    effects = plain_graph.total_effects(whole.dense(), whole.activations, whole.probabilities)
    np.testing.assert_allclose(whole.total_effects(), effects, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_scores_are_linear_in_targets(model, transcoders):
    """The frozen pass is linear, so its second derivative is zero; in one program, traced through twice."""
    frozen = _frozen(model, transcoders, jnp.asarray([*PROMPT[:7], 0]))

    def edges(vector):
        targets = Targets(jnp.array([3, 2]), jnp.array([5, 4]), vector)
        scores = pullback(frozen, targets, width=8)
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(scores)])[::5]

    vector = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16)))
    slope, bend = jax.jit(lambda v: (jax.jacfwd(edges)(v), jax.jacfwd(jax.jacfwd(edges))(v)))(vector)
    assert not bend.any()
    np.testing.assert_allclose(jnp.einsum("erd,rd->e", slope, vector), edges(vector), atol=EXACT)


@pytest.mark.slow
def test_half_precision_models_are_summed_in_single(tiny):
    with jax.enable_x64(False):
        half = Model(tiny.make_transformer(Numerics("bfloat16", "bfloat16", "float32")), None, "half", "")
        skips = tiny.make_dictionary("relu", (0, 1, 2), "mlp_in", "bfloat16", write_stream="mlp_out", skip=True)
        graph = attribute(half, skips, PROMPT[:7], targets=TARGETS, plan=PLAN)
        frozen = _frozen(half, skips, jnp.asarray([*PROMPT[:7], 0]))
        targets = feature_targets(frozen, jnp.asarray(graph.features[:16]))
    assert (graph.edges.dtype, graph.activations.dtype, targets.vector.dtype) == (np.float32,) * 3
    written = frozen.sources.features.sum(2) + frozen.sources.errors + skips.b_dec[...][:, None].astype("float32")
    read, skip = (np.asarray(a, np.float32) for a in (frozen.record.streams["mlp_in"], skips.W_skip[...]))
    whole = np.asarray(frozen.record.streams["mlp_out"], np.float32)
    np.testing.assert_allclose((written + read @ skip)[:, 1:7], whole[:, 1:7], atol=1e-5)


def test_writers_of_long_prompts_are_gathered_when_they_are_read(model, transcoders, whole, monkeypatch):
    monkeypatch.setattr(sources, "WRITER_BYTES", 0)
    assert_same(attribute(model, transcoders, PROMPT, targets=TARGETS, plan=PLAN), whole, EXACT)


def test_targets_by_probability(model, transcoders, plain):
    logits = plain.logits(model.transformer, PROMPT)[-1]
    p = np.exp(logits) / np.exp(logits).sum()
    order = np.argsort(-p)
    for most, mass in ((10, 0.6), (3, 0.95), (40, 1.0)):
        graph = attribute(model, transcoders, PROMPT, plan=changed(max_logits=most, desired_logit_prob=mass))
        chosen = [logit.token for logit in graph.logits]
        count = min(most, 40, int((np.cumsum(p[order]) < mass - 1e-12).sum()) + 1)
        assert len(chosen) == count or mass == 1.0
        np.testing.assert_array_equal(chosen, order[: len(chosen)])
        np.testing.assert_allclose(graph.probabilities, p[order[: len(chosen)]], atol=1e-12)


def test_a_difference_of_logits_is_the_difference_of_rows(model, transcoders, whole):
    targets = [5, "j", logit_difference(5, 9, "five - nine"), Target("mix", {5: 2.0, 9: 0.5}, probability=0.25)]
    graph = attribute(model, transcoders, PROMPT, targets=targets, plan=PLAN)
    five, nine, difference, mix = graph.edges.toarray()[-4:]
    np.testing.assert_array_equal(five, whole.edges.toarray()[-3])
    np.testing.assert_allclose(five - nine, difference, atol=EXACT)
    np.testing.assert_allclose(2 * five + 0.5 * nine, mix, atol=EXACT)
    assert [(logit.label, logit.token) for logit in graph.logits] == [
        ("f", 5),
        ("j", 9),
        ("five - nine", -1),
        ("mix", -1),
    ]
    np.testing.assert_array_equal(graph.probabilities[2:], [1, 0.25])
    effects = graph.total_effects([1, 0, 0, 0]) - graph.total_effects([0, 1, 0, 0])
    np.testing.assert_allclose(graph.total_effects([0, 0, 1, 0]), effects, atol=1e-9)


def test_more_targets_than_rows_of_a_batch(model, transcoders):
    graph = attribute(model, transcoders, PROMPT, targets=range(40), plan=changed(max_feature_nodes=10))
    np.testing.assert_allclose(graph.edges[10:].sum(axis=0), 0, atol=1e-9)


def test_ignored_positions_have_neither_features_nor_errors(model, transcoders):
    for first in (0, 3):
        graph = attribute(model, transcoders, PROMPT, targets=TARGETS, plan=changed(ignore_first=first))
        assert graph.features[:, 1].min() == first
        n = len(graph.features)
        errors = abs(graph.edges[:, n : n + 33]).sum(axis=0).reshape(3, 11)
        assert not errors[:, :first].any()
        assert errors[:2, first].all()


def test_what_is_asked_of_a_graph_is_checked_first(model, transcoders, tiny, cases, refuses, compilations):
    plain_sae = {"kind": "relu", "dtype": "float64"}
    asked = [
        ([7], transcoders, "1 token"), ([7, 400], transcoders, "outside the vocabulary"),
        (PROMPT, tiny.make_dictionary(**plain_sae, stream="mlp_in"), "SAEs of mlp_in"),
        (PROMPT, tiny.make_dictionary(**plain_sae, skip=True), "SAEs with skip"),
        (PROMPT, tiny.make_dictionary(**plain_sae, stream="resid_pre", write_stream="mlp_out"), "read resid_pre"),
        (PROMPT, tiny.make_dictionary(**plain_sae, stream="mlp_in", write_stream="resid_post"), "write resid_post"),
        (PROMPT, tiny.make_dictionary(**plain_sae, stream="mlp_in", write_stream="mlp_out"), r"layers \[1\]"),
        (PROMPT, tiny.make_dictionary("matching_pursuit", dtype="float64"), "matching_pursuit"),
        (PROMPT, tiny.make_dictionary("relu", dtype="float64", input_norm="layer_norm"), "layer_norm"),
        (PROMPT, tiny.make_dictionary(**plain_sae, layers=(0, 5)), r"layers \[5\]"),
        (PROMPT, tiny.make_dictionary(
            **plain_sae, layers=range(4), stream="mlp_in", write_stream="mlp_out"), r"layers \[3\]"),
    ]  # fmt: skip
    with compilations() as compiled:
        for prompt, dictionary, what in asked:
            with refuses(what):
                attribute(model, dictionary, prompt)
    assert compiled == []


def test_transcoders_of_another_width_are_refused(tiny, cases, transcoders, refuses):
    with refuses("read 16 and write 16 coordinates.*has 8"):
        attribute(cases.make_model(tiny, d_model=8), transcoders, PROMPT)


def test_parallel_blocks_have_no_stream_between(tiny, cases, refuses):
    with refuses("resid_mid"):
        attribute(cases.make_model(tiny, "gpt_neox"), cases.make_dictionary(tiny, "topk"), PROMPT)


@pytest.mark.parametrize(("targets", "what"), [
    ([40], "outside the vocabulary"), ([-1], "targets: got -1"), (["ab"], "is 2 tokens"), ([""], "is 0 tokens"),
    ([Target("far", {3: 1.0, 77: -1.0})], "77"), ([], "empty"), ([Target("none", {3: 0.0})], "is zero"),
    ([Target("empty", {})], "is zero"), ("ab", "needs a list"),
])  # fmt: skip
def test_targets_that_cannot_be(model, transcoders, refuses, targets, what):
    with refuses(what):
        attribute(model, transcoders, PROMPT, targets=targets, plan=PLAN)


def test_a_logit_less_itself_is_no_target(refuses):
    with refuses("5"):
        logit_difference(5, 5)


def test_a_prompt_without_active_features(model, transcoders, refuses):
    silent = jax.tree.map(lambda leaf: leaf, transcoders)
    silent.threshold[...] = jnp.full_like(silent.threshold[...], 1e9)
    with refuses("no feature"):
        attribute(model, silent, PROMPT, plan=PLAN)
    with refuses("no feature"):
        attribute(model, transcoders, PROMPT, plan=changed(ignore_first=11))


@pytest.mark.parametrize("changes", [
    {"max_feature_nodes": 0}, {"max_feature_nodes": -3}, {"max_logits": 0}, {"update_every": 0}, {"rows": 0},
    {"desired_logit_prob": 0.0}, {"desired_logit_prob": 1.5}, {"edge_floor": -0.1}, {"edge_floor": 1.0},
    {"ignore_first": -1},
])  # fmt: skip
def test_plans_that_cannot_be(refuses, changes):
    with refuses(next(iter(changes))):
        changed(**changes)

"""Interventions: a no-op at a feature's own value, direct edges when constrained, plain numpy hooks otherwise."""

import jax
import numpy as np
import pytest

from causeway.engine.analyses.attribute.attribute import attribute
from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
from causeway.engine.analyses.intervene.clean_run import CleanRun
from causeway.engine.analyses.intervene.intervene import intervene
from causeway.engine.analyses.intervene.intervention_rows import feature_rows, written_rows
from causeway.engine.calls.run import run as run_once
from causeway.engine.devices import local_parallel
from causeway.engine.intervention.hold import Hold
from causeway.engine.intervention.operations import coefficients
from causeway.engine.intervention.requests import FeatureEdit, PatternEdit, SwapEdit, UnitEdit, VectorEdit
from causeway.engine.intervention.tap_requests import Tap
from causeway.engine.model.handle import Model

TOKENS = [7, 31, 2, 19, 19, 0, 38]
PLAN = AttributionPlan(max_feature_nodes=None, rows=16)
FAST = [("qwen3", "skip_mlp_in"), ("gpt2", "topk")]
SLOW = [
    ("llama", "relu"), ("gpt2", "jumprelu"), ("qwen3", "cross_layer"), ("llama", "cross_layer_skip"),
    ("gpt_neox", "gated"), ("gemma2", "skip_resid_mid"), ("llama", "sae"),
]  # fmt: skip
CASES = [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]
CHANGES = [(0, 3, 5, 2.5), (1, -1, 7, 0.0), (1, slice(2, 5), 3, -1.0), (2, 1, 0, 4.0)]

pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture(scope="module")
def model(double, tiny, cases):
    return cases.make_model(tiny, "llama")


@pytest.fixture(scope="module")
def transcoders(double, tiny, cases):
    return cases.make_dictionary(tiny, "skip_mlp_in")


@pytest.fixture(scope="module")
def run(model, transcoders):
    return CleanRun(model, transcoders, TOKENS)


def hooked(plain, plain_frozen, model, dictionary, changes, freeze=False):
    """The plain decoder with changes made at its streams, attention patterns frozen or not."""
    encoder, config = plain_frozen.Encoder(dictionary), dictionary.config
    recorded, pushed = {}, {}
    clean = plain.logits(model.transformer, TOKENS, lambda s, i, x: recorded.setdefault((s, i), x))

    def write(layer, x):
        f = np.zeros((3, len(TOKENS), dictionary.num_features))
        for own, push in pushed.items():
            f[own] = push
        return x + encoder.written(layer, f)

    def hook(stream, layer, x):
        if stream == "attn_in" and freeze:
            held[0] = layer
        if stream == config.stream and layer in config.layers:
            values = encoder.values(layer, x)
            pushed[layer] = np.zeros_like(values)
            for at, position, feature, value in changes:
                if at == layer:
                    pushed[layer][position, feature] = value - values[position, feature]
        return write(layer, x) if stream == config.output_stream else x

    held, attention = [None], plain.attention

    def frozen(q, k, v, *rest):
        pattern = recorded["attn_pattern", held[0]]
        return np.einsum("hts,shk->thk", pattern, np.repeat(v, q.shape[1] // v.shape[1], axis=1)), pattern

    plain.attention = frozen if freeze else attention
    try:
        return plain.logits(model.transformer, TOKENS, hook), clean
    finally:
        plain.attention = attention


def constrained_hooks(plain, plain_frozen, model, dictionary, changes, inside):
    """The plain decoder as circuit-tracer constrains it: every pattern frozen, norms free, MLP outputs of the layers
    `inside` kept but for their skip connection, pushes from clean activations, written inside alone."""
    encoder, config = plain_frozen.Encoder(dictionary), dictionary.config
    recorded, change, held, attention = {}, {}, [None], plain.attention
    clean = plain.logits(model.transformer, TOKENS, lambda s, i, x: recorded.setdefault((s, i), x))
    pushes = np.zeros((3, len(TOKENS), dictionary.num_features))
    for layer, position, feature, value in changes:
        present = encoder.values(layer, recorded[config.stream, layer])
        pushes[layer][position, feature] = value - present[position, feature]

    def hook(stream, layer, x):
        if stream == "attn_in":
            held[0] = layer
        if stream == config.stream:
            change[layer] = encoder.skip(layer, x) - encoder.skip(layer, recorded[stream, layer])
        if stream == config.output_stream and layer in inside:
            return recorded[stream, layer] + change[layer] + encoder.written(layer, pushes)
        return x

    def frozen(q, k, v, *rest):
        pattern = recorded["attn_pattern", held[0]]
        return np.einsum("hts,shk->thk", pattern, np.repeat(v, q.shape[1] // v.shape[1], axis=1)), pattern

    plain.attention = frozen
    try:
        return plain.logits(model.transformer, TOKENS, hook), clean
    finally:
        plain.attention = attention


@pytest.mark.parametrize(("family", "kind"), [
    ("qwen3", "skip_mlp_in"), pytest.param("llama", "cross_layer_skip", marks=pytest.mark.slow),
    pytest.param("qwen3", "cross_layer", marks=pytest.mark.slow),
    pytest.param("gemma2", "relu", marks=pytest.mark.slow),
])  # fmt: skip
@pytest.mark.parametrize("inside", [(0, 1), (1,), (1, 2)])
def test_constrained_layers_are_circuit_tracers(tiny, cases, plain, plain_frozen, family, kind, inside):
    model, dictionary = cases.make_model(tiny, family), cases.make_dictionary(tiny, kind)
    changes = [change for change in CHANGES if change[0] in inside]
    expected, clean = constrained_hooks(plain, plain_frozen, model, dictionary, changes, inside)
    out = intervene(model, TOKENS, dictionary, changes, "constrained", constrained_layers=inside)
    np.testing.assert_allclose(out.logits, expected, atol=1e-10)
    assert np.abs(expected - clean).max() > 0.01
    ours = intervene(model, TOKENS, dictionary, changes, "constrained", held_layers=inside)
    assert np.abs(ours.logits - expected).max() > 1e-4  # another reading, not another name


@pytest.mark.parametrize(("family", "kind"), [pytest.param(*FAST[0], marks=pytest.mark.slow), *CASES[1:-1]])
def test_open_and_frozen_attention_are_hooks_on_the_plain_decoder(tiny, cases, plain, plain_frozen, family, kind):
    model, dictionary = cases.make_model(tiny, family), cases.make_dictionary(tiny, kind)
    for mode in ("open", "freeze_attention"):
        out = intervene(model, TOKENS, dictionary, CHANGES, mode)
        expected, clean = hooked(plain, plain_frozen, model, dictionary, CHANGES, mode != "open")
        np.testing.assert_allclose(out.logits, expected, atol=1e-10)
        np.testing.assert_allclose(out.clean_logits, clean, atol=1e-10)
        assert np.abs(expected - clean).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("family", "kind"), CASES)
def test_doubling_a_source_moves_every_target_by_its_edge(tiny, cases, family, kind):
    model, dictionary = cases.make_model(tiny, family, logit_softcap=0.0), cases.make_dictionary(tiny, kind)
    graph = attribute(model, dictionary, TOKENS, targets=range(40), plan=PLAN)
    n, edges = len(graph.features), graph.edges.toarray()
    run = CleanRun(model, dictionary, TOKENS)
    sources = np.random.default_rng(0).permutation(n)[:6]
    doubled = feature_rows(run.transcoders, graph.features[sources], coefficients("scale", 2.0))
    logits = run.last_logits(doubled, "constrained", width=4) - run.logits[-1]
    np.testing.assert_allclose(logits - logits.mean(axis=1, keepdims=True), edges[n:, sources].T, atol=1e-9)
    layer, position, feature = graph.features.T
    for source in sources[:3]:
        value = 2 * graph.activations[source]
        out = intervene(model, TOKENS, dictionary, [(*graph.features[source].tolist(), value)], "constrained")
        clean = intervene(model, TOKENS, dictionary, [(*graph.features[source].tolist(), value / 2)], "constrained")
        row = [out.layers.index(at) for at in layer.tolist()]
        place = [dictionary.config.index_of(at) for at in layer.tolist()]
        moved = np.sum((out.streams - clean.streams)[row, position] * dictionary.W_enc[...][place, :, feature], axis=-1)
        if kind == "gated":  # their magnitude is what moves
            moved = moved * np.exp(dictionary.log_scale[...][place, feature])
        np.testing.assert_allclose(moved, edges[:n, source], atol=1e-9)


@pytest.mark.parametrize("kind", ["relu", pytest.param("sae", marks=pytest.mark.slow)])
def test_open_is_run_with_feature_edits(tiny, cases, kind):
    model, dictionary = cases.make_model(tiny), cases.make_dictionary(tiny, kind)
    edits = [FeatureEdit(0, 5, 2.0, scope="positions:3"), FeatureEdit(2, 1, -1.0, scope="positions:1:6")]
    expected = run_once(model, TOKENS, edits=edits, dictionary=dictionary).logits[0]
    out = intervene(model, TOKENS, dictionary, [(0, 3, 5, 2.0), (2, slice(1, 6), 1, -1.0)])
    np.testing.assert_allclose(out.logits, expected, atol=1e-12)


@pytest.mark.parametrize(("family", "kind"), [FAST[1], pytest.param("qwen3", "cross_layer", marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", ["open", "constrained"])
def test_own_values_do_nothing_at_all(tiny, cases, family, kind, mode):
    """Recorded values, and whatever they are: to the bit what rows without a change give."""
    model, dictionary = cases.make_model(tiny, family), cases.make_dictionary(tiny, kind)
    run = CleanRun(model, dictionary, TOKENS)
    values = run.activations(1)
    for position, feature in [*np.argwhere(values)[:3].tolist(), *np.argwhere(values == 0)[:1].tolist()]:
        recorded = intervene(model, TOKENS, dictionary, [(1, position, feature, values[position, feature])], mode)
        own = intervene(model, TOKENS, dictionary, [FeatureEdit(1, feature, operation="own", scope=position)], mode)
        np.testing.assert_array_equal(recorded.logits, own.logits)
        np.testing.assert_array_equal(recorded.activations, own.activations)
        np.testing.assert_allclose(own.logits, own.clean_logits, atol=1e-12)


@pytest.mark.slow
def test_a_row_is_the_same_alone_and_among_others(run):
    # Rows of one slot and of eight: every width is a program.
    lists = [[CHANGES[i]] for i in (0, 1, 3)] + [CHANGES, [(2, 4, 9, 1.0)], [(0, 0, 1, 3.0), *CHANGES[1:]]]
    rows = written_rows(lists, len(TOKENS), run.model, run.transcoders)
    for mode in ("open", "constrained"):
        together = run.last_logits(rows, mode, width=4)
        for number, row in enumerate(lists):
            one = written_rows([row], len(TOKENS), run.model, run.transcoders)
            alone = run.last_logits(one, mode, width=4)
            np.testing.assert_array_equal(together[number], alone[0])
            single = intervene(run.model, TOKENS, run.transcoders, row, mode)
            np.testing.assert_allclose(together[number], single.logits[-1], atol=1e-12)


def test_rows_of_many_slots_make_narrow_batches(model, transcoders):
    """A circuit of thousands of features must not be padded to a batch of circuits."""
    lists = [[(0, slice(None), f, 1.0) for f in range(100)], [(0, 1, 2, 0.0)], [(0, 1, 3, 0.0)]]
    rows = written_rows(lists, 50, model, transcoders)
    shapes = {edit.layer.shape for batch in rows.batches(128, 4) for edit in batch.edits}
    assert shapes == {(1, 5056), (128, 1)}


def test_devices_change_nothing(run, model, transcoders):
    places = np.array([[i % 3, i % 7, i] for i in range(20)])
    rows = feature_rows(transcoders, places, coefficients("set", 2.0))
    four = CleanRun(model, transcoders, TOKENS, local_parallel(4))
    np.testing.assert_array_equal(run.last_logits(rows, width=4), four.last_logits(rows, width=4))


def test_many_rows_are_few_programs(run, compilations):
    features = np.array([[layer, position, f] for layer in range(3) for position in range(7) for f in range(4)])
    run.last_logits(feature_rows(run.transcoders, features, coefficients("set", 1.0)), width=8)
    with compilations() as compiled:
        run.last_logits(feature_rows(run.transcoders, features[::-1], coefficients("at_most", 0.5)), width=8)
    assert compiled == []


def test_held_layers_of_a_range(model, transcoders):
    change = [(1, 3, 5, 2.5)]
    everything = intervene(model, TOKENS, transcoders, change, "constrained")
    for name in ("constrained_layers", "held_layers"):
        named = intervene(model, TOKENS, transcoders, change, "constrained", **{name: range(3)})
        np.testing.assert_array_equal(everything.logits, named.logits)
    some = intervene(model, TOKENS, transcoders, change, "constrained", held_layers=[1])
    np.testing.assert_allclose(some.streams[1], everything.streams[1], atol=1e-12)
    # The layer above runs open: as after a push into the stream of the clean pass.
    tap = Tap("resid_post", layers=(1,))
    stream = run_once(model, TOKENS, taps=[tap]).records[0][0].values[0, 3]
    push = 2.5 - CleanRun(model, transcoders, TOKENS).activations(1)[3, 5]
    edits = [SwapEdit(1, stream + push * np.asarray(transcoders.W_dec[...][1, 5]), scope="positions:3")]
    expected = run_once(model, TOKENS, edits=edits).logits[0]
    np.testing.assert_allclose(some.logits, expected, atol=1e-5)


def test_edits_are_the_same_however_they_are_written(model, transcoders):
    edits = [FeatureEdit(1, 5, 2.0, scope="positions:2:4"), FeatureEdit(-1, 3, 0.5, "scale", scope=-2)]
    out = intervene(model, TOKENS, dictionary=transcoders, edits=edits, holds="freeze_attention")
    value = CleanRun(model, transcoders, TOKENS).activations(2)[5, 3]
    tuples = [(1, slice(2, 4), 5, 2.0), (2, 5, 3, 0.5 * float(value))]
    plain = intervene(model, TOKENS, transcoders, tuples, [Hold("attn_pattern")])
    np.testing.assert_allclose(out.logits, plain.logits, atol=1e-12)
    with pytest.warns(FutureWarning, match="older order"):
        older = intervene(model, transcoders, TOKENS, interventions=tuples, mode="freeze_attention")
    np.testing.assert_array_equal(plain.logits, older.logits)


@pytest.mark.parametrize("stream", ["head_out", "attn_out", "mlp_act"])
def test_any_stream_of_a_block_is_held(model, transcoders, stream):
    edits, hold = [FeatureEdit(0, 5, 2.5, scope=3)], Hold(stream, layers=[1])
    out = intervene(model, TOKENS, transcoders, edits, hold).logits
    expected = run_once(model, TOKENS, dictionary=transcoders, edits=edits, holds=hold).logits[0]
    np.testing.assert_allclose(out, expected, atol=1e-9)
    assert np.abs(out - intervene(model, TOKENS, transcoders, edits).logits).max() > 1e-6


WIDE, HEAD = np.random.default_rng(2).standard_normal((2, 16))
KINDS = [
    UnitEdit(0, 1, scope=[1, 2]), UnitEdit(1, 0, 0.3, "at_most", 4),
    UnitEdit(1, 1, HEAD[:4], "add", stream="value"), VectorEdit(1, WIDE, 0.5, "add", 2, "resid_mid"),
    SwapEdit(2, HEAD, 4, "attn_in"), PatternEdit(1, 2, -1, 3), FeatureEdit(1, 5, 0.1, "at_most"),
    FeatureEdit(0, 3, 0.9, "at_least", [2, 4]), FeatureEdit(2, 2, 0.4, "add", -1), (1, 3, 6, 2.0),
]  # fmt: skip
ENDS = [
    VectorEdit(0, WIDE, 0.8, "add", 3, "embed"), VectorEdit(-1, HEAD, 0.8, "scale", stream="final_norm"),
    VectorEdit(-1, np.eye(40)[7], 2.0, "add", [4, -1], "logits"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("holds", ["open", "freeze_attention", "constrained", (Hold("norm", 1), Hold("head_out", 0))])
@pytest.mark.parametrize("edits", [KINDS, KINDS + ENDS, ENDS[1:]], ids=["blocks", "all", "the top"])
def test_edits_of_all_kinds_in_one_call_are_those_of_run(model, transcoders, holds, edits):
    tap = Tap(transcoders.config.stream)
    # Where patterns or what MLPs write are held, these would be void.
    edits = edits + [UnitEdit(0, 0, HEAD[4:8], "add", stream="key")] * (holds == "open")
    edits = edits + [UnitEdit(2, 7, 0.2, "at_least", stream="mlp_act")] * (holds != "constrained")
    listed = [FeatureEdit(1, 6, 2.0, scope=3) if isinstance(edit, tuple) else edit for edit in edits]
    out = intervene(model, TOKENS, transcoders, edits, holds)
    expected = run_once(model, TOKENS, dictionary=transcoders, edits=listed, holds=holds, taps=[tap])
    np.testing.assert_allclose(out.logits, expected.logits[0], atol=1e-6)  # the values of `run` are of 32 bits
    np.testing.assert_allclose(out.streams, expected.records[0][0].values, atol=1e-6)
    assert np.abs(out.logits - out.clean_logits).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("edits", [KINDS[:6], [(1, 3, 6, 2.0)]])
def test_layers_are_held_under_edits_of_all_kinds(model, transcoders, edits):
    listed = [FeatureEdit(1, 6, 2.0, scope=3) if isinstance(edit, tuple) else edit for edit in edits]
    for name, holds in (
        ("held_layers", [Hold(stream, [0, 1]) for stream in ("attn_pattern", "norm", "mlp_out")]),
        ("constrained_layers", [Hold("attn_pattern"), Hold("mlp_out", [0, 1])]),
    ):
        out = intervene(model, TOKENS, transcoders, edits, "constrained", **{name: [0, 1]})
        expected = run_once(model, TOKENS, dictionary=transcoders, edits=listed, holds=holds).logits[0]
        np.testing.assert_allclose(out.logits, expected, atol=1e-6)


def test_activations_are_of_what_encoders_read(model, tiny, cases):
    """Of an SAE the stream with what others add to it, but before its own features write."""
    sae, steer = cases.make_dictionary(tiny, "sae"), VectorEdit(0, WIDE, 0.5, "add", 3)
    steered = intervene(model, TOKENS, sae, [steer, (0, 3, 5, 2.0)])
    expected = run_once(model, TOKENS, dictionary=sae, edits=[steer], taps=[Tap("resid_post")]).records[0][0].values[0]
    np.testing.assert_allclose(steered.streams[0], expected, atol=1e-6)


def test_dictionaries_of_normed_inputs_are_intervened_on(model, tiny):
    sae = tiny.make_dictionary("relu", (0, 1, 2), dtype="float64", input_norm="layer_norm")
    edits = [FeatureEdit(1, 5, 2.0, scope=3), UnitEdit(2, 1, scope=3)]
    expected = run_once(model, TOKENS, dictionary=sae, edits=edits).logits[0]
    np.testing.assert_allclose(intervene(model, TOKENS, sae, edits).logits, expected, atol=1e-10)


@pytest.mark.parametrize(("edits", "what"), [
    ([FeatureEdit(1, 5, 1.0, scope=3), FeatureEdit(1, 5, 2.0, "at_most")], "one feature and position .layer 1, fe"),
    ([UnitEdit(1, 2), UnitEdit(1, 2, scope=3)], "row 0 act on one unit and position .layer 1, unit 2, position 3"),
    ([PatternEdit(1, 2, 3, 1), PatternEdit(1, 2, -4, slice(0, 2))], "row 0 act on one edge"),
    ([SwapEdit(1, WIDE, 3), SwapEdit(1, HEAD, [2, 3])], "row 0 act on one position of one stream"),
    ([SwapEdit(1, WIDE, 3), VectorEdit(1, HEAD, scope=3)], "swap and replace take the whole stream"),
    ([UnitEdit(1, 2, scope="decode")], "holds no token of the prompt"),
    ([PatternEdit(1, 2, 3, "decode")], "scope 'decode' holds no token of the prompt"),
    ([UnitEdit(1, 9)], "unit of head_out 9"),
    ([FeatureEdit(3, 0)], "layer: got 3"), (["1:2"], "edits: got '1:2'; needs one of FeatureEdit"),
])  # fmt: skip
def test_one_law_refuses_slots_of_all_kinds(model, transcoders, refuses, edits, what):
    with refuses(what):
        intervene(model, TOKENS, transcoders, edits)


@pytest.mark.parametrize(("edit", "holds", "what"), [
    (UnitEdit(1, 2, stream="query"), "freeze_attention", "query.1 changes nothing, because holds put back attn_"),
    (UnitEdit(1, 2), [Hold("attn_out")], "head_out.1 changes nothing, because holds put back attn_out.1"),
])  # fmt: skip
def test_edits_that_holds_make_void_are_refused(model, transcoders, refuses, edit, holds, what):
    with refuses(what):
        intervene(model, TOKENS, transcoders, [edit], holds)


def test_an_edit_that_changes_activations_alone_is_not_void(model, transcoders):
    out = intervene(model, TOKENS, transcoders, [VectorEdit(1, WIDE, 1.0, stream="mlp_in")], [Hold("resid_post")])
    np.testing.assert_allclose(out.logits, out.clean_logits, atol=1e-12)
    assert (
        np.abs(out.activations[1] - intervene(model, TOKENS, transcoders, [(0, 0, 0, 0.0)]).activations[1]).max() > 0.1
    )


def test_single_precision_agrees_with_double(tiny):
    with jax.enable_x64(False):
        model = Model(tiny.make_transformer(), None, "single", "single")
        dictionary = tiny.make_dictionary("relu", (0, 1, 2), "mlp_in", write_stream="mlp_out")
        out = intervene(model, TOKENS, dictionary, CHANGES)
        values = CleanRun(model, dictionary, TOKENS).activations(2)
        own = intervene(model, TOKENS, dictionary, [(2, 4, f, values[4, f]) for f in range(24)])
        nothing = intervene(model, TOKENS, dictionary, [FeatureEdit(2, f, operation="own", scope=4) for f in range(24)])
    np.testing.assert_array_equal(own.logits, nothing.logits)
    assert out.logits.dtype == np.float32


@pytest.mark.parametrize(("changes", "options", "what"), [
    ([], {}, "row 0 is empty"), ([(3, 0, 0, 1.0)], {}, "layer: got 3"),
    ([(0, 7, 0, 1.0)], {}, "7. is outside a prompt"), ([(0, 0, 24, 1.0)], {}, "feature: 24 is outside"),
    ([(0, -8, 0, 1.0)], {}, "-8. is outside a prompt"), ([(0, slice(9, 12), 0, 1.0)], {}, "holds no position"),
    ([(0, 0, 0, np.nan)], {}, "value: got nan; needs"), ([(0, 0, 0)], {}, "needs FeatureEdit or"),
    ([(0.5, 0, 0, 1.0)], {}, "layer: got 0.5"), ([(0, 1.5, 0, 1.0)], {}, "scope: got 1.5"),
    ([(0, 0, "3", 1.0)], {}, "feature: got '3'"),
    ([(0, 0, 0, 1.0)], {"mode": "closed"}, "needs one of open"),
    ([(0, 0, 0, 1.0)], {"holds": [3]}, "holds: got .3.; needs"),
    ([(0, 0, 0, 1.0)], {"holds": "attn_raw"}, "attn_raw is attn_out there"),
    ([(1, slice(None), 5, 9.0), (1, 3, 5, 1.0)], {}, "one feature and position .layer 1, feature 5, position 3"),
    ([FeatureEdit(0, 0, scope="decode")], {}, "holds no token of the prompt"),
    ([(0, 0, 0, 1.0)], {"constrained_layers": [0]}, "holds none"),
    ([(0, 0, 0, 1.0)], {"mode": "constrained", "held_layers": [3]}, "held_layers: got 3; needs"),
    ([(0, 0, 0, 1.0)], {"mode": "constrained", "held_layers": [0.5]}, "held_layers: got 0.5; needs"),
    ([(0, 0, 0, 1.0)], {"mode": "constrained", "held_layers": [0], "constrained_layers": [0]}, "got both"),
    ([(0, 0, 0, 1.0)], {"mode": "constrained", "constrained_layers": [1]}, "layer 0 is not among them"),
    ([(0, 0, 0, 1.0)], {"mode": "constrained", "constrained_layers": []}, "none"),
    ([(0, 0, 0, 1.0)], {"mode": "constrained", "constrained_layers": [0, 2.9]}, "constrained_layers: got 2.9"),
    ([(0, 0, 0, 1.0)], {"mode": "constrained", "constrained_layers": [-4]}, "constrained_layers: got -4"),
])  # fmt: skip
def test_what_cannot_be_done_is_refused_first(model, transcoders, refuses, changes, options, what):
    with refuses(what):
        intervene(model, TOKENS, transcoders, changes, **options)


def test_a_layer_without_transcoder_is_refused(model, tiny, cases, refuses):
    with refuses("layer 1 has no dictionary"):
        intervene(model, TOKENS, cases.make_dictionary(tiny, "sae"), [(1, 0, 0, 1.0)])
    with refuses("matching_pursuit"):
        intervene(model, TOKENS, tiny.make_dictionary("matching_pursuit", dtype="float64"), [(0, 0, 0, 1.0)])


def test_layers_count_from_the_end(model, transcoders):
    last, same = ([(n, 4, 9, 1.0)] for n in (-1, 2))
    for options in ({}, {"mode": "constrained"}):
        np.testing.assert_array_equal(
            intervene(model, TOKENS, transcoders, last, **options).logits,
            intervene(model, TOKENS, transcoders, same, **options).logits,
        )
    both = [
        intervene(model, TOKENS, transcoders, last, "constrained", held_layers=layers).logits
        for layers in ([-1, 0], [0, 2])
    ]
    np.testing.assert_array_equal(*both)

"""One table of named edits, and every property over all of them.

The passes under test run all cases as rows of one batch, so that a case costs a row and no program. What is expected is
plain numpy: the decoder of `tests/engine/plain.py`, with each edit done by hand where it says it acts.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.dictionary import take
from causeway.engine.intervention.apply import bind_all
from causeway.engine.intervention.checks import check_edits
from causeway.engine.intervention.edit_arrays import edit_arrays
from causeway.engine.intervention.edits import EMPTY
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.operations import coefficients
from causeway.engine.intervention.requests import FeatureEdit, PatternEdit, SwapEdit, UnitEdit, VectorEdit
from causeway.engine.intervention.scope import intervals
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.forward import run
from causeway.engine.model.generate import generate_rows
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.segments import Layout
from causeway.engine.outcome.answers import Answer, answer_tree, score_answers
from causeway.engine.outcome.exact import Background, clean_tree, edited_answers, start_layer

RNG = np.random.default_rng(3)
WIDE, HEAD = RNG.standard_normal(16), RNG.standard_normal(4)
COUNT = 3  # layers

# Edits of layer 1, or of what comes once, so that a case with another first layer is rare.
CASES = {
    "a feature set": [FeatureEdit(1, 4, 3.0)],
    "a feature at most": [FeatureEdit(1, 4, 0.2, "at_most")],
    "a feature at least, at two places": [FeatureEdit(1, 7, 1.5, "at_least", [2, -1])],
    "a feature at its mean": [FeatureEdit(1, 5, 0.7, "mean", "last_prompt")],
    "a vector added, of the embedding": [VectorEdit(0, WIDE, 0.8, "add", stream="embed")],
    "a vector's component set, of heads side by side": [VectorEdit(1, WIDE, 1.5, stream="head_out")],
    "a swap after the last norm": [SwapEdit(COUNT, WIDE, "last_prompt", stream="final_norm")],
    "a logit vector added": [VectorEdit(COUNT, np.eye(40)[7], 2.0, "add", stream="logits")],
    "a head ablated": [UnitEdit(1, 2)],
    "a head scaled from the answer on": [UnitEdit(1, 3, 2.5, "scale", "decode")],
    "a head at most, each of its numbers": [UnitEdit(1, 2, 0.05, "at_most")],
    "a key head at least": [UnitEdit(1, 0, 0.1, "at_least", [2, -1], stream="key")],
    "a head's mean": [UnitEdit(1, 0, HEAD, "mean", "last_prompt")],
    "a query head added to": [UnitEdit(1, 1, HEAD, "add", stream="query")],
    "a key head ablated at two tokens": [UnitEdit(1, 1, scope=[1, 4], stream="key")],
    "a value head inhibited": [UnitEdit(1, 0, 0.5, "inhibit", stream="value")],
    "a neuron set": [UnitEdit(1, 11, 2.0, "set", stream="mlp_act")],
    "a neuron at most": [UnitEdit(1, 3, 0.0, "at_most", stream="mlp_act")],
    "an edge knocked out": [PatternEdit(1, 2, -1, 3)],
    "edges of the answer to the prompt": [PatternEdit(1, 0, "decode", slice(1, 5), "scale", 0.5)],
    "edges of two heads": [PatternEdit(1, 1, slice(4, None), [0, 2]), PatternEdit(1, 3, "all", 0, "set", 0.2)],
    "several kinds at one site": [
        FeatureEdit(1, 4, 3.0), FeatureEdit(1, 5, 1.0, "add"), VectorEdit(1, WIDE, 0.5, "add"),
    ],
    "several kinds and sites": [
        UnitEdit(1, 2), UnitEdit(1, 3, 1.0, "set", stream="mlp_act"), FeatureEdit(1, 2, 2.0), PatternEdit(2, 0, -1, 1),
        UnitEdit(2, 1, HEAD, "set", stream="value"),
    ],
    "nothing": [],
}  # fmt: skip
NAMES = list(CASES)
ROWS = len(CASES)
FORCED = np.array([5, 17, 2, 9])
LAST = 8


def own(edit):
    """The same edit at its own value."""
    if isinstance(edit, SwapEdit):
        return None
    return dataclasses.replace(edit, operation="own", value=0.0)


def arrays(tiny, dictionary, rows, length=9, config=None):
    edits = edit_arrays(rows, length, config or tiny.CONFIG, dictionary)
    check_edits(edits, config or tiny.CONFIG, dictionary)
    return edits


@pytest.fixture(scope="module")
def dictionary(tiny):
    return tiny.make_dictionary(layers=(1, 2))


@pytest.fixture(scope="module")
def edits(tiny, dictionary):
    return arrays(tiny, dictionary, list(CASES.values()))


def by_hand(row, length, dictionary, config):
    """A hook that does a row's edits; all of a site read the stream before any of them."""

    def hook(stream, layer, x):
        out = x.copy()
        for edit in row:
            place = {FeatureEdit: "resid_post", PatternEdit: "attn_pattern"}.get(type(edit)) or edit.stream
            if (place, edit.layer) == (stream, layer):
                for start, stop in intervals(edit.scope, length):
                    for t in range(start, min(stop, len(x) if stream != "attn_pattern" else x.shape[1])):
                        one_token(edit, x, out, t, dictionary, length)
        return out

    return hook


def made(edit, before):
    scale, shift, lower, upper = coefficients(edit.operation, edit.value)
    return np.clip(scale * before + shift, lower, upper)


def one_token(edit, x, out, t, dictionary, length):
    match edit:
        case FeatureEdit():
            one = take(dictionary, dictionary.config.index_of(edit.layer))
            f = float(np.asarray(one.encode(jnp.asarray(x[t])))[edit.feature])
            out[t] += (made(edit, f) - f) * np.asarray(one.W_dec[...])[edit.feature]
        case VectorEdit():
            along = x[t].reshape(-1) @ edit.vector / (edit.vector @ edit.vector)
            out[t] += ((made(edit, along) - along) * edit.vector).reshape(x[t].shape)
        case SwapEdit():
            out[t] += edit.vector.reshape(x[t].shape) - x[t]
        case UnitEdit():
            out[t, edit.unit] += made(edit, x[t, edit.unit]) - x[t, edit.unit]
        case PatternEdit():
            for first, stop in intervals(edit.key, length):
                for s in range(first, min(stop, t + 1)):
                    out[edit.head, t, s] += made(edit, x[edit.head, t, s]) - x[edit.head, t, s]


@pytest.fixture(scope="module")
def passes(tiny, plain, dictionary, edits):
    """Logits of prompt and answer under every case, by `run` in float64 and by hand."""
    tokens = np.concatenate([tiny.PROMPT, FORCED])
    with jax.enable_x64(True):
        transformer = tiny.make_transformer(tiny.DOUBLE)
        double = jax.tree.map(lambda a: a.astype(jnp.float64), dictionary)
        wide = jax.tree.map(lambda a: a.astype(np.float64) if a.dtype == np.float32 else a, edits)
        out = run(transformer, np.tile(tokens, (ROWS, 1)), Instruments(bind_all(wide, double)))
        expected = [plain.logits(transformer, tokens, by_hand(row, 9, double, tiny.CONFIG)) for row in CASES.values()]
    return out, expected


@pytest.mark.parametrize("name", NAMES)
def test_a_pass_equals_plain_numpy_with_the_edit_done_by_hand(passes, name):
    out, expected = passes
    row = NAMES.index(name)
    np.testing.assert_allclose(out.logits[row], expected[row], atol=2e-6)
    changed = np.abs(expected[row] - expected[-1]).max()
    assert (changed > 1e-4) == (name != "nothing")


@pytest.fixture(scope="module")
def whole(tiny, transformer, dictionary, edits):
    """The same in float32, over prompt and answer."""
    tokens = np.concatenate([tiny.PROMPT, FORCED])

    def call(edits, tokens=tokens, lengths=None):
        count = len(edits[0].layer)
        return run(transformer, np.tile(tokens, (count, 1)), Instruments(bind_all(edits, dictionary)), lengths)

    return call


def test_at_its_own_value_no_edit_changes_a_bit(tiny, dictionary, whole):
    rows = [[made for edit in row if (made := own(edit)) is not None] for row in CASES.values()]
    edits = arrays(tiny, dictionary, rows)
    empty = tuple(dataclasses.replace(edit, layer=np.full_like(edit.layer, EMPTY)) for edit in edits)
    np.testing.assert_array_equal(whole(edits).logits, whole(empty).logits)


@pytest.mark.slow
def test_order_neighbours_and_padding_change_no_bit(tiny, edits, whole):
    order = np.random.default_rng(0).permutation(ROWS)
    plain_order = np.asarray(whole(edits).logits)
    moved = np.asarray(whole(tuple(tiny.take_rows(edit, order) for edit in edits)).logits)
    np.testing.assert_array_equal(moved, plain_order[order])
    tokens = np.concatenate([tiny.PROMPT, FORCED])
    garbled = tokens.copy()
    garbled[-2:] = 39
    short = [np.asarray(whole(edits, t, np.full(ROWS, 11)).logits)[:, :11] for t in (tokens, garbled)]
    np.testing.assert_array_equal(*short)


@pytest.mark.slow
def test_generation_makes_the_same_edits_token_by_token(tiny, transformer, dictionary, edits, whole):
    taps = (bind_tap(TapSpec("logits", "raw", (COUNT,)), None),)
    drawn = generate_rows(
        transformer, tiny.PROMPT, trials=np.zeros(ROWS, int), layout=Layout(ROWS, (2, 2)), sampling=Sampling(0.0),
        seed=0, prompt_id=0, edits=edits, dictionary=dictionary, taps=taps, forced=np.tile(FORCED, (ROWS, 1)),
    )  # fmt: skip
    expected = np.asarray(whole(edits).logits)[:, LAST : LAST + 4]
    np.testing.assert_allclose(drawn.records[0].values[:, :, 0], expected, atol=1e-4)
    reports = whole(edits).edits
    for got, report in zip(drawn.applied, reports, strict=True):
        np.testing.assert_array_equal(got, np.asarray(report.applied)[:, LAST : LAST + 4])
    for got, report in zip(drawn.before, reports, strict=True):
        np.testing.assert_allclose(got, np.asarray(report.before)[:, LAST : LAST + 4], atol=1e-4)


@pytest.mark.slow
def test_exact_answers_make_the_same_edits(tiny, transformer, dictionary, edits):
    """Rows that begin at one layer go together; those of what comes before or after it have calls of their own."""
    lists = ([5], [17, 2, 4], [17, 2, 9])
    tree = answer_tree(tiny.PROMPT[-1], [Answer(str(i), "stop") for i in range(3)], lists)
    clean = clean_tree(transformer, tiny.PROMPT, tree, 0)
    background = Background(transformer, dictionary, clean)
    bound = Instruments(bind_all(edits, dictionary))
    expected = np.zeros((ROWS, 3))
    for i, ids in enumerate(lists):
        tokens = np.tile([*tiny.PROMPT, *ids, *[0] * (3 - len(ids))], (ROWS, 1))
        p = np.asarray(jax.nn.log_softmax(run(transformer, tokens, bound).logits), np.float64)
        expected[:, i] = sum(p[:, LAST + step, token] for step, token in enumerate(ids))
    firsts = {}
    for row in range(ROWS - 1):
        one = tuple(tiny.take_rows(edit, [row]) for edit in edits)
        firsts.setdefault(start_layer(one, clean), []).append(row)
    assert set(firsts) == {0, 1, 2, COUNT}
    program = jax.jit(edited_answers)
    for first, rows in firsts.items():
        chosen = tuple(tiny.take_rows(edit, np.resize(rows, ROWS)) for edit in edits)
        edges, _ = program(background, (chosen, jnp.int32(first)))
        got = score_answers(tree, np.asarray(edges)).log_probability[: len(rows)]
        np.testing.assert_allclose(got, expected[rows], atol=1e-4)


def test_deltas_are_linear_in_what_is_added(tiny, transformer, dictionary):
    """Twice the addition moves the edited stream twice as far."""
    values = {"head_out": HEAD, "query": HEAD, "key": HEAD, "value": HEAD, "mlp_act": 1.0}
    rows = [[UnitEdit(1, 1, k * v, "add", stream=s)] for k in (0.0, 1.0, 2.0) for s, v in values.items()]
    edits = arrays(tiny, dictionary, rows)
    taps = tuple(bind_tap(TapSpec(stream, "raw", (1,)), None) for stream in values)
    out = run(transformer, np.tile(tiny.PROMPT, (len(rows), 1)), Instruments(bind_all(edits, dictionary), taps))
    for place, record in enumerate(out.records):
        clean, once, twice = np.asarray(record.values)[0, place :: len(values)]
        np.testing.assert_allclose(twice - clean, 2 * (once - clean), atol=1e-5)
        assert np.abs(once - clean).max() > 0.1


def test_ablating_all_heads_leaves_the_bias_of_the_output_map(tiny, dictionary):
    transformer = tiny.make_transformer(attention_bias=True)
    heads = [UnitEdit(1, head) for head in range(4)]
    bias = np.asarray(transformer.blocks.attention.output_bias[...])[1]
    rows = [heads, [SwapEdit(1, bias, stream="attn_out")]]
    edits = arrays(tiny, dictionary, rows)
    logits = np.asarray(run(transformer, np.tile(tiny.PROMPT, (2, 1)), Instruments(bind_all(edits, dictionary))).logits)
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-5)


def test_reports_tell_the_weight_on_the_keys_of_an_edge(tiny, transformer, dictionary):
    edits = arrays(tiny, dictionary, [[PatternEdit(1, 2, 5, slice(1, 3), "scale", 0.5)]])
    tap = bind_tap(TapSpec("attn_pattern", "raw", (1,)), None)
    clean = run(transformer, tiny.PROMPT[None], Instruments((), (tap,))).records[0].values[0, 0, 2, 5, 1:3]
    out = run(transformer, tiny.PROMPT[None], Instruments(bind_all(edits, dictionary), (tap,)))
    (report,) = out.edits
    np.testing.assert_allclose(report.before[0, 5, 0], clean.sum(), rtol=1e-5)
    np.testing.assert_allclose(report.after[0, 5, 0], clean.sum() / 2, rtol=1e-5)
    np.testing.assert_allclose(out.records[0].values[0, 0, 2, 5, 1:3], clean / 2, rtol=1e-5)
    assert np.asarray(report.applied)[0, :, 0].tolist() == [t == 5 for t in range(9)]


def test_edits_that_cannot_mean_what_they_say_are_refused(tiny, dictionary, refuses):
    for row, message in (
        ([UnitEdit(1, 4)], "unit of head_out 4 is outside the model's 0..3"),
        ([UnitEdit(1, 2, stream="key")], "unit of key 2 is outside the model's 0..1"),
        ([PatternEdit(1, 4, 2, 1)], "head 4 is outside the model's 0..3"),
        ([UnitEdit(1, 1), UnitEdit(1, 1, scope=3)], "slots 0 and 1 of row 0 act on one unit and position"),
        ([PatternEdit(1, 1, "all", 2), PatternEdit(1, 1, -1, slice(1, 4))], "slots 0 and 1 of row 0 act on one edge"),
        ([UnitEdit(1, 1), SwapEdit(1, WIDE, stream="head_out")], "swap and replace take the whole stream"),
        ([UnitEdit(1, 1, 3.0, "set")], "UnitEdit.value: got 3.0 to set a unit of head_out; needs an array .4,."),
        ([UnitEdit(1, 1, HEAD[:3], "mean")], "UnitEdit.value: got .*; needs an array .4,."),
        ([UnitEdit(1, 1, HEAD, "set", stream="mlp_act")], "UnitEdit.value: got .* a unit of mlp_act; needs a number"),
        ([VectorEdit(1, WIDE, stream="attn_pattern")], "stream: got 'attn_pattern'; vector edits act on embed"),
        ([UnitEdit(1, 1, stream="mlp_out")], "stream: got 'mlp_out'; unit edits act on head_out"),
        ([VectorEdit(1, WIDE, stream="embed")], "edit.layer: embed comes once, at layer 0; got 1"),
    ):  # fmt: skip
        with refuses(message):
            arrays(tiny, dictionary, [row])
    with refuses("operation: scale takes a number; got an array"):
        UnitEdit(1, 1, HEAD, "scale")
    for key in (2.5, "somewhere", slice(1, 5, 2)):
        with refuses("PatternEdit.key: got|scope: got"):
            PatternEdit(1, 1, 2, key)

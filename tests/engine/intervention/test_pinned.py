"""Pinned slots do what the same slots do as intervals of one position, for all operations and kinds."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.activations import KINDS
from causeway.engine.frozen.record import held_of
from causeway.engine.intervention.apply import bind_all
from causeway.engine.intervention.checks import check_edits
from causeway.engine.intervention.edit_arrays import edit_arrays
from causeway.engine.intervention.edits import EMPTY, EditSpec
from causeway.engine.intervention.hold import HeldLayers
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.operations import OPERATIONS
from causeway.engine.intervention.requests import FeatureEdit, SwapEdit, UnitEdit, VectorEdit
from causeway.engine.model.forward import run

ROWS = len(OPERATIONS)
# What dictionaries read and write: SAEs, transcoders with and without skip connections, heads side by side.
PLACES = {
    "an SAE": {"stream": "resid_post"},
    "an SAE of normed inputs": {"stream": "resid_post", "input_norm": "layer_norm"},
    "a transcoder": {"stream": "mlp_in", "write_stream": "mlp_out"},
    "a transcoder with a skip connection": {"stream": "resid_mid", "write_stream": "mlp_out", "skip": True},
    "an SAE of heads": {"stream": "head_out"},
}
SOME = [("jumprelu", "an SAE"), ("topk", "an SAE"), ("gated", "a transcoder"), ("topk", "a transcoder")]
ALL = [(kind, place) for kind in KINDS for place in PLACES if (kind, place) not in SOME]

pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture(scope="module")
def transformer(double, tiny):
    return tiny.make_transformer(tiny.DOUBLE)


@pytest.fixture(params=[*SOME, *(pytest.param(one, marks=pytest.mark.slow) for one in ALL)], ids="-".join)
def dictionary(request, tiny):
    kind, place = request.param
    return tiny.make_dictionary(kind, (1, 2), dtype="float64", **PLACES[place])


def feature_rows(layers=(1, 1, 1)):
    """A row for each operation: it, and others at another token of the same feature and at the same token."""
    own, other, below = layers
    return [
        [
            FeatureEdit(own, 4, 0.7, operation, 3), FeatureEdit(other, 4, 1.5, "add", -1),
            FeatureEdit(below, 9, -0.4, "scale", 3),
        ][: 3 - number % 2]
        for number, operation in enumerate(OPERATIONS)
    ]  # fmt: skip


def double_arrays(tiny, dictionary, rows):
    edits = edit_arrays(rows, 9, tiny.CONFIG, dictionary)
    return tuple(jax.tree.map(lambda a: a.astype(np.float64) if a.dtype == np.float32 else a, e) for e in edits)


def pinned(edits):
    return tuple(dataclasses.replace(e, spec=dataclasses.replace(e.spec, pinned=True)) for e in edits)


def passed(tiny, transformer, dictionary, edits, holds="open"):
    check_edits(edits, tiny.CONFIG, dictionary)
    count = len(edits[0].layer)
    tokens, lengths = np.tile(tiny.PROMPT, (count, 1)), np.full(count, 9, np.int32)
    held = held_of(transformer, tokens, lengths, HeldLayers.of(holds, 3), dictionary)
    return run(transformer, tokens, Instruments(bind_all(edits, dictionary), held=held))


def check_same(tiny, transformer, dictionary, rows, holds="open"):
    edits = double_arrays(tiny, dictionary, rows)
    expected = passed(tiny, transformer, dictionary, edits, holds)
    out = passed(tiny, transformer, dictionary, pinned(edits), holds)
    np.testing.assert_allclose(out.logits, expected.logits, atol=1e-11)
    for edit, got, report in zip(edits, out.edits, expected.edits, strict=True):
        assert got.before.shape == (len(rows), 1, edit.layer.shape[1])
        for name in ("before", "after", "applied"):
            wanted = np.take_along_axis(np.asarray(getattr(report, name)), edit.start[:, None], axis=1)
            np.testing.assert_allclose(getattr(got, name), wanted, atol=1e-11)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("holds", ["open", "constrained"])
def test_features_of_all_dictionaries_under_all_operations(tiny, transformer, dictionary, holds):
    out = check_same(tiny, transformer, dictionary, feature_rows(), holds)
    assert np.ptp(np.asarray(out.logits), axis=0).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("holds", ["open", "constrained", "features.0.4"])
@pytest.mark.parametrize("kind", ["cross_layer", "cross_layer_skip"])
def test_features_that_write_to_the_layers_above(tiny, cases, transformer, kind, holds):
    check_same(tiny, transformer, cases.make_dictionary(tiny, kind), feature_rows((0, 1, 2)), holds)


@pytest.mark.slow
def test_vectors_swaps_and_units(tiny, transformer):
    rng = np.random.default_rng(5)
    wide, head = rng.standard_normal((3, 16)), rng.standard_normal(4)
    rows = [
        [
            VectorEdit(1, wide[0], 0.5, operation, 3), VectorEdit(2, wide[1], 2.0, scope=3),
            SwapEdit(0, wide[2], 5, "mlp_in"), SwapEdit(0, wide[1], 0, "mlp_in"), UnitEdit(1, 2, scope=[2, 3]),
            UnitEdit(1, 5, 0.4, operation, -1, "mlp_act"), UnitEdit(0, 1, head, "add", 3, "key"),
        ]
        for operation in OPERATIONS
    ]  # fmt: skip
    out = check_same(tiny, transformer, None, rows)
    assert np.ptp(np.asarray(out.logits), axis=0).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 4])
def test_ranked_features_of_several_layers_are_those_of_each(tiny, transformer, slots):
    """Nine tokens, and fewer or more slots than that."""
    ranked = tiny.make_dictionary("topk", (0, 1, 2), dtype="float64")
    rows = [[FeatureEdit(n % 3, f, 2.0, scope=[0, 3, -1]) for f in range(slots)] for n in range(3)]
    edits = double_arrays(tiny, ranked, rows)
    together = passed(tiny, transformer, ranked, pinned(edits))
    for row in range(3):
        one = tuple(tiny.take_rows(edit, [row]) for edit in edits)
        alone = passed(tiny, transformer, ranked, one)
        np.testing.assert_allclose(together.logits[row], alone.logits[0], atol=1e-11)


def test_a_value_within_the_roundings_of_the_present_one_changes_nothing(tiny, transformer):
    spec = EditSpec(pinned=True, roundings=64)
    dictionary = tiny.make_dictionary("relu", dtype="float64")
    own = tiny.make_edit(1, 2, spec, layer=2, feature=[[4, 11]], start=3, stop=4, scale=1)
    own = dataclasses.replace(own, shift=own.shift.astype(np.float64))
    value = np.asarray(passed(tiny, transformer, dictionary, (own,)).edits[0].before)[:, 0]
    for error, same in ((0, True), (1e-16, True), (1e-9, False)):
        near = dataclasses.replace(own, scale=own.scale * 0, shift=value + error)
        out = [passed(tiny, transformer, dictionary, (edit,)).logits for edit in (near, own)]
        assert np.array_equal(*map(np.asarray, out)) == same


def test_empty_slots_and_tokens_that_a_pass_does_not_have_do_nothing(tiny, transformer):
    dictionary = tiny.make_dictionary("relu", dtype="float64")
    edit = tiny.make_edit(1, 2, EditSpec(pinned=True), layer=2, feature=[[4, 11]], shift=3.0, start=[[3, 40]])
    edit = dataclasses.replace(edit, stop=edit.start + 1)
    one = dataclasses.replace(edit, layer=np.array([[2, EMPTY]], np.int32))
    none = dataclasses.replace(edit, layer=np.full((1, 2), EMPTY, np.int32))
    logits = [np.asarray(passed(tiny, transformer, dictionary, (e,)).logits) for e in (edit, one, none)]
    np.testing.assert_array_equal(logits[0], logits[1])
    assert np.abs(logits[0] - logits[2]).max() > 1e-3


def test_16_bit_streams_are_changed_where_slots_are_and_nowhere_else(tiny):
    dictionary = tiny.make_dictionary("relu", dtype="float32")
    transformer = tiny.make_transformer(dataclasses.replace(tiny.DOUBLE, compute="bfloat16", accumulate="float32"))
    rows = [[FeatureEdit(2, 4, 3.0, scope=3)]]
    edits = edit_arrays(rows, 9, tiny.CONFIG, dictionary)
    moved = [np.asarray(passed(tiny, transformer, dictionary, e).logits) for e in (edits, pinned(edits))]
    np.testing.assert_allclose(*moved, atol=0.05)
    np.testing.assert_array_equal(moved[0][:, :3], moved[1][:, :3])
    assert jnp.isfinite(moved[1]).all()


def test_what_cannot_be_pinned_is_refused(tiny, dictionary, refuses):
    for family, stream in (("replace", "resid_post"), ("edge", "attn_pattern")):
        with refuses(f"EditSpec.pinned: got {family} edits"):
            EditSpec(stream, family, pinned=True)
    with refuses("EditSpec.roundings: got 64; only pinned"):
        EditSpec(roundings=64)
    spec = EditSpec(dictionary.config.output_stream, pinned=True)
    with refuses("edit.stop: a pinned slot acts at one position"):
        check_edits((tiny.make_edit(1, 1, spec, layer=1, start=2, stop=4),), tiny.CONFIG, dictionary)
    both = [tiny.make_edit(1, 1, s, layer=1, start=2, stop=3) for s in (spec, dataclasses.replace(spec, pinned=False))]
    with refuses("edits: two of EditSpec"):
        check_edits(tuple(both), tiny.CONFIG, dictionary)

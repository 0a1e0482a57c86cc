"""The one reader: what a row gives depends on the row and the widths alone, whatever is kept and wherever it is."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.devices import compilations, local_parallel
from causeway.engine.dictionary.placement import Sharded, StreamedDictionaries
from causeway.engine.mesh import make_mesh
from causeway.engine.reading import programs
from causeway.engine.reading import read as reader
from causeway.engine.reading.passes import ReadRow, all_places, check_read, deal, one_place
from causeway.engine.reading.read import read
from causeway.engine.reading.reductions import (
    AnswerLogProbabilities,
    CrossedMoments,
    Last,
    Max,
    Mean,
    Moments,
    Raw,
    Reduction,
    TopK,
    TopLogits,
    Total,
)

pytestmark = pytest.mark.optimised

LENGTHS = (9, 2, 20, 9, 20, 5, 9)
STREAM = "mlp_in"


@dataclasses.dataclass(frozen=True)
class Slopes(Reduction):
    """values: [B, 2, P, S, D] slopes of two numbers of a row's last place; sums [2]: of both numbers over rows."""

    totals = ("sums",)
    whole = True
    reads_model = True
    pulled = (STREAM,)

    def numbers(self, at):
        last = jnp.maximum(at.there.sum(axis=1) - 1, 0)
        return at.streams[1][-1, jnp.arange(len(last)), last, :2]

    def __call__(self, at):
        counted = jnp.where(at.there[:, :1], self.numbers(at), 0)
        return {"values": jnp.moveaxis(at.slopes[0], 2, 0), "sums": counted.sum(axis=0)}


@dataclasses.dataclass(frozen=True)
class Case:
    """What is kept, of which places, and what reads it."""

    reduce: object
    holder: str = "stack"
    slots: object = all_places
    last: int | None = None
    place_axis: int | None = None


CASES = {
    "last": Case(Last(), slots=one_place, last=1),
    "mean": Case(Mean()),
    "max": Case(Max()),
    "top_k": Case(TopK(3, full=True), slots=lambda count, width: 4, last=4, place_axis=0),
    "raw": Case(Raw(), "none", place_axis=1),
    "total": Case(Total(), "none"),
    "moments": Case(Moments()),
    "crossed moments": Case(CrossedMoments(), "crossing"),
    "max of crossing": Case(Max(), "crossing"),
    "last of crossing": Case(Last(), "crossing", one_place, 1),
    "slopes": Case(Slopes(), "none", place_axis=2),
    "answers": Case(AnswerLogProbabilities(), "none", place_axis=0),
    "top logits": Case(TopLogits(3), "none", place_axis=0),
}


@pytest.fixture(scope="module")
def holders(tiny, cases):
    crossing = jax.tree.map(lambda a: a.astype(np.float32), cases.make_dictionary(tiny, "cross_layer"))
    stack = tiny.make_dictionary("jumprelu", layers=(0, 1, 2), stream=STREAM, write_stream="mlp_out")
    return {"stack": stack, "crossing": crossing, "none": None}


def make_rows(case, seed=0):
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, 40, (2, n)).tolist() for n in LENGTHS]
    places = [range(max(0, n - (case.last or n)), n) for n in LENGTHS]
    return [ReadRow(ids, at, [labels[p] for p in at]) for (ids, labels), at in zip(drawn, places, strict=True)]


def kept(transformer, case, rows, holder, **options):
    """{layer: {row: its results}}, and {layer: totals of all rows}."""
    scored = isinstance(case.reduce, AnswerLogProbabilities | TopLogits)
    streams, layers = (("final_norm",), (3,)) if scored else ((STREAM, "mlp_out"), (0, 1, 2))
    by_row, totals = {}, {}
    options |= {"layers": layers, "batch_rows": 2, "slots": case.slots, "data": np.ones((3, 16), np.float32)}
    parts = read(transformer, rows, streams, holder, case.reduce, **options)
    for part in parts:
        for name, array in part.values.items():
            if name in case.reduce.totals:
                key = part.layer, name
                totals[key] = totals.get(key, 0) + array.astype(np.float64).sum(axis=0)
                continue
            assert len(array) == len(part.rows)
            for row, values, there in zip(part.rows, array, part.there, strict=True):
                # What is kept of places that are not there has no meaning.
                axis = case.place_axis if name in ("values", "ids", "f") else None
                by_row[part.layer, name, int(row)] = values if axis is None else np.compress(there, values, axis)
    return by_row, totals


def count_programs():
    return [compilations(f) for f in (programs.streams_read, programs.reduced, programs.run_and_reduced)]


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key, values in a.items():
        np.testing.assert_array_equal(values, b[key], err_msg=str(key))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_order_neighbours_padding_and_devices_change_no_bit(transformer, holders, name):
    case = CASES[name]
    rows, holder = make_rows(case), holders[case.holder]
    plain, totals = kept(transformer, case, rows, holder)
    programs = count_programs()
    order = np.random.default_rng(1).permutation(len(rows))
    shuffled, again = kept(transformer, case, [rows[i] for i in order], holder)
    renumbered = {(layer, what, int(order[row])): values for (layer, what, row), values in shuffled.items()}
    assert_same(renumbered, plain)
    for key, total in totals.items():
        np.testing.assert_allclose(again[key], total, rtol=1e-6, atol=1e-6)
    # Alone, a row fills its pass with itself, of which nothing counts.
    alone, _ = kept(transformer, case, rows[3:4], holder)
    assert_same({(layer, what, 3): values for (layer, what, _), values in alone.items()},
                {key: values for key, values in plain.items() if key[2] == 3})  # fmt: skip
    assert count_programs() == programs
    four, _ = kept(transformer, case, rows, holder, parallel=local_parallel(4))
    assert_same(four, plain)


def streamed(stack, resident=1):
    return StreamedDictionaries([stack.layer(layer).config for layer in stack.config.layers], stack.layer, resident)


@pytest.mark.parametrize("holder", ["stack", "none", "streamed"])
def test_tokens_are_told_and_rows_are_counted(transformer, holders, monkeypatch, holder):
    """Passes of short rows are over first, and would promise too much were prompts counted."""
    told, rows = [], make_rows(CASES["last"])

    class Told(reader.Step):
        def __init__(self, what, total, unit):
            told.append((total, unit))
            super().__init__(what, total, unit)

        def advance(self, count=1):
            told.append(count)

    monkeypatch.setattr(reader, "Step", Told)
    monkeypatch.setattr(reader, "HELD_BYTES", 1)
    counted = []
    source = streamed(holders["stack"]) if holder == "streamed" else holders[holder]
    case = CASES["raw" if holder == "none" else "last"]
    kept(transformer, case, rows, source, progress=lambda done, _: counted.append(done))
    (total, unit), *steps = told
    assert (total, unit, sum(steps)) == (sum(LENGTHS), "token", sum(LENGTHS))
    assert len(steps) > 2
    assert counted == sorted(counted)
    assert counted[-1] == len(rows)


@pytest.mark.parametrize("name", ["last", "mean", "max", "top_k", "moments"])
@pytest.mark.parametrize("held", [1, 1 << 30])
def test_streamed_dictionaries_give_what_placed_ones_do(transformer, holders, monkeypatch, name, held):
    monkeypatch.setattr(reader, "HELD_BYTES", held)
    case, stack = CASES[name], holders["stack"]
    loads = []
    source = streamed(stack)
    fetch = source._load
    source._load = lambda layer: loads.append(layer) or fetch(layer)
    plain, totals = kept(transformer, case, make_rows(case), stack)
    other, again = kept(transformer, case, make_rows(case), source)
    # Another program (a stack's slice is taken inside it), so rounding alone may differ.
    assert other.keys() == plain.keys()
    for key, values in plain.items():
        np.testing.assert_allclose(other[key], values, rtol=1e-5, atol=1e-5, err_msg=str(key))
    for key, values in totals.items():
        np.testing.assert_allclose(again[key], values, rtol=1e-5, atol=1e-5)
    passes = len(list(deal(make_rows(case), 2, 64, case.slots)))
    assert loads == [0, 1, 2] * (passes if held == 1 else 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["last", "top_k", "last of crossing"])
@pytest.mark.parametrize("data", [1, 2])
def test_split_dictionaries_stay_where_they_are(transformer, holders, name, data):
    case = CASES[name]
    whole = holders[case.holder]
    mesh = make_mesh(data, 2)
    features = whole.num_features

    def place(array):
        axis = next((i for i, size in enumerate(array.shape) if size == features), None)
        return jax.device_put(array, Sharded(mesh).sharding(array.shape, axis))

    split = jax.tree.map(place, whole)
    plain, _ = kept(transformer, case, make_rows(case), whole)
    other, _ = kept(transformer, case, make_rows(case), split)
    for key, values in plain.items():
        np.testing.assert_allclose(other[key], values, rtol=1e-5, atol=1e-5, err_msg=str(key))


@pytest.mark.slow
def test_means_and_greatest_values_are_of_the_places_read(transformer, holders):
    case = CASES["mean"]
    rows = [dataclasses.replace(row, places=list(row.places)[1:], labels=()) for row in make_rows(case)]
    raw, _ = kept(transformer, CASES["raw"], rows, None)
    means, _ = kept(transformer, case, rows, holders["stack"])
    for row in range(len(rows)):
        x = raw[-1, "values", row][1, :, :16]
        f = np.asarray(holders["stack"].encode_at(1, x))
        np.testing.assert_allclose(means[1, "values", row], f.mean(axis=0), rtol=1e-4, atol=1e-5)


def test_one_width_for_all_is_one_program(transformer):
    before = compilations(programs.run_and_reduced)
    kept(transformer, CASES["total"], make_rows(CASES["total"]), None, width=28)
    assert compilations(programs.run_and_reduced) == before + 1


def test_rows_that_cannot_be_read_are_one_line(transformer, refuses):
    with refuses("prompt 2: 1 tokens, none of which counts"):
        check_read(transformer, [ReadRow([1, 2], [1]), ReadRow([3], [])])
    with refuses("prompt 1: 65 tokens, but the context is 64"):
        check_read(transformer, [ReadRow([1] * 65, [0])])
    with refuses("prompt 1: ids 1 to 40"):
        check_read(transformer, [ReadRow([1, 40], [0])])
    with refuses("prompts: got none"):
        check_read(transformer, [])
    with refuses("rows: got 0"):
        check_read(transformer, [ReadRow([1], [0])], 0)

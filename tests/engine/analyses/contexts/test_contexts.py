"""Contexts of features equal what is seen in all activations at once, however the texts are dealt into passes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.analyses.contexts.reduction import _mixed
from causeway.engine.analyses.contexts.sweep import ContextSweep, _hash, layer_tallies
from causeway.engine.analyses.contexts.tables import layer_tables, texts_of
from causeway.engine.analyses.contexts.tally import Sizes
from causeway.engine.analyses.contexts.weight_readings import weight_readings
from causeway.engine.devices import local_parallel
from causeway.engine.dictionary.placement import StreamedDictionaries
from causeway.engine.model.handle import Model
from causeway.engine.reading.read import read
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store
from causeway.engine.train.corpus import Corpus

SIZES = Sizes(top=4, bands=3, each=2, reach=2)
LAYERS, STREAM, LENGTH = (0, 2), "mlp_in", 12


@pytest.fixture(scope="module")
def corpus():
    """Rows of one to two thirds padding, of which some are the same: contexts of equal values."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 40, (21, LENGTH)).astype(np.int32)
    lengths = rng.integers(3, LENGTH + 1, 21).astype(np.int32)
    tokens[7], lengths[7], tokens[15], lengths[15] = tokens[2], lengths[2], tokens[2], lengths[2]
    tokens[np.arange(LENGTH) >= lengths[:, None]] = 0
    return Corpus(tokens, lengths, 1, np.repeat(np.arange(7), 3).astype(np.int32))


@pytest.fixture(scope="module")
def stack(tiny):
    return tiny.make_dictionary("jumprelu", layers=LAYERS, stream=STREAM, write_stream="mlp_out")


@pytest.fixture(scope="module")
def sweep(model, stack, corpus):
    features = {layer: np.arange(stack.num_features) for layer in LAYERS}
    return ContextSweep(model, stack, corpus, features, SIZES, unit_rows=8, batch_rows=4, seed=3)


@pytest.fixture(scope="module")
def values(model, stack, corpus, transformer):
    """f of every layer, [R, T, F], 0 where nothing counts, of the same passes."""
    from causeway.engine.reading.passes import ReadRow
    from causeway.engine.reading.reductions import TopK

    found = {layer: np.zeros((*corpus.tokens.shape, stack.num_features), np.float32) for layer in LAYERS}
    rows = [ReadRow(tokens[:n], range(1, n)) for tokens, n in zip(corpus.tokens, corpus.lengths, strict=True)]
    for part in read(transformer, rows, (STREAM,), stack, TopK(1, full=True), batch_rows=4, width=LENGTH):
        for row, f, there in zip(part.rows, part.values["f"], part.there, strict=True):
            found[part.layer][row, 1 : 1 + there.sum()] = f[there]
    return found


def slow(f, corpus, layer, feature):
    """A feature's contexts in plain Python: (value, order, row, position), best first, and those drawn of each band."""
    orders = jnp.array([_hash(row[:n], 3) for row, n in zip(corpus.tokens, corpus.lengths, strict=True)], jnp.uint32)
    mixed = np.asarray(_mixed(orders[:, None], jnp.arange(f.shape[2]), jnp.int32(layer)))[:, feature]
    own = f[:, :, feature]
    found = []
    for row in range(len(own)):
        position = int(np.argmax(np.abs(own[row])))
        if own[row, position] != 0:
            found.append((float(own[row, position]), int(mixed[row]), row, position))
    found.sort(key=lambda one: (-abs(one[0]), one[1], one[2]))
    if not found:
        return [], {}
    octave = [int(np.floor(np.log2(abs(one[0])))) for one in found]
    band = [min(octave[0] - own, SIZES.bands - 1) for own in octave]
    drawn = {
        b: sorted((one for one, own in zip(found, band, strict=True) if own == b), key=lambda one: one[1:3])[
            : SIZES.each
        ]
        for b in range(SIZES.bands)
    }
    return found[: SIZES.top], drawn


def test_contexts_counts_and_histograms_are_those_of_all_activations(sweep, values, corpus):
    texts, weights, some = texts_of(sweep), weight_readings(sweep, 2), 0
    for tally in layer_tallies(sweep, None):
        f = values[tally.layer]
        tables = layer_tables(sweep, tally, weights[tally.layer], texts, {(0, 3): "three"})
        features, contexts = tables.features.to_pylist(), [row for part in tables.contexts for row in part.to_pylist()]
        bins = tables.histograms.to_pylist()
        for number, row in enumerate(features):
            own = f[:, :, number][f[:, :, number] != 0]
            assert row["active_tokens"] == len(own)
            assert row["label"] == ("three" if (tally.layer, number) == (0, 3) else None)
            assert row["active_rows"] == np.any(f[:, :, number] != 0, axis=1).sum()
            assert row["firing_rate"] == pytest.approx(len(own) / corpus.counts.sum())
            mine = [one for one in bins if one["feature"] == number]
            assert sum(one["count"] for one in mine) == len(own)
            for one in mine:
                assert one["count"] == ((np.abs(own) >= one["low"]) & (np.abs(own) < one["high"])).sum()
            if not len(own):
                assert row["maximum"] is row["mean_active"] is row["low"] is row["high"] is None
                continue
            np.testing.assert_allclose(row["mean_active"], own.mean(), rtol=1e-5)
            top, drawn = slow(f, corpus, tally.layer, number)
            assert row["maximum"] == np.float32(top[0][0])
            here = [one for one in contexts if one["feature"] == number]
            assert [place(one) for one in here if one["kind"] == "top"] == [(one[0], *one[2:]) for one in top]
            for band, wanted in drawn.items():
                found = [one for one in here if one["kind"] == "sample" and one["band"] == band]
                assert [place(one) for one in found] == [(one[0], *one[2:]) for one in wanted]
            for one in here:
                check_window(one, f[one["row"], :, number], corpus)
                some += 1
    assert some > 100


def place(context):
    return context["value"], context["row"], context["position"]


def check_window(context, f, corpus):
    row, peak = context["row"], context["position"]
    shown = range(max(1, peak - SIZES.reach), min(corpus.lengths[row], peak + SIZES.reach + 1))
    assert context["ids"] == corpus.tokens[row, list(shown)].tolist()
    assert context["activations"] == f[list(shown)].tolist()
    assert shown[context["peak"]] == peak
    assert context["text"] == corpus.texts[row]
    assert "".join(context["tokens"]) == "".join(chr(97 + i) if i < 39 else "." for i in context["ids"])


def tallies(sweep):
    return {found.layer: found for found in layer_tallies(sweep, None)}


def assert_same(one, other, exact=True):
    for layer, found in one.items():
        for name, array in found.tally.named().items():
            mine = other[layer].tally.named()[name]
            same = exact or array.dtype.kind in "iu"
            (np.testing.assert_array_equal if same else close)(mine, array, err_msg=f"{layer} {name}")
        close(other[layer].total, found.total)


def close(one, other, err_msg=""):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, err_msg=err_msg)


@pytest.mark.slow
def test_units_devices_and_where_dictionaries_lie_change_nothing(sweep, stack):
    plain = tallies(sweep)
    assert_same(tallies(dataclasses.replace(sweep, unit_rows=5)), plain)
    assert_same(tallies(dataclasses.replace(sweep, parallel=local_parallel(2))), plain)
    assert_same(tallies(dataclasses.replace(sweep, parallel=local_parallel(2, "pmap"))), plain)
    assert_same(tallies(dataclasses.replace(sweep, dictionary=streamed(stack))), plain)


def streamed(stack):
    return StreamedDictionaries([stack.layer(layer).config for layer in LAYERS], stack.layer, 1)


def test_passes_of_another_size_change_no_count_and_padding_none_at_all(sweep, corpus):
    plain = tallies(sweep)
    assert_same(tallies(dataclasses.replace(sweep, batch_rows=7)), plain, exact=False)
    filled = np.where(np.arange(LENGTH) < corpus.lengths[:, None], corpus.tokens, 17).astype(np.int32)
    other = tallies(dataclasses.replace(sweep, corpus=dataclasses.replace(corpus, tokens=filled)))
    for layer, found in plain.items():
        for name, array in found.tally.named().items():
            np.testing.assert_array_equal(other[layer].tally.named()[name], array, err_msg=name)


def test_the_order_of_texts_decides_no_context(sweep, corpus):
    order = np.random.default_rng(1).permutation(len(corpus.tokens))
    shuffled = Corpus(corpus.tokens[order], corpus.lengths[order], 1, corpus.texts[order])
    plain, other = tallies(sweep), tallies(dataclasses.replace(sweep, corpus=shuffled))
    for layer, found in plain.items():
        for kind in ("top", "sample"):
            one, two = getattr(found.tally, kind), getattr(other[layer].tally, kind)
            np.testing.assert_array_equal(one.value, two.value)
            np.testing.assert_array_equal(one.order, two.order)
            np.testing.assert_array_equal(one.window, two.window)


@pytest.mark.parametrize("kind", ["jumprelu", "topk", "streamed", "cross_layer"])
def test_chosen_features_are_those_of_all(sweep, stack, tiny, cases, kind):
    if kind == "cross_layer":
        holder = jax.tree.map(lambda a: a.astype(np.float32), cases.make_dictionary(tiny, "cross_layer"))
        sweep = dataclasses.replace(sweep, features={layer: np.arange(holder.num_features) for layer in LAYERS})
    elif kind == "topk":
        holder = tiny.make_dictionary("topk", layers=LAYERS, stream=STREAM, write_stream="mlp_out", k=3)
    else:
        holder = stack if kind == "jumprelu" else streamed(stack)
    sweep = dataclasses.replace(sweep, dictionary=holder)
    plain, chosen = tallies(sweep), {0: np.array([1, 5, 6]), 2: np.array([3])}
    for layer, found in tallies(dataclasses.replace(sweep, features=chosen)).items():
        for name, array in found.tally.named().items():
            wanted = plain[layer].tally.named()[name][..., chosen[layer]]
            (close if array.dtype.kind == "f" else np.testing.assert_array_equal)(array, wanted)


def test_an_interrupted_run_ends_with_the_same_bytes(sweep, contents, tmp_path):
    whole, parts = (Store(tmp_path / name, sweep.plan) for name in ("whole", "parts"))
    assert not run_sweep(whole, sweep.unit).stopped
    assert run_sweep(parts, sweep.unit, limit=1).stopped == "limit"
    assert not run_sweep(parts, dataclasses.replace(sweep, parallel=local_parallel(2)).unit).stopped
    assert contents(whole) == contents(parts)
    assert_same({one.layer: one for one in layer_tallies(sweep, parts.workdir)}, tallies(sweep))


def test_features_that_are_no_numbers_are_named(sweep, stack, refuses):
    broken = jax.tree.map(lambda a: a, stack)
    broken.b_enc[...] = broken.b_enc[...].at[1, 4].set(jnp.nan)
    with refuses("feature 4 of layer 2"):
        dataclasses.replace(sweep, dictionary=broken).unit(0)


def test_rows_across_texts_are_refused(model, stack, corpus, refuses):
    with refuses("rows go across texts"):
        ContextSweep(model, stack, dataclasses.replace(corpus, texts=None), {0: np.arange(3)}, SIZES)


class Bytes:
    """Two tokens a letter beyond ASCII, as tokenizers of bytes have them."""

    vocab_size, bos_id, eos_id, fingerprint = 256, None, None, "bytes"

    def decode(self, ids):
        return bytes(ids).decode(errors="replace")


def test_letters_of_several_tokens_are_whole_at_the_first(sweep):
    text = list("né שלום".encode())
    corpus = Corpus(np.array([text], np.int32), np.array([len(text)], np.int32), 1, np.zeros(1, np.int32))
    model = Model(sweep.model.transformer, Bytes(), "tiny", "tiny")
    found = texts_of(dataclasses.replace(sweep, model=model, corpus=corpus))
    shown = [found.texts[code] for code in found.code[0]]
    assert shown[:4] == ["n", "é", "", " "]
    assert "".join(shown) == "né שלום"

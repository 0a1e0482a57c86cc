"""Edits whose dictionary reads one stream and writes another, or undoes a norm, against hooks in plain numpy."""

import dataclasses

import jax
import numpy as np
import pytest

from causeway.engine.dictionary.dictionary import take
from causeway.engine.intervention.apply import bind
from causeway.engine.intervention.checks import check_edits
from causeway.engine.intervention.edits import EMPTY, EditSpec
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.forward import run
from causeway.engine.model.generate import generate_rows
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.segments import Layout
from causeway.engine.outcome.answers import Answer, answer_tree
from causeway.engine.outcome.exact import Background, clean_tree, edited_answers, start_layer

SPAN = (2, 7)


def flat(x):
    return x.reshape(len(x), -1)


def hooked(edit, row, dictionary):
    """(hook, report): one row's slots done by hand; values are those of `dictionary.encode`, tested by itself."""
    spec, config, held, report = edit.spec, dictionary.config, {}, {}

    def hook(name, layer, x):
        if layer not in edit.layer[row]:
            return x
        if name == config.stream:
            held["x"] = flat(x)
        if name != spec.stream:
            return x
        one, seen = take(dictionary, config.index_of(layer)), held["x"]
        f = np.asarray(one.encode(seen))
        target = f.copy()
        inside = np.zeros(len(x), bool)
        for slot in range(edit.layer.shape[1]):
            start, stop, feature = (getattr(edit, n)[row, slot] for n in ("start", "stop", "feature"))
            inside[start:stop] = True
            target[start:stop, feature] = edit.scale[row, slot] * f[start:stop, feature] + edit.shift[row, slot]
            report[slot] = f[:, feature], target[:, feature]
        plain = np.asarray(one.decode(f, seen))
        moved = np.asarray(one.decode(target, seen))
        out = moved if spec.family == "replace" else flat(x) + moved - plain
        return np.where(inside[:, None], out, flat(x)).reshape(x.shape)

    return hook, report


def check_against_hooks(tiny, plain, dictionary, family):
    config = dictionary.config
    spec = EditSpec(config.output_stream, family)
    edit = tiny.make_edit(
        2, 2, spec, layer=2 if spec.one_layer(dictionary) else [[0, 0], [2, 2]], feature=[[4, 11], [7, 0]],
        scale=[[0, 1], [-1, 2]], shift=[[3, 0.5], [0, 0]], start=SPAN[0], stop=SPAN[1],
    )  # fmt: skip
    transformer = tiny.make_transformer(tiny.DOUBLE)
    check_edits((edit,), tiny.CONFIG, dictionary)
    out = run(transformer, np.tile(tiny.PROMPT, (2, 1)), Instruments((bind(edit, dictionary),)))
    for row in range(2):
        hook, report = hooked(edit, row, dictionary)
        np.testing.assert_allclose(out.logits[row], plain.logits(transformer, tiny.PROMPT, hook), atol=1e-9)
        for slot, values in report.items():
            for got, wanted in zip((out.edits[0].before, out.edits[0].after), values, strict=True):
                np.testing.assert_allclose(np.asarray(got)[row, slice(*SPAN), slot], wanted[slice(*SPAN)], atol=1e-9)
    assert np.abs(np.asarray(out.edits[0].after - out.edits[0].before)).max() > 0.1


@pytest.mark.parametrize("family", ["feature", pytest.param("replace", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("kind", "reads", "writes", "skip"),
    [
        ("jumprelu", "mlp_in", "mlp_out", False),
        ("relu", "resid_mid", "mlp_out", True),
        ("topk", "mlp_norm", "mlp_out", True),
        ("gated", "resid_pre", "resid_post", False),
    ],
)
def test_a_transcoder_reads_one_stream_and_writes_another(tiny, plain, kind, reads, writes, skip, family):
    with jax.enable_x64(True):
        dictionary = tiny.make_dictionary(kind, stream=reads, write_stream=writes, dtype="float64", skip=skip)
        check_against_hooks(tiny, plain, dictionary, family)


@pytest.mark.parametrize("family", ["feature", pytest.param("replace", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("kind", "stream", "norm"),
    [
        ("jumprelu", "resid_post", "layer_norm"),
        ("abstopk", "mlp_out", "token_norm"),
        ("relu", "head_out", "none"),
        ("topk_signed", "head_out", "layer_norm"),
    ],
)
def test_an_sae_writes_in_the_units_of_its_stream(tiny, plain, kind, stream, norm, family):
    with jax.enable_x64(True):
        dictionary = tiny.make_dictionary(kind, stream=stream, dtype="float64", input_norm=norm)
        check_against_hooks(tiny, plain, dictionary, family)


@pytest.mark.parametrize("kind", ["jumprelu", "topk"])
@pytest.mark.parametrize("stream", ["head_out", "resid_post"])
def test_taps_read_heads_side_by_side_and_norms(tiny, transformer, kind, stream):
    dictionary = tiny.make_dictionary(kind, stream=stream, input_norm="layer_norm")
    ids = np.array([[3, 9], [0, 23]])
    taps = (
        bind_tap(TapSpec(stream, "raw", (0, 2)), None),
        bind_tap(TapSpec(stream, "all", (0, 2)), dictionary),
        bind_tap(TapSpec(stream, "selected", (0, 2), 2), dictionary, ids=ids),
        bind_tap(TapSpec(stream, "top_k", (0, 2), 3), dictionary),
    )
    raw, every, selected, top = run(transformer, tiny.PROMPT[None], Instruments(taps=taps)).records
    for place in range(2):
        x = np.asarray(raw.values[place]).reshape(1, 9, -1)
        f = np.asarray(take(dictionary, place).encode(x))
        np.testing.assert_allclose(every.values[place], f, atol=1e-4)
        np.testing.assert_allclose(selected.values[place], f[..., ids[place]], atol=1e-4)
        np.testing.assert_allclose(top.values[place], -np.sort(-f, axis=-1)[..., :3], atol=1e-4)


def transcoder_rows(tiny):
    """A transcoder, and rows that act on the last prompt token and after."""
    dictionary = tiny.make_dictionary(stream="mlp_in", write_stream="mlp_out")
    spec = EditSpec("mlp_out")
    edit = tiny.make_edit(4, 1, spec, layer=2, feature=[[3], [5], [7], [3]], shift=[[4], [2], [6], [1]], start=8)
    return dictionary, edit


@pytest.mark.slow
@pytest.mark.parametrize("recomputed", [False, True])
def test_generation_makes_the_same_edit_token_by_token(tiny, transformer, recomputed):
    dictionary, edit = transcoder_rows(tiny)
    taps = (bind_tap(TapSpec("logits", "raw", (3,)), None),)
    drawn = generate_rows(
        transformer, tiny.PROMPT, trials=np.arange(4), layout=Layout(4, (4,)), sampling=Sampling(1.0), seed=0,
        prompt_id=0, edits=(edit,), dictionary=dictionary, taps=taps, recomputed=recomputed,
    )  # fmt: skip
    tokens = np.concatenate([np.tile(tiny.PROMPT, (4, 1)), drawn.tokens[:, :3]], axis=1)
    for step in range(4):
        # Recomputed: only the token being processed is edited.
        now = dataclasses.replace(edit, start=np.full_like(edit.start, 8 + step * recomputed))
        whole = run(transformer, tokens, Instruments((bind(now, dictionary),)))
        np.testing.assert_allclose(drawn.records[0].values[:, step, 0], whole.logits[:, 8 + step], atol=2e-4)
        np.testing.assert_allclose(drawn.before[0][:, step], whole.edits[0].before[:, 8 + step], atol=2e-4)


def test_exact_answers_make_the_same_edit(tiny, transformer):
    dictionary, edit = transcoder_rows(tiny)
    tree = answer_tree(tiny.PROMPT[-1], [Answer(name, "stop") for name in "abc"], [[4], [9], [30]])
    clean = clean_tree(transformer, tiny.PROMPT, tree)
    own = ((edit,), np.int32(start_layer((edit,), clean)))
    got, (report,) = jax.jit(edited_answers)(Background(transformer, dictionary, clean), own)
    whole = run(transformer, np.tile(tiny.PROMPT, (4, 1)), Instruments((bind(edit, dictionary),)))
    wanted = jax.nn.log_softmax(whole.logits[:, -1])[:, tree.edges[:, 1]]
    np.testing.assert_allclose(got[:, : len(tree.edges)], wanted, atol=1e-4)
    np.testing.assert_allclose(report.before[:, 0], whole.edits[0].before[:, -1], atol=1e-4)


def test_at_its_own_value_a_transcoder_edit_changes_no_bit(tiny, transformer):
    dictionary, edit = transcoder_rows(tiny)
    own = dataclasses.replace(edit, start=edit.start * 0, scale=edit.scale + 1, shift=edit.shift * 0)
    tokens = np.tile(tiny.PROMPT, (4, 1))
    empty = dataclasses.replace(own, layer=np.full_like(own.layer, EMPTY))
    edited, clean = (run(transformer, tokens, Instruments((bind(e, dictionary),))) for e in (own, empty))
    assert (np.asarray(edited.edits[0].before) > 0).any()
    np.testing.assert_array_equal(edited.logits, clean.logits)


def test_streams_that_cannot_be_are_refused(tiny, refuses):
    def edit(stream):
        return tiny.make_edit(1, 1, EditSpec(stream), layer=2, feature=3)

    backwards = tiny.make_dictionary(stream="mlp_out", write_stream="resid_mid")
    with refuses("reads 'mlp_out' and writes 'resid_mid', which comes before it"):
        check_edits((edit("resid_mid"),), tiny.CONFIG, backwards)
    forwards = tiny.make_dictionary(stream="mlp_in", write_stream="mlp_out")
    with refuses("'mlp_in' but the dictionary writes 'mlp_out'"):
        check_edits((edit("mlp_in"),), tiny.CONFIG, forwards)


def test_a_read_stream_that_the_model_lacks_is_refused(tiny, refuses):
    transformer = tiny.make_transformer(**tiny.FAMILIES["gpt_neox"])
    dictionary = tiny.make_dictionary(stream="resid_mid", write_stream="mlp_out")
    edit = bind(tiny.make_edit(1, 1, EditSpec("mlp_out"), layer=2, feature=3), dictionary)
    with refuses("reads resid_mid and writes mlp_out, but this pass does not form resid_mid"):
        run(transformer, tiny.PROMPT[None], Instruments((edit,)))

"""`cw.run` and `cw.generate`: what a person writes is what the engine's passes do, prompt by prompt."""

import dataclasses

import numpy as np
import pytest

import causeway as cw
from causeway.engine.intervention.apply import bind
from causeway.engine.intervention.edits import EditSpec
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.sites import Place, own_place
from causeway.engine.model import forward

PROMPTS = [[7, 31, 2, 19], [5, 5, 11, 8, 20, 3], [38]]
SET = cw.FeatureEdit(2, 7, 6.0, scope="last_prompt")


@pytest.fixture(scope="module")
def model(transformer):
    return cw.Model(transformer, None, "tiny", "of the tests")


def test_logits_are_those_of_the_plain_decoder(model, plain):
    out = cw.run(model, PROMPTS)
    assert out.tokens == tuple(map(tuple, PROMPTS))
    for ids, logits in zip(PROMPTS, out.logits, strict=True):
        np.testing.assert_allclose(logits, plain.logits(model.transformer, ids), atol=2e-5)
    assert out.edits_applied.tolist() == [0, 0, 0]


def test_a_prompts_bits_do_not_depend_on_the_others(model, dictionary):
    together = cw.run(model, PROMPTS, edits=[SET], taps=[cw.Tap()], dictionary=dictionary)
    for i, ids in enumerate(PROMPTS):
        alone = cw.run(model, ids, edits=[SET], taps=[cw.Tap()], dictionary=dictionary)
        assert alone.logits[0].tobytes() == together.logits[i].tobytes()
        assert alone.records[0][0].values.tobytes() == together.records[0][i].values.tobytes()


@pytest.mark.parametrize("mode", ["delta", "replace"])
def test_edits_are_those_of_a_pass_with_the_same_arrays(model, dictionary, tiny, mode):
    (logits,) = cw.run(model, PROMPTS[0], edits=[SET], dictionary=dictionary, mode=mode).logits
    spec = EditSpec(family="replace" if mode == "replace" else "feature")
    edit = tiny.make_edit(1, 1, spec, layer=2, feature=7, shift=6.0, start=3, stop=4)
    expected = forward.run(model.transformer, np.array([PROMPTS[0]]), Instruments((bind(edit, dictionary),))).logits
    np.testing.assert_allclose(logits, expected[0], atol=1e-5)
    assert np.abs(logits - cw.run(model, PROMPTS[0]).logits[0]).max() > 1e-2


def test_one_row_of_edits_serves_all_prompts_or_each_has_its_own(model, dictionary):
    common = cw.run(model, PROMPTS, edits=[SET], dictionary=dictionary)
    assert common.edits_applied.tolist() == [1, 1, 1]
    own = cw.run(model, PROMPTS, edits=[[], [SET], []], dictionary=dictionary)
    assert own.edits_applied.tolist() == [0, 1, 0]
    assert own.logits[1].tobytes() == common.logits[1].tobytes()
    assert own.logits[0].tobytes() == cw.run(model, PROMPTS[0]).logits[0].tobytes()


def test_records_have_the_length_of_their_prompt(model, dictionary):
    taps = [cw.Tap("attn_pattern", layers=(1,)), cw.Tap(reader="top_k", width=3), cw.Tap("logits", "top_k", width=2)]
    out = cw.run(model, PROMPTS, taps=taps, dictionary=dictionary)
    for i, ids in enumerate(PROMPTS):
        length, (pattern, features, logits) = len(ids), (record[i] for record in out.records)
        assert pattern.values.shape == (1, 4, length, length)
        np.testing.assert_allclose(pattern.values.sum(-1), 1, rtol=1e-5)
        assert features.values.shape == features.ids.shape == (2, length, 3)
        assert logits.ids[0, -1, 0] == out.logits[i][-1].argmax()
        assert features.valid.all()
        assert len(features.valid) == length


def test_a_rollouts_rows_share_their_noise(model, dictionary):
    own, strong = cw.FeatureEdit(2, 7, operation="own"), cw.FeatureEdit(2, 7, 60.0)
    (result,) = cw.generate(
        model,
        PROMPTS[0],
        arms=[[], [own], [strong]],
        dictionary=dictionary,
        max_new_tokens=3,
        temperature=1.0,
        trials=4,
    )
    tokens = result.generation.tokens.reshape(3, 4, 3)
    np.testing.assert_array_equal(tokens[0], tokens[1])
    assert (tokens[0] != tokens[2]).any()
    assert len({row.tobytes() for row in tokens[0]}) > 1
    assert [len(texts) for texts in result.texts] == [4, 4, 4]
    assert result.texts[0][0] == " ".join(map(str, tokens[0, 0]))


def test_prompts_are_continued_each_with_every_row(model):
    results = cw.generate(model, PROMPTS[:2], max_new_tokens=3, temperature=0, trials=1, seed=3)
    for ids, result in zip(PROMPTS, results, strict=False):
        tokens = list(ids)
        for chosen in result.generation.tokens[0]:
            assert chosen == cw.run(model, tokens).logits[0][-1].argmax()
            tokens.append(int(chosen))


def test_what_cannot_be_run_is_refused(model, dictionary, refuses):
    with refuses("prompts: got none"):
        cw.run(model, [])
    with refuses("prompts: got none"):
        cw.generate(model, [])
    with refuses("prompt: got .* no tokens"):
        cw.run(model, [[]])
    with refuses("prompt: token id 40 is outside the vocabulary"):
        cw.run(model, [40])
    with refuses("prompt: got text, but tiny has no tokenizer"):
        cw.run(model, "hello")
    with refuses("prompt: 65 tokens, but the context of tiny is 64"):
        cw.run(model, [1] * 65)
    with refuses("edits: got 2 lists for 3 prompts; needs one list for all prompts, or one a prompt"):
        cw.run(model, PROMPTS, edits=[[SET], []], dictionary=dictionary)
    with refuses("dictionary: missing"):
        cw.run(model, PROMPTS, edits=[SET])
    with refuses("outside the dictionary's 0..23"):
        cw.run(model, PROMPTS, edits=[cw.FeatureEdit(2, 24, 1.0)], dictionary=dictionary)
    with refuses("semantics: got 'clean'"):
        cw.generate(model, PROMPTS, semantics="clean")
    with refuses("trials: got 0; needs a whole number from 1"):
        cw.generate(model, PROMPTS, trials=0)
    for seed in (2**32, -1, 1.5, "1", None):
        with refuses("seed: got .*; needs a whole number from 0 to 4294967295"):
            cw.generate(model, PROMPTS, seed=seed)
    with refuses("temperature: got nan"):
        cw.generate(model, PROMPTS, temperature=float("nan"))
    with refuses("prompts: got b'abc'"):
        cw.run(model, b"abc")
    with refuses("max_new_tokens"):
        cw.generate(model, PROMPTS, max_new_tokens=100)


def named(name):
    """A family's way of calling two places; otherwise the engine's."""
    theirs = {"blocks.1.hook_mlp_out": Place("mlp_out", 1), "hook_mlp_out": Place("mlp_out", None)}
    return theirs.get(name) or own_place(name)


def test_places_go_by_the_names_that_the_model_reads(model, refuses):
    other = dataclasses.replace(model, read_place=named)
    whole, one = (r[0].values for r in cw.run(other, PROMPTS[0], taps=["mlp_out", "mlp_out.1"]).records)
    for taps in (["hook_mlp_out", "blocks.1.hook_mlp_out"], [cw.Tap("mlp_raw"), cw.Tap("mlp_raw", layers=-2)]):
        records = cw.run(other, PROMPTS[0], taps=taps).records
        np.testing.assert_array_equal(records[0][0].values, whole)
        np.testing.assert_array_equal(records[1][0].values, one)
    np.testing.assert_array_equal(one[0], whole[1])
    (alone,) = cw.run(other, PROMPTS[0], taps="mlp_out").records
    np.testing.assert_array_equal(alone[0].values, whole)
    (tap,) = cw.run(other, PROMPTS[0], taps=cw.Tap("mlp_out")).records
    np.testing.assert_array_equal(tap[0].values, whole)
    for taps, message in (
        ([cw.Tap("blocks.1.hook_mlp_out", layers=2)], "Tap.layers: got .2., but 'blocks.1.hook_mlp_out' is of layer 1"),
        ("resid", "Tap.stream: cannot read 'resid'"), ("mlp_out.3", "Tap.stream: layer of 'mlp_out.3': got 3"),
        ([3], "taps: got 3; needs Tap or the name"), (3, "taps: got 3; needs a list"),
    ):  # fmt: skip
        with refuses(message):
            cw.run(other, PROMPTS[0], taps=taps)


def test_edits_go_by_names_and_layers_from_the_end(model, dictionary, refuses):
    other = dataclasses.replace(model, read_place=named)
    last = cw.run(model, PROMPTS[0], edits=cw.FeatureEdit(-1, 7, 6.0, scope=3), dictionary=dictionary)
    same = cw.run(model, PROMPTS[0], edits=[SET], dictionary=dictionary)
    np.testing.assert_array_equal(last.logits[0], same.logits[0])
    assert last.edits_applied.tolist() == [1]
    steered = [cw.VectorEdit(1, np.ones(16), 2.0, "add", stream=name) for name in ("mlp_out", "hook_mlp_out")]
    logits = [cw.run(other, PROMPTS[0], edits=edit).logits[0] for edit in steered]
    np.testing.assert_array_equal(*logits)
    for edit, message in (
        (cw.FeatureEdit(3, 7), "FeatureEdit.layer: got 3; needs a whole number from -3 to 2"),
        (cw.SwapEdit(2, np.ones(16), stream="blocks.1.hook_mlp_out"), "SwapEdit.layer: got 2, but .* is of layer 1"),
        (cw.VectorEdit(1, np.ones(16), stream="resid"), "VectorEdit.stream: cannot read 'resid'"),
        ([[SET], 3], "edits: got .*; needs one of FeatureEdit"), (3, "edits: got 3; needs a list of edits"),
    ):  # fmt: skip
        with refuses(message):
            cw.run(other, PROMPTS[:2], edits=edit, dictionary=dictionary)


def test_a_stream_put_back_at_every_position_is_the_same_pass(model):
    (tap,) = cw.run(model, PROMPTS[1], taps=[cw.Tap("resid_mid", layers=1)]).records
    own = tap[0].values[0]
    zero = cw.run(model, PROMPTS[1], edits=cw.SwapEdit(1, 0 * own, stream="resid_mid"))
    back = cw.run(model, PROMPTS[1], edits=[cw.SwapEdit(1, own[[2, 4]], [2, 4], "resid_mid")])
    clean = cw.run(model, PROMPTS[1]).logits[0]
    np.testing.assert_allclose(back.logits[0], clean, atol=2e-6)
    assert (zero.edits_applied.tolist(), back.edits_applied.tolist()) == ([6], [2])
    assert np.abs(zero.logits[0] - clean).max() > 1e-2


def test_streams_before_the_norms_after_attention_and_mlp(tiny, plain, refuses):
    """Where a family has such norms, dictionaries of these streams are edited as in plain numpy."""
    gemma = cw.Model(tiny.make_transformer(**tiny.FAMILIES["gemma2"]), None, "gemma", "of the tests")
    sae = tiny.make_dictionary(stream="mlp_raw")
    got = cw.run(gemma, PROMPTS[0], edits=[cw.FeatureEdit(2, 7, 6.0)], taps=[cw.Tap("mlp_raw", "all")], dictionary=sae)
    change = plain.delta_edit(tiny.make_edit(1, layer=2, feature=7, shift=6.0), 0, "mlp_raw", sae)
    np.testing.assert_allclose(got.logits[0], plain.logits(gemma.transformer, PROMPTS[0], change), atol=1e-4)
    with refuses("transcoders: SAEs of mlp_raw"):
        cw.attribute(gemma, PROMPTS[0], tiny.make_dictionary(layers=(0, 1, 2), stream="mlp_raw"))
    transcoders = tiny.make_dictionary("relu", (0, 1, 2), "mlp_in", write_stream="mlp_raw")
    with refuses("read mlp_in and write mlp_raw; needs transcoders of MLPs, which .* write mlp_out"):
        cw.attribute(gemma, PROMPTS[0], transcoders)
    with refuses("mlp_out .constrained. with transcoders that write mlp_raw"):
        cw.intervene(gemma, PROMPTS[0], transcoders, [(0, 0, 0, 1.0)], holds="constrained")
    opened = cw.intervene(gemma, PROMPTS[0], transcoders, [(2, slice(None), 7, 6.0)])
    edited = cw.run(gemma, PROMPTS[0], edits=[cw.FeatureEdit(2, 7, 6.0)], dictionary=transcoders)
    np.testing.assert_allclose(opened.logits, edited.logits[0], atol=1e-4)


def test_a_dictionary_goes_by_the_models_own_names(model, tiny, refuses):
    """Without norms behind them, a dictionary of what the MLP writes is one of what it adds."""
    raw, own = (tiny.make_dictionary(stream=stream) for stream in ("mlp_raw", "mlp_out"))
    for tap in (cw.Tap("mlp_raw", "all"), cw.Tap("mlp_out", "all")):
        records = [
            cw.run(model, PROMPTS[0], edits=[cw.FeatureEdit(2, 7, 6.0)], taps=[tap], dictionary=d).records[0][0].values
            for d in (raw, own)
        ]
        np.testing.assert_array_equal(*records)
    with refuses("dictionary: belongs to layer 5, but tiny has layers 0..2"):
        cw.run(model, PROMPTS[0], dictionary=tiny.make_dictionary(layers=(5,)))
    with refuses("dictionary: d_in is 16, but mlp_act of tiny has width 24"):
        cw.run(model, PROMPTS[0], dictionary=tiny.make_dictionary(stream="mlp_act"))
    neox = cw.Model(tiny.make_transformer(**tiny.FAMILIES["gpt_neox"]), None, "neox", "of the tests")
    for options in (
        {"edits": [cw.VectorEdit(1, np.ones(16), stream="resid_mid")]}, {"taps": ["resid_mid"]},
        {"dictionary": tiny.make_dictionary(stream="resid_mid")},
    ):  # fmt: skip
        with refuses("has no resid_mid, because"):
            cw.run(neox, PROMPTS[0], **options)


def test_results_show_themselves_in_a_line(model, dictionary):
    taps = [cw.Tap("resid_post", layers=(0,)), cw.Tap("resid_post", "top_k", layers=(0,), width=2)]
    out = cw.run(model, [[1, 2, 3], [4, 5]], taps=taps, dictionary=dictionary)
    gen = cw.generate(model, [1, 2, 3], max_new_tokens=2, trials=3)[0]
    for thing in (out, gen, gen.generation, out.records[0][0]):
        assert len(repr(thing).splitlines()) == 1
        assert len(repr(thing)) < 300
    assert "2 prompts of 2-3 tokens" in repr(out)
    assert "with ids" in repr(out)
    assert "1 arms of 3 trials" in repr(gen)


def test_arms_are_run_on_every_prompt_and_stacked(model, dictionary, refuses):
    strong, taps = cw.FeatureEdit(2, 7, 60.0), [cw.Tap("resid_post"), cw.Tap(reader="top_k", width=3)]
    out = cw.run(model, PROMPTS[:2], arms=[[], SET, [strong]], taps=taps, dictionary=dictionary)
    assert [logits.shape for logits in out.logits] == [(3, 4, 40), (3, 6, 40)]
    assert out.edits_applied.tolist() == [[0, 1, 4], [0, 1, 6]]
    assert out["resid_post", "raw"][1].shape == (3, 3, 6, 16)
    for arm, edits in enumerate(([], [SET], [strong])):
        alone = cw.run(model, PROMPTS[1], edits=edits, taps=taps, dictionary=dictionary)
        assert alone.logits[0].tobytes() == out.logits[1][arm].tobytes()
        assert alone["resid_post", 2, "raw"][0].tobytes() == out["resid_post", 2, "raw"][1][arm].tobytes()
        assert alone.records[1][0].ids.tobytes() == out.records[1][1].ids[arm].tobytes()
    with refuses("edits: got 2 lists for 1 prompt; .* lists to compare on every prompt are arms="):
        cw.run(model, PROMPTS[0], edits=[[], [SET]], dictionary=dictionary)
    with refuses("edits: got 2 lists for 1 prompt; .* lists to compare on every prompt are arms="):
        cw.generate(model, PROMPTS[0], edits=[[], [SET]], dictionary=dictionary)
    for arms in ([], 3, "arms", [3]):
        with refuses(r"arms: got .*; needs a list of lists of edits, such as \[\[\], \[edit\]\]"):
            cw.run(model, PROMPTS[0], arms=arms)
    with refuses("edits, arms: got both"):
        cw.run(model, PROMPTS[0], edits=SET, arms=[[]], dictionary=dictionary)


def test_logits_are_formed_where_they_are_asked_for(model, refuses, monkeypatch):
    whole = cw.run(model, PROMPTS, taps="final_norm")
    for taps in ((), "logits"):
        last = cw.run(model, PROMPTS, logits="last", taps=taps)
        for a, b in zip(last.logits, whole.logits, strict=True):
            np.testing.assert_allclose(a, b[-1], atol=1e-6)
    none = cw.run(model, PROMPTS, logits=None, taps="final_norm")
    assert none.logits == ()
    for a, b in zip(none["final_norm"], whole["final_norm"], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    with refuses("logits: got 'some'; needs 'all', 'last' or None"):
        cw.run(model, PROMPTS, logits="some")
    monkeypatch.setattr("causeway.engine.calls.run.MOST_LOGITS", 1000)
    with refuses("logits: 'all' of 11 tokens are 0.0 GB .* ask for logits='last' or None, or give fewer prompts"):
        cw.run(model, PROMPTS)


def test_what_was_tapped_goes_by_name(model, dictionary, refuses):
    taps = [cw.Tap("resid_post", layers=(0, 2)), cw.Tap("resid_post", "top_k", width=3), "hook_mlp_out", "final_norm"]
    other = dataclasses.replace(model, read_place=named)
    out = cw.run(other, PROMPTS, taps=taps, dictionary=dictionary)
    for i, ids in enumerate(PROMPTS):
        values = out.records[0][i].values
        np.testing.assert_array_equal(out["resid_post", "raw"][i], values)
        np.testing.assert_array_equal(out["resid_post", -1, "raw"][i], values[1])
        np.testing.assert_array_equal(out["resid_post", 2, "top_k"][i], out.records[1][i].values[1])
        np.testing.assert_array_equal(out["blocks.1.hook_mlp_out"][i], out["mlp_out"][i][1])
        np.testing.assert_array_equal(out["mlp_out.1"][i], out["mlp_out", 1][i])
        assert out["final_norm"][i].shape == (len(ids), 16)
    for key, message in (
        (("resid_post", 1), r"\['resid_post', 1\]: nothing .* there; tapped: resid_post \(raw\) of layers 0, 2;"),
        ("attn_out", r"nothing was tapped there; tapped: .*; mlp_out \(raw\) of layers 0, 1, 2; final_norm \(raw\) of"),
        ("resid_post", r"\['resid_post'\]: .* are meant alike; name the layer and the reader"),
        (("resid_post", 3), r"\['resid_post', 3\]: layer: got 3; needs a whole number from -3 to 2"),
        (("mlp_out.1", 2), "'mlp_out.1' is of layer 1; name one"), ("resid", "site: cannot read 'resid'"),
        (("mlp_out", "mean"), "needs STREAM, perhaps a layer, perhaps a reader"), (3, "site: got 3; needs the name"),
        ((), r"site: got \(\); needs the name"), (("mlp_out", 1, 2), "perhaps a layer"), (None, "site: got None"),
    ):  # fmt: skip
        with refuses(message):
            out[key]


def test_rollouts_have_the_same_axes_after_arms_and_trials(model, dictionary, refuses):
    taps = [cw.Tap("resid_post"), cw.Tap("resid_post", "top_k", width=3)]
    gen = cw.generate(
        model, PROMPTS[:2], arms=[[], [SET]], taps=taps, dictionary=dictionary, max_new_tokens=2, trials=3, rows=8
    )
    assert len(gen) == 2
    assert [len(texts) for texts in gen[0].texts] == [3, 3]
    whole = gen["resid_post", "raw"]
    assert [values.shape for values in whole] == [(2, 3, 3, 2, 16)] * 2
    assert gen[0]["resid_post", 2, "top_k"].shape == (2, 3, 2, 3)
    once = cw.run(model, PROMPTS[:2], arms=[[], [SET]], taps=taps, dictionary=dictionary)
    for values, one, generation in zip(whole, once["resid_post", "raw"], gen, strict=True):
        np.testing.assert_array_equal(values[:, :, 1], generation["resid_post", 1, "raw"])
        np.testing.assert_array_equal(values[1, 2, 0], generation.generation.records[0].values[5, :, 0])
        # Step 0 is the prompt's last token, whatever the trial.
        for trial in range(3):
            np.testing.assert_allclose(values[:, trial, :, 0], one[:, :, -1], atol=2e-5)
    with refuses("nothing was tapped there"):
        gen["mlp_out"]
    assert "2 prompts" in repr(gen)


def test_many_prompts_take_one_program_a_width(model, compilations):
    prompts = [list(range(3, 3 + length)) for length in (9, 9, 10, 12, 16, 11, 13, 14, 15, 16, 9, 10)]
    cw.run(model, prompts[:1])
    with compilations() as names:
        cw.run(model, prompts)
    assert not names

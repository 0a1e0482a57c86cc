"""Lens, direct attribution and patching, held against the plain decoder."""

import numpy as np
import pytest

import causeway as cw

pytestmark = pytest.mark.usefixtures("double")
CLEAN, CORRUPTED = [7, 31, 2, 19, 0, 38], [7, 12, 2, 19, 3, 38]
TARGET = cw.logit_difference(5, 11)


def streams_of(plain, model, tokens):
    found = {}

    def hook(stream, layer, x):
        found[stream, layer] = x
        return x

    return found, plain.logits(model.transformer, tokens, hook)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_lens_reads_every_layer_with_the_final_norm(family, tiny, cases, plain, refuses):
    model = cases.make_model(tiny, family)
    found, logits = streams_of(plain, model, CLEAN)
    lens, t, config = cw.logit_lens(model, CLEAN, width=4), model.transformer, model.config
    for layer in range(3):
        x = plain.stretch(plain.centre(found["resid_post", layer], t.final_norm, config), t.final_norm, config, None)
        expected = x @ np.asarray(t.embedding[...]).T
        np.testing.assert_allclose(model.unembed(found["resid_post", layer]), expected, rtol=1e-9, atol=1e-9)
        log_p = expected - np.log(np.exp(expected).sum(-1, keepdims=True))
        order = np.argsort(-log_p, axis=-1)[:, :4]
        np.testing.assert_array_equal(lens.ids[layer], order)
        np.testing.assert_allclose(lens.log_probabilities[layer], np.take_along_axis(log_p, order, -1), rtol=1e-9)
    assert lens.ids[-1, -1, 0] == logits[-1].argmax()
    assert lens.texts[2][5][0] == str(lens.ids[2, 5, 0])
    assert "LogitLens(3 layers, 6 tokens, 4 each" in repr(lens)
    for stream in ("mlp_out", "resid_post.1"):
        with refuses(f"stream: got '{stream}'; needs resid_pre, resid_mid, resid_post"):
            cw.logit_lens(model, CLEAN, stream=stream)
    with refuses(r"resid: got shape \(3,\); needs vectors of 16 coordinates"):
        model.unembed(np.zeros(3))


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2", "gpt_neox", "gemma2"])
def test_parts_sum_to_the_logit_difference(family, tiny, cases, plain):
    model = cases.make_model(tiny, family, **{"logit_softcap": 0.0} if family == "gemma2" else {})
    found, logits = streams_of(plain, model, CLEAN)
    parts = cw.direct_logit_attribution(model, CLEAN, TARGET, position=-2)
    assert parts.total == pytest.approx(logits[4, 5] - logits[4, 11], rel=1e-9)
    whole = parts.embedding + parts.heads.sum() + parts.attention_bias.sum() + parts.mlp.sum() + parts.norm_bias
    assert whole == pytest.approx(parts.total, rel=1e-9)
    np.testing.assert_allclose(parts.attention, parts.heads.sum(1) + parts.attention_bias)
    if model.config.post_norms or not model.config.attention_bias:
        np.testing.assert_allclose(parts.attention_bias, 0, atol=1e-12)
    if not model.config.mlp_bias:
        np.testing.assert_allclose(parts.neurons.sum(1), parts.mlp, rtol=1e-7, atol=1e-10)
    if family != "gpt2":
        return
    # A head's part: what it writes, through the final norm as it is.
    x, norm = found["resid_post", 2][4], model.transformer.final_norm
    vector = np.asarray(model.transformer.embedding[...])[5] - np.asarray(model.transformer.embedding[...])[11]
    sigma = np.sqrt(((x - x.mean()) ** 2).mean() + model.config.norm_eps)
    read = vector * np.asarray(norm.gain[...])
    read = (read - read.mean()) / sigma
    written = np.einsum("hk,hkd->hd", found["head_out", 1][4], np.asarray(model.transformer.blocks.attention.output[1]))
    np.testing.assert_allclose(parts.heads[1], written @ read, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["resid_post", "attn_out"])
def test_patching_is_a_loop_of_passes_with_one_place_replaced(stream, tiny, cases, plain, refuses, tmp_path):
    model = cases.make_model(tiny, "gpt2")
    found, _ = streams_of(plain, model, CLEAN)
    table = cw.activation_patching(model, CLEAN, CORRUPTED, TARGET, stream=stream, layers=[0, -1])
    assert (table.layers, table.positions) == ((0, 2), (0, 1, 2, 3, 4, 5))
    for i, layer in enumerate(table.layers):
        for position in table.positions:

            def hook(name, at, x, layer=layer, position=position):
                if (name, at) == (stream, layer):
                    x = x.copy()
                    x[position] = found[stream, layer][position]
                return x

            logits = plain.logits(model.transformer, CORRUPTED, hook)[-1]
            assert table.values[i, position] == pytest.approx(logits[5] - logits[11], rel=1e-6)
    if stream == "resid_post":  # the last stream at the last token is the answer
        assert table.recovered[1, 5] == pytest.approx(1)
        np.testing.assert_allclose(table.recovered[1, :5], 0, atol=1e-6)
        path = cw.save_heat_map(table, tmp_path / "maps" / "resid.png")
        assert path.read_bytes()[:4] == b"\x89PNG"
    assert "PatchingTable(" in repr(table)
    for changed, message in (
        ({"corrupted": CORRUPTED[1:]}, "clean, corrupted: 6 and 5 tokens; needs prompts of as many"),
        ({"corrupted": CLEAN}, "clean, corrupted: both have the target"), ({"layers": [3]}, "layers: got 3"),
        ({"positions": [0, 0]}, "positions: got .*each once"),
        ({"stream": "mlp_act"}, "stream: got 'mlp_act'"),
    ):  # fmt: skip
        with refuses(message):
            cw.activation_patching(model, **{"clean": CLEAN, "corrupted": CORRUPTED, "target": TARGET} | changed)
    for path in ("map.txt", 3):
        with refuses("path: got"):
            cw.save_heat_map(table, path)


def test_heads_are_patched_one_by_one(tiny, cases, plain, tmp_path):
    model = cases.make_model(tiny, "llama")
    found, _ = streams_of(plain, model, CLEAN)
    table = cw.activation_patching(model, CLEAN, CORRUPTED, TARGET, stream="head_out", layers=[1], positions=[1, 5])
    assert table.values.shape == (1, 2, 4)
    for i, position in enumerate((1, 5)):
        for head in range(4):

            def hook(name, at, x, position=position, head=head):
                if (name, at) == ("head_out", 1):
                    x = x.copy()
                    x[position, head] = found["head_out", 1][position, head]
                return x

            logits = plain.logits(model.transformer, CORRUPTED, hook)[-1]
            assert table.values[0, i, head] == pytest.approx(logits[5] - logits[11], rel=1e-5)
    assert ", head " in repr(table)
    assert cw.save_heat_map(table, tmp_path / "heads.svg").exists()

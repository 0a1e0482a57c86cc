"""Gradients at streams: finite differences of the plain decoder, the frozen pass's linearity, torch's own gradients."""

import jax.numpy as jnp
import numpy as np
import pytest

import causeway as cw
from causeway.engine.analyses.attribute.targets import unembedding_vector

pytestmark = pytest.mark.usefixtures("double")
PROMPT = [7, 31, 2, 19, 0, 38]
TARGET = cw.logit_difference(5, 11)
STREAMS = ("resid_pre", "attn_in", "head_out", "attn_out", "mlp_in", "mlp_act", "mlp_out", "resid_post", "final_norm")
STEP = 1e-5


def difference(logits):
    return logits[-1, 5] - logits[-1, 11]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "gemma2"])
def test_full_gradients_are_finite_differences_of_the_plain_decoder(family, tiny, cases, plain):
    model, rng = cases.make_model(tiny, family), np.random.default_rng(0)
    found = cw.pullback(model, PROMPT, TARGET, sites=STREAMS, frozen=False)
    assert found.value == pytest.approx(difference(plain.logits(model.transformer, PROMPT)), rel=1e-9)
    for stream in STREAMS:
        layer = 3 if stream == "final_norm" else 1
        gradient = found[stream] if stream == "final_norm" else found[stream, 1]
        way = rng.standard_normal(gradient.shape)

        def along(step, stream=stream, layer=layer, way=way):
            def hook(name, at, x):
                return x + step * way if (name, at) == (stream, layer) else x

            return difference(plain.logits(model.transformer, PROMPT, hook))

        measured = (along(STEP) - along(-STEP)) / (2 * STEP)
        assert np.vdot(gradient, way) == pytest.approx(measured, rel=1e-6, abs=1e-8), stream


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2"])
def test_the_frozen_pass_is_linear_in_the_embedding_and_in_what_mlps_write(family, tiny, cases):
    """Without biases the number is the sum of its gradients times what they belong to."""
    model = cases.make_model(tiny, family)
    found = cw.pullback(model, PROMPT, TARGET, sites=["resid_pre.0", "mlp_out"])
    streams = cw.run(model, PROMPT, taps=["resid_pre.0", "mlp_out", "final_norm"])
    parts = [np.vdot(found[name], streams[name][0]) for name in ("resid_pre.0", "mlp_out")]
    assert sum(parts) == pytest.approx(found.value, rel=1e-9)
    vector = unembedding_vector(model, TARGET)
    assert streams["final_norm"][0][-1] @ vector == pytest.approx(found.value, rel=1e-9)


@pytest.mark.slow
def test_the_frozen_gradient_makes_the_edges_of_a_graph(tiny, cases):
    model, transcoders = cases.make_model(tiny), cases.make_dictionary(tiny, "relu")
    graph = cw.attribute(model, PROMPT, transcoders, targets=[TARGET])
    with pytest.warns(FutureWarning, match=r"attribute: \(model, dictionary, prompt\) is the older order; write"):
        older = cw.attribute(model, transcoders, PROMPT, targets=[TARGET], max_logits=3, update_every=7)
    np.testing.assert_array_equal(older.edges.toarray(), graph.edges.toarray())
    tokens = graph.edges.toarray()[-1, -len(PROMPT) :]
    found = cw.pullback(model, PROMPT, TARGET, sites="resid_pre")
    embedding = np.asarray(model.transformer.embedding[...])[PROMPT]
    np.testing.assert_allclose((found["resid_pre", 0] * embedding).sum(-1), tokens, rtol=1e-9)


def test_a_cotangent_at_a_stream_is_its_own_gradient_there(tiny, cases, refuses):
    model, rng = cases.make_model(tiny), np.random.default_rng(1)
    vector = rng.standard_normal(16)
    for frozen in (True, False):
        found = cw.pullback(model, PROMPT, cw.Cotangent(1, -2, vector), sites="resid_post", frozen=frozen)
        expected = np.zeros((6, 16))
        expected[4] = vector
        np.testing.assert_allclose(found["resid_post", 1], expected, atol=1e-12)
        assert not found["resid_post", 2].any()
        assert np.abs(found["resid_post", 0]).max() > 0
    stream = cw.run(model, PROMPT, taps="resid_post.1")["resid_post", 1][0]
    assert found.value == pytest.approx(stream[4] @ vector)
    assert "PullbackResult(6 tokens; value" in repr(found)
    for target, message in (
        (cw.Cotangent(3, 0, vector), "Cotangent.layer: got 3"),
        (cw.Cotangent(0, 6, vector), "Cotangent.position: got 6"),
        (cw.Cotangent(0, 0, vector[:3]), r"Cotangent.vector: got shape \(3,\); resid_post needs \(16,\)"),
        (cw.Cotangent(0, 0, vector, "attn_pattern"), "attn_pattern has no vector"),
        (40, "targets: token 40 is outside"),
        (None, "targets: got None"), (cw.Target("x", {40: 1.0}), "targets: token 40 of 'x' is outside"),
    ):  # fmt: skip
        with refuses(message):
            cw.pullback(model, PROMPT, target)
    with refuses("sites: mlp_act is inside MLPs"):
        cw.pullback(model, PROMPT, TARGET, sites="mlp_act")
    with refuses("sites: resid_post read by project"):
        cw.pullback(model, PROMPT, TARGET, sites=cw.Tap("resid_post", "project", vectors=jnp.ones((1, 16))))
    with refuses("frozen: got 'yes'"):
        cw.pullback(model, PROMPT, TARGET, frozen="yes")


@pytest.mark.slow
def test_full_gradients_are_torchs(tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=48, n_layer=3, n_positions=64, n_embd=16, n_head=4)
    other = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    other.save_pretrained(tmp_path)
    other = other.double()
    hidden = []

    def keep(_, inputs):
        (inputs[0] if inputs else None).retain_grad()
        hidden.append(inputs[0])

    for block in other.transformer.h:
        block.register_forward_pre_hook(keep)
    logits = other(torch.tensor([PROMPT])).logits[0, -1]
    (logits[5] - logits[11]).backward()
    model = cw.load_model(str(tmp_path), storage="float64", compute="float64", accumulate="float64")
    found = cw.pullback(model, PROMPT, TARGET, sites="resid_pre", frozen=False)
    for layer, x in enumerate(hidden):
        np.testing.assert_allclose(found["resid_pre", layer], x.grad[0].numpy(), rtol=1e-6, atol=1e-9)

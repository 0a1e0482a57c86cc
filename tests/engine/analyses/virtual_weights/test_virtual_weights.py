"""Virtual weights against the dense matrix, and their weighted means against exact direct edges."""

import numpy as np
import pytest

from causeway.engine.analyses.attribute.heads import EdgeSplitter
from causeway.engine.analyses.virtual_weights.virtual_weights import coactivation, virtual_weights

PROMPTS = [[7, 31, 2, 19, 19, 0, 38], [3, 3, 9, 30]]

pytestmark = pytest.mark.usefixtures("double")


def dense(model, dictionary, source, target) -> np.ndarray:
    """[F, F] in plain numpy, targets by sources."""
    config, place = dictionary.config, dictionary.config.layers.index
    encoder = np.asarray(dictionary.W_enc[...])[place(target)].T
    if hasattr(dictionary, "log_scale"):
        encoder = encoder * np.exp(np.asarray(dictionary.log_scale[...])[place(target)])[:, None]
    norm = model.transformer.blocks.mlp_norm
    if config.stream == "mlp_in":
        encoder = encoder * (np.asarray(norm.gain[...])[target] + getattr(norm, "offset", 0))
    if config.stream in ("mlp_in", "mlp_norm") and not hasattr(norm, "offset"):
        encoder = encoder - encoder.mean(axis=1, keepdims=True)
    if isinstance(dictionary.W_dec, list) or not hasattr(dictionary.W_dec, "shape"):
        writes = np.asarray(dictionary.W_dec[source][...])[:, : target - source].sum(axis=1)
    else:
        writes = np.asarray(dictionary.W_dec[...])[place(source)]
    return encoder @ writes.T


def assert_top(found, matrix, k):
    order = np.argsort(-abs(matrix), axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(matrix, order, axis=1)
    np.testing.assert_allclose(found.weight, best, atol=1e-12)
    np.testing.assert_array_equal(found.source, np.where(abs(best) > 0, order, -1))


@pytest.mark.parametrize(
    ("family", "kind"),
    [("llama", "relu"), ("gpt2", "jumprelu"), ("gpt2", "relu"), ("gemma2", "gated"), ("llama", "topk"),
     ("llama", "cross_layer"), ("llama", "skip_shuffled"), ("llama", "sae")],
)  # fmt: skip
def test_blocked_is_dense(tiny, cases, family, kind):
    model, dictionary = cases.make_model(tiny, family), cases.make_dictionary(tiny, kind)
    matrix = dense(model, dictionary, 0, 2)
    for block in (5, 24, 100):
        assert_top(virtual_weights(model.transformer, dictionary, 0, 2, top_k=6, block=block), matrix, 6)


@pytest.mark.parametrize("weighting", ["era", "twera"])
def test_weighted_by_coactivation(tiny, cases, weighting):
    model, dictionary = cases.make_model(tiny, "gpt2"), cases.make_dictionary(tiny, "relu")
    together = coactivation(model, dictionary, PROMPTS, 0, 2)
    assert together.source.shape == (9, 24)
    source, target = together.source.toarray(), together.target.toarray()
    factors = (target > 0).T @ source / 9 if weighting == "era" else target.T @ source / 9
    if weighting == "twera":
        factors = np.divide(factors, target.mean(axis=0)[:, None], where=target.any(axis=0)[:, None], out=0 * factors)
    found = virtual_weights(
        model.transformer, dictionary, 0, 2, top_k=24, weighting=weighting, together=together, block=7
    )
    assert_top(found, dense(model, dictionary, 0, 2) * factors, 24)


def test_era_is_the_mean_direct_edge(tiny, cases):
    model, dictionary = cases.make_model(tiny), cases.make_dictionary(tiny, "relu")
    together = coactivation(model, dictionary, PROMPTS[:1], 0, 2)
    found = virtual_weights(model.transformer, dictionary, 0, 2, top_k=3, weighting="era", together=together)
    target = int(np.argmax(abs(found.weight[:, 0])))
    source = int(found.source[target, 0])
    splitter = EdgeSplitter(model, dictionary, PROMPTS[0])
    nodes = {tuple(node) for node in splitter.active.nodes.tolist()}
    pairs = [((2, p, target), (0, p, source)) for p in range(1, 7)]
    direct = [splitter.split(t, s).direct for t, s in pairs if {t, s} <= nodes]
    assert found.weight[target, 0] == pytest.approx(sum(direct) / 6, abs=1e-12)


def test_what_has_no_weights_is_refused(tiny, cases, refuses):
    model, dictionary = cases.make_model(tiny), cases.make_dictionary(tiny, "relu")
    for source, target, changes, message in (
        (2, 0, {}, "source_layer: 2 is not below"), (1, 1, {}, "source_layer: 1 is not below"),
        (0, 3, {}, "target_layer: got 3"), (0.5, 1, {}, "source_layer: got 0.5"),
        (0, 1, {"top_k": 25}, "top_k: got 25; needs 1 to 24"),
        (0, 1, {"top_k": 0}, "top_k: got 0"), (0, 1, {"weighting": "era"}, "together: got none"),
        (0, 1, {"weighting": "mean"}, "needs raw, era or twera"),
    ):  # fmt: skip
        with refuses(message):
            virtual_weights(model.transformer, dictionary, source, target, **{"top_k": 3} | changes)
    with refuses("SAEs of attn_in"):
        virtual_weights(model.transformer, tiny.make_dictionary(layers=(0, 1, 2), stream="attn_in"), 0, 1, top_k=3)
    counted, same = (virtual_weights(model.transformer, dictionary, 0, target, top_k=3) for target in (-1, 2))
    np.testing.assert_array_equal(counted.source, same.source)
    with refuses("prompts: none"):
        coactivation(model, dictionary, [], 0, 1)

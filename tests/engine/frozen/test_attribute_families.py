"""Attribution against a frozen pass in plain numpy: every family of models, every kind of dictionary.

Always each family once, and transcoders with skip connections, cross-layer ones, and SAEs cut or read along; the rest
of the grid is slow.
"""

import itertools

import numpy as np
import pytest

from causeway.engine.analyses.attribute.attribute import attribute
from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
from causeway.engine.analyses.attribute.targets import logit_difference

FAMILIES = ("llama", "qwen3", "gpt2", "gpt_neox", "gemma2", "gemma3", "olmo2", "bare")
KINDS = (
    "relu", "jumprelu", "topk", "topk_signed", "gated", "skip_mlp_in", "skip_mlp_norm", "skip_resid_mid",
    "skip_shuffled", "cross_layer", "cross_layer_skip", "sae", "sae_cut", "sae_cut_some",
)  # fmt: skip
FAST = {
    ("llama", "skip_shuffled"), ("llama", "sae"), ("qwen3", "skip_resid_mid"), ("gpt2", "cross_layer_skip"),
    ("gpt_neox", "skip_mlp_in"), ("gemma2", "sae_cut"), ("olmo2", "jumprelu"), ("bare", "relu"),
}  # fmt: skip
# Parallel blocks have no resid_mid.
GRID = [
    pytest.param(family, kind, marks=() if (family, kind) in FAST else pytest.mark.slow)
    for family, kind in itertools.product(FAMILIES, KINDS)
    if not (family == "gpt_neox" and kind in ("topk", "skip_resid_mid"))
]
TARGETS = (5, 9, logit_difference(5, 9))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("family", "kind"), GRID)
def test_doubling_any_source_moves_every_target_by_its_edge(tiny, plain, plain_frozen, cases, family, kind):
    _hold_to_plain(
        plain, plain_frozen, cases.PROMPT, cases.make_model(tiny, family), cases.make_dictionary(tiny, kind), kind
    )


@pytest.mark.usefixtures("double")
def test_a_norm_after_attention_may_centre(tiny, plain, plain_frozen, cases):
    model, dictionary = cases.make_model(tiny, "gemma2", norm="layer"), cases.make_dictionary(tiny, "skip_mlp_in")
    _hold_to_plain(plain, plain_frozen, cases.PROMPT, model, dictionary, "skip_mlp_in")


def _hold_to_plain(plain, plain_frozen, prompt, model, dictionary, kind):
    cut = kind.startswith("sae_cut")
    frozen = plain_frozen.FrozenPass(plain, model.transformer, dictionary, prompt, cut=cut)
    plan = AttributionPlan(max_feature_nodes=None, cut=cut)
    graph = attribute(model, dictionary, prompt, targets=TARGETS, plan=plan)
    n = len(frozen.nodes)
    np.testing.assert_array_equal(graph.features, frozen.nodes)
    np.testing.assert_allclose(graph.activations, frozen.f[tuple(frozen.nodes.T)], atol=1e-12)

    moved = frozen.doubled()
    edges = graph.edges.toarray()
    np.testing.assert_allclose(edges[:n], moved[:n], atol=1e-9)
    np.testing.assert_allclose(edges[n : n + 2], moved[[n + 5, n + 9]], atol=1e-9)
    np.testing.assert_allclose(edges[n + 2], moved[n + 5] - moved[n + 9], atol=1e-9)
    assert np.abs(edges).max() > 0.1
    _rows_add_up(frozen, edges, kind)
    _second_differences_vanish(frozen)


def _rows_add_up(frozen, edges, kind):
    """Row sums and what is left without any source are the pre-activations of the model itself."""
    n = len(frozen.nodes)
    whole, none = (frozen.rows(frozen.run(dial, dial, dial)) for dial in (1.0, 0.0))
    if kind == "sae":
        # Features that are read along write nothing of their own.
        edges, none = edges[:, n:], frozen.rows(frozen.run(1.0, 0.0, 0.0))
    total = edges.sum(axis=1)
    np.testing.assert_allclose(total[:n] + none[:n], whole[:n], atol=1e-9)
    np.testing.assert_allclose(total[n : n + 2] + none[[n + 5, n + 9]], whole[[n + 5, n + 9]], atol=1e-9)
    for layer in frozen.encoder.config.layers:
        at = np.flatnonzero(frozen.nodes[:, 0] == layer)
        p = frozen.encoder.before(layer, frozen.recorded[frozen.encoder.config.stream, layer])
        np.testing.assert_allclose(whole[at], p[tuple(frozen.nodes[at, 1:].T)], atol=1e-9)


def _second_differences_vanish(frozen):
    rng = np.random.default_rng(0)
    (a, b), (c, d), (e, f) = (rng.normal(size=(2, *shape)) for shape in (frozen.f.shape, frozen.errors.shape[:2], (7,)))
    runs = [frozen.rows(frozen.run(*dials)) for dials in ((a + b, c + d, e + f), (a, c, e), (b, d, f), (0.0, 0.0, 0.0))]
    np.testing.assert_allclose(runs[0] - runs[1] - runs[2] + runs[3], 0, atol=1e-9)

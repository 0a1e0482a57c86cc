"""Cross-layer transcoders against the sum that defines them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.dictionary.dictionary import DictionaryConfig

L, D, F, OUT = 3, 6, 10, 5


def draw(kind: str, skip: bool = False) -> dict:
    """Random arrays, float64."""
    rng = np.random.default_rng(0)
    arrays = {
        "W_enc": rng.normal(size=(L, D, F)), "b_enc": rng.normal(size=(L, F)), "b_dec": rng.normal(size=(L, OUT)),
        "W_dec": tuple(rng.normal(size=(F, L - layer, OUT)) for layer in range(L)),
    }  # fmt: skip
    if kind == "jumprelu":
        arrays["threshold"] = rng.normal(size=(L, F))
    return arrays | ({"W_skip": rng.normal(size=(L, D, OUT))} if skip else {})


def make(kind: str, arrays: dict, **changes) -> CrossLayerTranscoder:
    config = DictionaryConfig(
        **{"kind": kind, "layers": tuple(range(L)), "stream": "resid_mid", "write_stream": "mlp_out"} | changes
    )
    return CrossLayerTranscoder(config, **jax.tree.map(jnp.asarray, arrays))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("kind", ["relu", "jumprelu", "topk_signed"])
def test_reconstruction_is_the_sum_over_the_layers_below(kind, skip):
    arrays = draw(kind, skip)
    x = np.random.default_rng(1).normal(size=(L, 4, 7, D))
    p = np.einsum("lbtd,ldf->lbtf", x, arrays["W_enc"]) + arrays["b_enc"][:, None, None]
    if kind == "topk_signed":
        f = np.where(p >= np.sort(p, axis=-1)[..., -3, None], p, 0)
    else:
        f = np.where(p > (arrays["threshold"][:, None, None] if kind == "jumprelu" else 0), p, 0)
    y = np.zeros((L, 4, 7, OUT))
    for m in range(L):
        y[m] = arrays["b_dec"][m] + (x[m] @ arrays["W_skip"][m] if skip else 0)
        for layer in range(m + 1):
            y[m] += f[layer] @ arrays["W_dec"][layer][:, m - layer]
    with jax.enable_x64(True):
        transcoder = make(kind, arrays, k=3 * (kind == "topk_signed"))
        np.testing.assert_allclose(transcoder.encode_all(jnp.asarray(x)), f, atol=1e-12)
        np.testing.assert_allclose(transcoder.encode(2, jnp.asarray(x[2])), f[2], atol=1e-12)
        np.testing.assert_allclose(transcoder.decode(jnp.asarray(f), jnp.asarray(x)), y, atol=1e-12)
        np.testing.assert_allclose(jax.jit(CrossLayerTranscoder.reconstruct)(transcoder, jnp.asarray(x)), y, atol=1e-12)
        assert (transcoder.num_layers, transcoder.num_features, transcoder.d_in, transcoder.d_out) == (L, F, D, OUT)


def test_what_cannot_be_is_refused(refuses):
    with refuses(r"layers \(1, 2, 3\)"):
        make("relu", draw("relu"), layers=(1, 2, 3))
    with refuses("without thresholds"):
        make("jumprelu", draw("relu"))
    with refuses("relu' with thresholds"):
        make("relu", draw("jumprelu"))
    with refuses("kind 'gated'"):
        make("gated", draw("relu"))
    with refuses(r"write to \[3, 3, 3\] layers"):
        make("relu", draw("relu") | {"W_dec": (np.zeros((F, L, OUT)),) * L})
    with refuses("x is missing"):
        make("relu", draw("relu", skip=True)).decode(jnp.zeros((L, 2, F)))

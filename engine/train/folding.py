"""Trained parameters as dictionaries that read and write the streams themselves.

With standardised input s (x - m), target s_o (y - m_o), and features f = s_o f' (f' in units of the stream written):

    W_enc' = W_enc s / s_o                      b_enc' = (b_enc - s m W_enc) / s_o       thresholds over s_o
    W_skip' = W_skip s / s_o                    b_dec' = (b_dec - s m W_skip) / s_o + m_o

so decoder rows keep norm 1. Where layers are crossed, features of layer l are in units of what layer l writes, and
their block for layer n becomes W_dec s_o_l / s_o_n. Sums are taken in float64 on the host.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from causeway.engine.dictionary.activations import Kind
from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig
from causeway.engine.train.design import Design
from causeway.engine.train.recipe import Recipe
from causeway.engine.train.state import DictionaryState, Parameters


def fold(recipe: Recipe, state: DictionaryState, design: Design) -> Dictionary | CrossLayerTranscoder:
    """The trained stack, or the transcoder that crosses layers, float32."""
    parameters = jax.tree.map(lambda a: np.asarray(a, np.float64), state.parameters)
    shift, scale = np.asarray(state.shift, np.float64), np.asarray(state.scale, np.float64)[:, None]
    out_shift, out_scale = shift, scale
    if state.target_shift is not None:
        out_shift, out_scale = np.asarray(state.target_shift, np.float64), np.asarray(state.target_scale)[:, None]
    arrays = _arrays(parameters, shift, scale, out_shift, out_scale.astype(np.float64))
    if recipe.kind == "jumprelu":
        arrays["threshold"] = np.exp(parameters.log_threshold) / out_scale
    if recipe.kind == "batchtopk":
        level = np.asarray(state.threshold, np.float64)[:, None] / out_scale
        arrays["threshold"] = np.broadcast_to(level, parameters.b_enc.shape)
    kind: Kind = "topk" if recipe.kind == "topk" else "jumprelu"
    k = int(recipe.active) if kind == "topk" else 0
    config = DictionaryConfig(kind, design.layers, design.stream, k=k, write_stream=design.write_stream)
    stored = {name: jnp.asarray(array, jnp.float32) for name, array in arrays.items()}
    if not design.cross_layer:
        return Dictionary(config, W_dec=jnp.asarray(parameters.W_dec, jnp.float32), **stored)
    return CrossLayerTranscoder(config, W_dec=_crossing(parameters, out_scale), **stored)


def _arrays(
    parameters: Parameters,
    shift: Float[np.ndarray, "P D"],
    scale: Float[np.ndarray, "P 1"],
    out_shift: Float[np.ndarray, "P O"],
    out_scale: Float[np.ndarray, "P 1"],
) -> dict[str, np.ndarray]:
    """All but decoders and thresholds."""
    ratio = scale / out_scale
    arrays = {
        "W_enc": parameters.W_enc * ratio[..., None],
        "b_enc": parameters.b_enc / out_scale - ratio * np.einsum("pd,pdf->pf", shift, parameters.W_enc),
        "b_dec": parameters.b_dec / out_scale + out_shift,
    }
    if parameters.W_skip is not None:
        arrays["W_skip"] = parameters.W_skip * ratio[..., None]
        arrays["b_dec"] -= ratio * np.einsum("pd,pdo->po", shift, parameters.W_skip)
    return arrays


def _crossing(parameters: Parameters, out_scale: Float[np.ndarray, "P 1"]) -> tuple[jax.Array, ...]:
    """Decoders [F, P - l, O]."""
    blocks = []
    for layer, rows in enumerate(parameters.W_dec):
        apart = rows.reshape(len(rows), len(out_scale) - layer, -1)
        blocks.append(jnp.asarray(apart * (out_scale[layer] / out_scale[layer:]), jnp.float32))
    return tuple(blocks)

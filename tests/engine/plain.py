"""The decoder as slow, obvious numpy in float64: one sequence, one head, one position at a time.

`hook(stream, layer, value)` is called at every stream and returns the value to go on with.
"""

from collections.abc import Callable

import numpy as np
import scipy.stats

Hook = Callable[[str, int, np.ndarray], np.ndarray]


def frequencies(config, layer: int = 0) -> np.ndarray:
    """Radians per position of each pair of coordinates; the llama3 stretch by wavelength, as published."""
    scaling, out = config.rope_scaling, []
    if config.local_rope_theta and config.windows[layer]:
        return config.local_rope_theta ** -(np.arange(0, config.rotary_width, 2) / config.rotary_width)
    for i in range(config.rotary_width // 2):
        frequency = 1.0 / config.rope_theta ** (2 * i / config.rotary_width)
        wavelength = 2 * np.pi / frequency
        if scaling.kind == "linear":
            frequency /= scaling.factor
        if scaling.kind == "llama3":
            context, low, high = scaling.original_max_position, scaling.low_freq_factor, scaling.high_freq_factor
            if wavelength > context / low:
                frequency /= scaling.factor
            elif wavelength >= context / high:
                smooth = (context / wavelength - low) / (high - low)
                frequency = (1 - smooth) * frequency / scaling.factor + smooth * frequency
        out.append(frequency)
    return np.array(out)


def rotate(vector: np.ndarray, position: int, config, layer: int = 0) -> np.ndarray:
    """Turn one head's vector [K]: coordinates i and i + W/2 of the first W are a complex number."""
    half = config.rotary_width // 2
    turned = (vector[:half] + 1j * vector[half : 2 * half]) * np.exp(1j * position * frequencies(config, layer))
    return np.concatenate([turned.real, turned.imag, vector[2 * half :]])


def softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, scale: float = 0.0, cap: float = 0.0, window: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Head outputs [T, H, K] and patterns [H, T, T] of rotated q [T, H, K], k and v [T, G, K]."""
    length, heads, width = q.shape
    z, pattern = np.zeros(q.shape), np.zeros((heads, length, length))
    for h in range(heads):
        g = h // (heads // k.shape[1])
        for t in range(length):
            first = max(0, t + 1 - window) if window else 0
            scores = np.array([q[t, h] @ k[s, g] for s in range(first, t + 1)]) * (scale or 1 / np.sqrt(width))
            weights = softmax(cap * np.tanh(scores / cap) if cap else scores)
            pattern[h, t, first : t + 1] = weights
            z[t, h] = sum(weights[s - first] * v[s, g] for s in range(first, t + 1))
    return z, pattern


def _array(param) -> np.ndarray:
    return np.asarray(param[...], np.float64)


def _biased(product: np.ndarray, module, name: str, layer: int) -> np.ndarray:
    return product + _array(getattr(module, name))[layer] if hasattr(module, name) else product


def activation(name: str, x: np.ndarray) -> np.ndarray:
    if name == "silu":
        return x / (1 + np.exp(-x))
    if name == "gelu":
        return x * scipy.stats.norm.cdf(x)
    if name == "gelu_tanh":
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return np.maximum(x, 0)


def centre(x: np.ndarray, norm, config) -> np.ndarray:
    """A norm before its gain; one without a gain is no norm."""
    if not hasattr(norm, "gain"):
        return x
    if config.norm == "layer":
        x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + config.norm_eps)


def stretch(normalised: np.ndarray, norm, config, layer: int | None) -> np.ndarray:
    """A norm's gain and bias."""
    if not hasattr(norm, "gain"):
        return normalised
    gain = _array(norm.gain) if layer is None else _array(norm.gain)[layer]
    out = normalised * (gain + (config.norm == "rms_offset"))
    return out + (_array(norm.bias) if layer is None else _array(norm.bias)[layer]) if config.norm == "layer" else out


def embed(transformer, tokens) -> np.ndarray:
    x = _array(transformer.embedding)[np.asarray(tokens)] * transformer.config.embedding_scale
    return x + _array(transformer.position_embedding)[: len(x)] if transformer.config.positions == "learned" else x


def _query_key_norm(x: np.ndarray, norm, config, layer: int) -> np.ndarray:
    """Queries or keys [T, H, K] over their root mean square, each head's or that of all together."""
    axes = (1, 2) if config.qk_norm_joint else (2,)
    normalised = x / np.sqrt((x * x).mean(axes, keepdims=True) + config.norm_eps)
    gain = _array(norm.gain)[layer] + (config.norm == "rms_offset")
    return normalised * (gain.reshape(x.shape[1:]) if config.qk_norm_joint else gain)


def attention_write(transformer, i: int, x: np.ndarray, hook: Hook) -> np.ndarray:
    """What the attention of block i adds to its input x [T, D]."""
    config, blocks = transformer.config, transformer.blocks
    attend = blocks.attention
    y = hook("attn_in", i, stretch(centre(x, blocks.attn_norm, config), blocks.attn_norm, config, i))
    q, k, v = (
        _biased(np.einsum("td,dhk->thk", y, _array(getattr(attend, name))[i]), attend, f"{name}_bias", i)
        for name in ("query", "key", "value")
    )
    if config.qk_norm:
        q, k = (_query_key_norm(a, norm, config, i) for a, norm in ((q, attend.query_norm), (k, attend.key_norm)))
    q, k, v = (hook(name, i, a) for name, a in (("query", q), ("key", k), ("value", v)))
    if config.positions == "rotary":
        q, k = (np.array([[rotate(head, t, config, i) for head in a[t]] for t in range(len(a))]) for a in (q, k))
    window = config.windows[i] if config.windows else 0
    pattern = hook("attn_pattern", i, attention(q, k, v, config.query_scale, config.attention_softcap, window)[1])
    z = np.stack([pattern[h] @ v[:, h // (q.shape[1] // v.shape[1])] for h in range(q.shape[1])], axis=1)
    z = hook("head_out", i, z)
    out = _biased(np.einsum("thk,hkd->td", z, _array(attend.output)[i]), attend, "output_bias", i)
    if config.post_norms:
        out = stretch(centre(hook("attn_raw", i, out), blocks.attn_post_norm, config), blocks.attn_post_norm, config, i)
    return hook("attn_out", i, out)


def mlp_write(transformer, i: int, x: np.ndarray, hook: Hook) -> np.ndarray:
    """What the MLP of block i adds to its input x [T, D]."""
    config, blocks = transformer.config, transformer.blocks
    mlp = blocks.mlp
    y = hook("mlp_norm", i, centre(x, blocks.mlp_norm, config))
    y = hook("mlp_in", i, stretch(y, blocks.mlp_norm, config, i))
    neurons = _biased(y @ _array(mlp.up)[i], mlp, "up_bias", i)
    if config.gated_mlp:
        gate = _biased(y @ _array(mlp.gate)[i], mlp, "gate_bias", i)
        neurons = activation(config.activation, gate) * neurons
    else:
        neurons = activation(config.activation, neurons)
    out = _biased(hook("mlp_act", i, neurons) @ _array(mlp.down)[i], mlp, "down_bias", i)
    if config.post_norms:
        out = stretch(centre(hook("mlp_raw", i, out), blocks.mlp_post_norm, config), blocks.mlp_post_norm, config, i)
    return hook("mlp_out", i, out)


def logits(transformer, tokens, hook: Hook = lambda stream, layer, value: value) -> np.ndarray:
    """Logits [T, V] of one sequence."""
    config = transformer.config
    x = hook("embed", 0, embed(transformer, tokens))
    for i in range(config.num_layers):
        x = hook("resid_pre", i, x)
        written = attention_write(transformer, i, x, hook)
        if config.parallel_blocks:
            x = x + written + mlp_write(transformer, i, x, hook)
        else:
            x = hook("resid_mid", i, x + written)
            x = x + mlp_write(transformer, i, x, hook)
        x = hook("resid_post", i, x)
    last = transformer.final_norm
    x = hook("final_norm", config.num_layers, stretch(centre(x, last, config), last, config, None))
    unembedding = _array(transformer.embedding).T if config.tied_embeddings else _array(transformer.unembedding)
    out, cap = x @ unembedding, config.logit_softcap
    return hook("logits", config.num_layers, cap * np.tanh(out / cap) if cap else out)


def feature(dictionary, index: int, f: int, x: np.ndarray) -> float:
    """One feature's value at one vector, for the elementwise kinds."""
    p = x @ _array(dictionary.W_enc)[index, :, f] + _array(dictionary.b_enc)[index, f]
    if dictionary.config.kind == "gated":
        log_scale, gate, bias = (_array(a)[index, f] for a in _gated(dictionary))
        return max(p * np.exp(log_scale) + bias, 0.0) if p + gate > 0 else 0.0
    threshold = _array(dictionary.threshold)[index, f] if dictionary.config.kind == "jumprelu" else 0.0
    return p if p > threshold else 0.0


def _gated(dictionary):
    return dictionary.log_scale, dictionary.gate_bias, dictionary.magnitude_bias


def delta_edit(edit, row: int, stream: str, dictionary) -> Hook:
    """The hook that applies one row's slots in delta form; all of them read the unedited stream."""

    def hook(name, layer, x):
        if name != stream:
            return x
        out = x.copy()
        for slot in range(edit.layer.shape[1]):
            start, stop, f = (getattr(edit, n)[row, slot] for n in ("start", "stop", "feature"))
            for t in range(start, min(stop, len(x)) if edit.layer[row, slot] == layer else start):
                index = dictionary.config.layers.index(layer)
                value = feature(dictionary, index, f, x[t])
                target = edit.scale[row, slot] * value + edit.shift[row, slot]
                out[t] += (target - value) * _array(dictionary.W_dec)[index, f]
        return out

    return hook

"""The decoder as slow, obvious numpy in float64: one sequence, one head, one position at a time.

`hook(stream, layer, value)` is called at every stream and returns the value to go on with.
"""

from collections.abc import Callable

import numpy as np

Hook = Callable[[str, int, np.ndarray], np.ndarray]


def frequencies(config) -> np.ndarray:
    """Radians per position of each pair of coordinates; the llama3 stretch by wavelength, as published."""
    scaling, out = config.rope_scaling, []
    for i in range(config.head_dim // 2):
        frequency = 1.0 / config.rope_theta ** (2 * i / config.head_dim)
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


def rotate(vector: np.ndarray, position: int, config) -> np.ndarray:
    """Turn one head's vector [K]: coordinates i and i + K/2 are a complex number."""
    half = len(vector) // 2
    turned = (vector[:half] + 1j * vector[half:]) * np.exp(1j * position * frequencies(config))
    return np.concatenate([turned.real, turned.imag])


def softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Head outputs [T, H, K] and patterns [H, T, T] of rotated q [T, H, K], k and v [T, G, K]."""
    length, heads, width = q.shape
    z, pattern = np.zeros(q.shape), np.zeros((heads, length, length))
    for h in range(heads):
        g = h // (heads // k.shape[1])
        for t in range(length):
            weights = softmax(np.array([q[t, h] @ k[s, g] for s in range(t + 1)]) / np.sqrt(width))
            pattern[h, t, : t + 1] = weights
            z[t, h] = sum(weights[s] * v[s, g] for s in range(t + 1))
    return z, pattern


def _array(param) -> np.ndarray:
    return np.asarray(param[...], np.float64)


def _biased(product: np.ndarray, module, name: str, layer: int) -> np.ndarray:
    return product + _array(getattr(module, name))[layer] if hasattr(module, name) else product


def logits(transformer, tokens, hook: Hook = lambda stream, layer, value: value) -> np.ndarray:
    """Logits [T, V] of one sequence."""
    config, blocks = transformer.config, transformer.blocks
    attend, mlp = blocks.attention, blocks.mlp

    def normalise(x):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + config.norm_eps)

    x = _array(transformer.embedding)[np.asarray(tokens)]
    for i in range(config.num_layers):
        x = hook("resid_pre", i, x)
        y = hook("attn_in", i, normalise(x) * _array(blocks.attn_norm.gain)[i])
        q, k, v = (
            _biased(np.einsum("td,dhk->thk", y, _array(getattr(attend, name))[i]), attend, f"{name}_bias", i)
            for name in ("query", "key", "value")
        )
        q, k = (np.array([[rotate(head, t, config) for head in a[t]] for t in range(len(a))]) for a in (q, k))
        z, pattern = attention(q, k, v)
        hook("attn_pattern", i, pattern)
        z = hook("head_out", i, z)
        out = _biased(np.einsum("thk,hkd->td", z, _array(attend.output)[i]), attend, "output_bias", i)
        x = hook("resid_mid", i, x + hook("attn_out", i, out))
        y = hook("mlp_norm", i, normalise(x))
        y = hook("mlp_in", i, y * _array(blocks.mlp_norm.gain)[i])
        gate, up = (_biased(y @ _array(getattr(mlp, n))[i], mlp, f"{n}_bias", i) for n in ("gate", "up"))
        neurons = hook("mlp_act", i, gate / (1 + np.exp(-gate)) * up)
        out = _biased(neurons @ _array(mlp.down)[i], mlp, "down_bias", i)
        x = hook("resid_post", i, x + hook("mlp_out", i, out))
    x = hook("final_norm", config.num_layers, normalise(x) * _array(transformer.final_norm.gain))
    unembedding = _array(transformer.embedding).T if config.tied_embeddings else _array(transformer.unembedding)
    return hook("logits", config.num_layers, x @ unembedding)


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

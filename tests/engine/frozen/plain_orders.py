"""Effects of neurons through attention as obvious numpy in float64: what they write, carried up hop by hop.

The plain decoder runs once. Each layer's attention, with its pattern and the denominators of its norms as they were, is
then a linear map of the stream of all tokens, written out as one dense matrix [T D, T D]; what has passed k of them is
kept apart from what has passed k + 1.
"""

import numpy as np


def array(param) -> np.ndarray:
    return np.asarray(param[...], np.float64)


class Recorded:
    """Streams, patterns and denominators of one prompt."""

    def __init__(self, plain, transformer, tokens):
        self.transformer, self.config, self.found = transformer, transformer.config, {}

        def hook(stream, layer, value):
            self.found[stream, layer] = value
            return value

        self.logits = plain.logits(transformer, tokens, hook)
        self.length = len(tokens)

    def centred(self, x: np.ndarray) -> np.ndarray:
        return x - x.mean(-1, keepdims=True) if self.config.norm == "layer" else x

    def denominator(self, x: np.ndarray, norm) -> np.ndarray:
        if not hasattr(norm, "gain"):
            return np.ones((*x.shape[:-1], 1))
        x = self.centred(x)
        return np.sqrt((x * x).mean(-1, keepdims=True) + self.config.norm_eps)

    def gain(self, norm, layer=None) -> np.ndarray:
        if not hasattr(norm, "gain"):
            return np.ones(self.config.d_model)
        own = array(norm.gain) if layer is None else array(norm.gain)[layer]
        return own + (self.config.norm == "rms_offset")

    def attended(self, layer: int, x: np.ndarray) -> np.ndarray:
        """What a layer's attention writes of a change x [T, D] of the stream before it, without constants."""
        blocks, config = self.transformer.blocks, self.config
        before = self.found["resid_pre", layer]
        norm = blocks.attn_norm
        y = (self.centred(x) if hasattr(norm, "gain") else x) / self.denominator(before, norm) * self.gain(norm, layer)
        v = np.einsum("td,dgk->tgk", y, array(blocks.attention.value)[layer])
        v = np.repeat(v, config.num_heads // config.num_kv_heads, axis=1)
        z = np.einsum("hts,shk->thk", self.found["attn_pattern", layer], v)
        return self.past_norm(np.einsum("thk,hkd->td", z, array(blocks.attention.output)[layer]), "attn", layer)

    def past_norm(self, written: np.ndarray, which: str, layer: int) -> np.ndarray:
        """What is added to the stream of what attention or MLP write."""
        if not self.config.post_norms:
            return written
        norm = getattr(self.transformer.blocks, f"{which}_post_norm")
        raw = self.found[f"{which}_raw", layer]
        return self.centred(written) / self.denominator(raw, norm) * self.gain(norm, layer)

    def read(self, x: np.ndarray, vector: np.ndarray) -> float:
        """The inner product of what x at the last token makes of the last norm's output with a vector."""
        last = self.found["resid_post", self.config.num_layers - 1]
        norm = self.transformer.final_norm
        y = (self.centred(x) if hasattr(norm, "gain") else x) / self.denominator(last, norm) * self.gain(norm)
        return float(y[-1] @ vector)

    def orders(self, layer: int, x: np.ndarray, orders: int, top: int | None = None) -> list[np.ndarray]:
        """What a change x [T, D] of the stream behind a block becomes at the top, by attentions passed."""
        passed = [x] + [np.zeros_like(x) for _ in range(orders)]
        for above in range(layer + 1, self.config.num_layers if top is None else top + 1):
            received = [self.attended(above, part) for part in passed[:-1]]
            passed = [passed[0]] + [a + b for a, b in zip(passed[1:], received, strict=True)]
        return passed

    def neuron(self, layer: int, neuron: int) -> np.ndarray:
        """What one neuron writes to the stream [T, D]."""
        written = array(self.transformer.blocks.mlp.down)[layer, neuron]
        return self.past_norm(self.found["mlp_act", layer][:, neuron, None] * written, "mlp", layer)

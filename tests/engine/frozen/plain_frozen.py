"""The frozen pass as obvious numpy in float64, with a dial on every source.

One prompt runs through the plain decoder once. Attention patterns and norm denominators then stay what they were, and
what an MLP writes is put together again:

    transcoders   features + b_dec + skip(its input) + error        (at ignored positions: a constant + skip)
    SAEs          what the MLP wrote, all of it the error node; with `cut`, the stream behind the block is replaced by
                  features + b_dec + what they leave over, and both rests belong to the error node;
                  ignored positions are not cut

so pre-activations and logits are affine in the dials. Dials are arrays that broadcast against features [L, T, F],
errors [L, T] and tokens [T] after any leading axes; 1 is the recorded pass.
"""

from typing import NamedTuple

import numpy as np


class Outcome(NamedTuple):
    """Pre-activations [..., L, T, F] (nan at layers without a dictionary); last logits less their mean [..., V]."""

    features: np.ndarray
    logits: np.ndarray


def _array(param) -> np.ndarray:
    return np.asarray(param[...], np.float64)


def _centred(x: np.ndarray, config) -> np.ndarray:
    return x - x.mean(-1, keepdims=True) if config.norm == "layer" else x


def _sigma(x: np.ndarray, norm, config) -> np.ndarray:
    if not hasattr(norm, "gain"):
        return np.ones((*x.shape[:-1], 1))
    x = _centred(x, config)
    return np.sqrt((x * x).mean(-1, keepdims=True) + config.norm_eps)


class Encoder:
    """One dictionary of any kind, as numpy: pre-activations, activations, what features of a layer write to another."""

    def __init__(self, dictionary):
        self.dictionary, self.config = dictionary, dictionary.config
        self.crosses = not hasattr(dictionary.W_dec, "shape")

    def place(self, layer: int) -> int:
        return self.config.layers.index(layer)

    def before(self, layer: int, x: np.ndarray) -> np.ndarray:
        """What the activation is linear in: W_enc x + b_enc, of gated features the magnitude."""
        i = self.place(layer)
        p = x @ _array(self.dictionary.W_enc)[i] + _array(self.dictionary.b_enc)[i]
        if self.config.kind == "gated":
            p = p * np.exp(_array(self.dictionary.log_scale)[i]) + _array(self.dictionary.magnitude_bias)[i]
        return p

    def values(self, layer: int, x: np.ndarray) -> np.ndarray:
        kind, i, p = self.config.kind, self.place(layer), self.before(layer, x)
        if kind == "jumprelu":
            return np.where(p > _array(self.dictionary.threshold)[i], p, 0)
        if kind == "gated":
            opened = x @ _array(self.dictionary.W_enc)[i] + _array(self.dictionary.gate_bias)[i] > 0
            return np.where(opened, np.maximum(p, 0), 0)
        if kind.startswith("topk"):
            p = np.where(p >= np.sort(p, axis=-1)[..., -self.config.k, None], p, 0)
        return p if kind == "topk_signed" else np.maximum(p, 0)

    def written(self, layer: int, f: np.ndarray) -> np.ndarray:
        """What the features [..., L, T, F] write to a layer."""
        if self.crosses:
            decoders = [_array(self.dictionary.W_dec[below])[:, layer - below] for below in range(layer + 1)]
            return sum(f[..., below, :, :] @ decoder for below, decoder in enumerate(decoders))
        return f[..., layer, :, :] @ _array(self.dictionary.W_dec)[self.place(layer)]

    def bias(self, layer: int) -> np.ndarray:
        return _array(self.dictionary.b_dec)[self.place(layer)]

    def skip(self, layer: int, x: np.ndarray) -> np.ndarray:
        if not hasattr(self.dictionary, "W_skip"):
            return np.zeros(x.shape)
        return x @ _array(self.dictionary.W_skip)[self.place(layer)]


class FrozenPass:
    """A prompt's recorded pass and its sources; `run` goes through it again with the dials elsewhere."""

    def __init__(self, plain, transformer, dictionary, tokens, first: int = 1, cut: bool = False):
        self.plain, self.transformer, self.config = plain, transformer, transformer.config
        self.encoder, self.cut = Encoder(dictionary), cut
        self.tokens, self.seen = np.asarray(tokens), (np.arange(len(tokens)) >= first)[:, None]
        self.recorded: dict[tuple[str, int], np.ndarray] = {}

        def keep(stream, layer, value):
            self.recorded[stream, layer] = value
            return value

        plain.logits(transformer, tokens, keep)
        self._freeze()
        self._find_sources()

    def _freeze(self) -> None:
        """The denominators of all norms."""
        config, top, blocks = self.config, self.config.num_layers - 1, self.transformer.blocks
        middle = "resid_pre" if config.parallel_blocks else "resid_mid"
        self.sigma = {("final", 0): _sigma(self.recorded["resid_post", top], self.transformer.final_norm, config)}
        for layer in range(config.num_layers):
            self.sigma["attn", layer] = _sigma(self.recorded["resid_pre", layer], blocks.attn_norm, config)
            self.sigma["mlp", layer] = _sigma(self.recorded[middle, layer], blocks.mlp_norm, config)
            written = self._heads_write(layer, self.recorded["head_out", layer])
            self.sigma["post", layer] = _sigma(written, getattr(blocks, "attn_post_norm", None), config)

    def _find_sources(self) -> None:
        config, encoder = self.config, self.encoder
        shape = (config.num_layers, len(self.tokens))
        self.f = np.zeros((*shape, _array(encoder.dictionary.b_enc).shape[-1]))
        self.errors, self.left = np.zeros((*shape, config.d_model)), np.zeros((*shape, config.d_model))
        for layer in encoder.config.layers:
            x = self.recorded[encoder.config.stream, layer]
            self.f[layer] = np.where(self.seen, encoder.values(layer, x), 0)
        for layer in range(config.num_layers):
            written = self.recorded["mlp_out", layer]
            if layer in encoder.config.layers:
                x, target = (self.recorded[s, layer] for s in (encoder.config.stream, encoder.config.output_stream))
                rest = target - encoder.written(layer, self.f) - encoder.bias(layer) - encoder.skip(layer, x)
                self.left[layer] = np.where(self.seen, rest, 0)
            self.errors[layer] = self.left[layer] if self._transcodes else np.where(self.seen, written, 0)
        self.nodes = np.argwhere(self.f)

    @property
    def _transcodes(self) -> bool:
        return self.encoder.config.output_stream == "mlp_out"

    def run(self, feature=1.0, error=1.0, token=1.0) -> Outcome:
        """Everything again, linear, with each source turned to its dial."""
        config, transformer = self.config, self.transformer
        f = np.asarray(feature) * self.f
        errors = np.broadcast_to(error, (*np.shape(error)[:-2], *self.errors.shape[:2]))[..., None]
        embedded = _array(transformer.embedding)[self.tokens] * config.embedding_scale
        # Position embeddings are no node: they stay.
        x = self.plain.embed(transformer, self.tokens) + (np.asarray(token)[..., None] - 1) * embedded
        found = []
        for layer in range(config.num_layers):
            middle = x + self._attention(layer, x)
            reads, written = self._mlp(layer, x if config.parallel_blocks else middle, f, errors)
            x = middle + written
            x, reads["resid_post"] = self._after(layer, x, f, errors), x
            found.append(self._before(layer, reads, x.shape[:-2]))
        x = _centred(x, config) / self.sigma["final", 0]
        x = self.plain.stretch(x, transformer.final_norm, config, None)[..., -1, :]
        tied = config.tied_embeddings
        logits = x @ (_array(transformer.embedding).T if tied else _array(transformer.unembedding))
        lead = np.broadcast_shapes(*(a.shape[:-2] for a in found))
        found = [np.broadcast_to(a, (*lead, *a.shape[-2:])) for a in found]
        return Outcome(np.stack(found, axis=-3), logits - logits.mean(-1, keepdims=True))

    def _attention(self, layer: int, x: np.ndarray) -> np.ndarray:
        config, blocks = self.config, self.transformer.blocks
        y = _centred(x, config) / self.sigma["attn", layer]
        y = self.plain.stretch(y, blocks.attn_norm, config, layer)
        v = np.einsum("...td,dgk->...tgk", y, _array(blocks.attention.value)[layer])
        if config.attention_bias:
            v = v + _array(blocks.attention.value_bias)[layer]
        v = np.repeat(v, config.num_heads // config.num_kv_heads, axis=-2)
        z = np.einsum("hts,...shk->...thk", self.recorded["attn_pattern", layer], v)
        out = self._heads_write(layer, z)
        if config.post_norms:
            out = _centred(out, config) / self.sigma["post", layer]
            out = self.plain.stretch(out, blocks.attn_post_norm, config, layer)
        return out

    def _heads_write(self, layer: int, z: np.ndarray) -> np.ndarray:
        attention = self.transformer.blocks.attention
        out = np.einsum("...thk,hkd->...td", z, _array(attention.output)[layer])
        return out + _array(attention.output_bias)[layer] if self.config.attention_bias else out

    def _mlp(self, layer: int, x: np.ndarray, f: np.ndarray, errors: np.ndarray) -> tuple[dict, np.ndarray]:
        """What dictionaries may read of this block, and what its MLP writes."""
        y = _centred(x, self.config) / self.sigma["mlp", layer]
        scaled = self.plain.stretch(y, self.transformer.blocks.mlp_norm, self.config, layer)
        reads, wrote = {"resid_mid": x, "mlp_norm": y, "mlp_in": scaled}, self.recorded["mlp_out", layer]
        rest = errors[..., layer, :, :] * self.errors[layer]
        if not self._transcodes:
            return reads, np.where(self.seen, rest, wrote)
        stream, encoder = self.encoder.config.stream, self.encoder
        ignored = wrote - encoder.skip(layer, self.recorded[stream, layer])
        out = np.where(self.seen, encoder.written(layer, f) + encoder.bias(layer) + rest, ignored)
        return reads, out + encoder.skip(layer, reads[stream])

    def _after(self, layer: int, x: np.ndarray, f: np.ndarray, errors: np.ndarray) -> np.ndarray:
        """The stream behind an SAE: with its features turned, or (cut) made of what it writes alone."""
        if self._transcodes or layer not in self.encoder.config.layers:
            return x
        written = self.encoder.written(layer, f)
        if not self.cut:
            return x + written - self.encoder.written(layer, self.f)
        whole = written + self.encoder.bias(layer) + errors[..., layer, :, :] * self.left[layer]
        return np.where(self.seen, whole, x)

    def _before(self, layer: int, reads: dict, lead: tuple[int, ...]) -> np.ndarray:
        if layer not in self.encoder.config.layers:
            return np.full((*lead, *self.f.shape[1:]), np.nan)
        return self.encoder.before(layer, reads[self.encoder.config.stream])

    def doubled(self) -> np.ndarray:
        """What doubling each source moves: active features' pre-activations, then all logits; over all sources.

        Columns are active features (lexicographic), errors (layer-major), tokens.
        """
        n, (layers, length) = len(self.nodes), self.errors.shape[:2]
        feature = np.ones((n, *self.f.shape))
        feature[np.arange(n), *self.nodes.T] = 2
        error = 1 + np.eye(layers * length).reshape(-1, layers, length)
        turned = (self.run(feature=feature), self.run(error=error), self.run(token=1 + np.eye(length)))
        still = self.rows(self.run())
        return np.concatenate([self.rows(outcome) - still for outcome in turned]).T

    def rows(self, outcome: Outcome) -> np.ndarray:
        """Pre-activations of the active features and the logits, [..., n + V]."""
        found, logits = outcome.features[..., *self.nodes.T], outcome.logits
        # With every path cut, some dials reach some outcomes alone.
        lead = np.broadcast_shapes(found.shape[:-1], logits.shape[:-1])
        return np.concatenate([np.broadcast_to(a, (*lead, a.shape[-1])) for a in (found, logits)], axis=-1)

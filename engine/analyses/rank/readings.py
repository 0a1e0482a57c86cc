"""What one pass and one pass back tell of every layer and neuron, as reductions of the reader.

    NeuronSums      over the prompts that choose: activity, direct effect and saliency of all neurons, in sums, and
                    what layers write in the mean; one pass and one back a prompt
    FrozenEffects   on the prompts that estimate: what ablations of layers change along frozen and direct paths, and
                    direct effects of chosen neurons, prompt by prompt; one pass and one back (two where logits are
                    capped, as the cap is met after the answers' logits are known)

Along frozen paths (attention patterns, denominators of norms and the other MLPs' outputs as they are) and along the
direct one (only the stream itself) the answers' logits are linear in what a layer writes, so an ablation needs no pass:

    change = sum_t <v - x_l(t), G_l(t)>        v: zero, or the mean; G = d logit / d x_l, frozen (`frozen.gradients`)
    direct = <v - x_l(T), g>                   g = centre(gain * u) / sigma(T), u the answers' unembedding columns
    neuron = a_n(T) <w_n, g_l>                 g_l = g, behind the MLP's own norm where the family has one

Both are exact, caps of the logits too; only neurons' direct effects are read before a cap, where they sum.

Shapes: B rows, S places (the tokens that count), P layers, W streams that layers write, N neurons, A numbers pulled.
Memory: [P, B, S, N] twice a pass, beside what the pass back keeps.
"""

import dataclasses
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from causeway.engine.frozen.gradients import STOPPED
from causeway.engine.model.transformer import scan_layers
from causeway.engine.reading.reductions import Place, Reduction, Results

# Tokens that are looked at: all that count, or the output position alone.
SCOPES = ("all", "last_prompt")
MODES = ("zero", "mean")


@dataclasses.dataclass(frozen=True)
class Answered(Reduction):
    """What both readings share.

    Attributes:
        written: the streams that layers write, mlp_out first.
        post: whether a norm follows the MLP.
    """

    written: tuple[str, ...]
    post: bool
    whole: ClassVar[bool] = True
    reads_model: ClassVar[bool] = True

    @property
    def streams(self) -> tuple[str, ...]:
        """What is read, in the order in which it comes."""
        return ("mlp_act", "final_norm", "final_scale", *self.written, *(("mlp_post_scale",) if self.post else ()))

    def read(self, at: Place, stream: str) -> Float[Array, "P B S D"]:
        """One of them."""
        return at.streams[self.streams.index(stream)]

    def last(self, at: Place, stream: str) -> Float[Array, "P B D"]:
        """One of them at the output position."""
        return _last(at, self.read(at, stream))

    def columns(self, at: Place) -> Float[Array, "B 2 D"]:
        """The unembedding's columns of both answers, the right one first."""
        transformer, ids = at.transformer, at.data[0][at.labels[:, 0]]
        if transformer.config.tied_embeddings:
            found = transformer.embedding[...][ids]
        else:
            found = jnp.moveaxis(transformer.unembedding[...][:, ids], 0, -1)
        return found.astype(at.streams[0].dtype)

    def logits(self, at: Place) -> Float[Array, "B 2"]:
        """Of both answers, before a cap."""
        return jnp.einsum("bd,bad->ba", self.last(at, "final_norm")[0], self.columns(at))

    def outcome(self, at: Place, logits: Float[Array, "B A *D"]) -> Float[Array, " B *D"]:
        """From both logits before a cap; where there is none, their difference alone does as well."""
        cap = at.transformer.config.logit_softcap
        said = cap * jnp.tanh(logits / cap) if cap else logits
        return said[:, 0] - said[:, 1] if said.shape[1] == 2 else said[:, 0]

    def readout(self, at: Place, columns: Float[Array, "B A D"]) -> Float[Array, "B A D"]:
        """g: slopes of logits with respect to the stream below the final norm, its denominator as it is."""
        norm = at.transformer.final_norm
        return norm.centre(norm.multiplier() * columns) * self.last(at, "final_scale")[0][:, :, None]

    def direct(self, at: Place) -> Float[Array, "P B N"]:
        """Direct effects of all neurons at the output position on the answers' difference, before a cap."""
        right, wrong = jnp.moveaxis(self.columns(at), 1, 0)
        slope = self.readout(at, (right - wrong)[:, None])[:, 0]
        values = self.last(at, "mlp_act")
        scales = self.last(at, "mlp_post_scale") if self.post else jnp.ones((*values.shape[:2], 1))

        def of_layer(nothing: None, scanned: tuple) -> tuple[None, Float[Array, "B N"]]:
            block, _, a, scale = scanned
            own = slope
            if self.post:
                own = block.mlp_post_norm.centre(block.mlp_post_norm.multiplier() * slope) * scale
            return nothing, a * jnp.einsum("bd,nd->bn", own, block.mlp.down[...].astype(own.dtype))

        return scan_layers(of_layer, None, at.transformer.blocks, values, scales)[1]


@dataclasses.dataclass(frozen=True)
class NeuronSums(Answered):
    """Sums over tokens and prompts: of all tokens that count, and of the output position.

    count: [2] tokens. mean, m2: of activations [P, 2, N]. size, saliency: sums of |a| and of |a dm/da|, m the outcome
    and nothing held. direct: [P, 2, N] sums of direct effects, and of their absolute values. written: [W, P, 2, D] sums
    of what layers write. clean: [B] the outcome of each row. Data: the answers' tokens [prompts, 2], in a tuple.
    """

    totals: ClassVar[tuple[str, ...]] = ("count", "mean", "m2", "size", "saliency", "direct", "written")

    @property
    def pulled(self) -> tuple[str, ...]:
        """Neurons."""
        return ("mlp_act",)

    def numbers(self, at: Place) -> Float[Array, "B 1"]:
        """The outcome."""
        return self.outcome(at, self.logits(at))[:, None]

    def __call__(self, at: Place) -> Results:
        """Layer by layer."""
        masks = _masks(at)
        count = masks.sum(axis=(1, 2))

        def of_layer(scanned: tuple[Array, Array]) -> Results:
            a, slope = scanned
            mean = _summed(masks, a) / jnp.maximum(count, 1)[:, None]
            m2 = [jnp.einsum("bs,bsn->n", mask, jnp.square(a - m)) for mask, m in zip(masks, mean, strict=True)]
            sums = {"size": _summed(masks, abs(a)), "saliency": _summed(masks, abs(a * slope))}
            return {"mean": mean, "m2": jnp.stack(m2), **sums}

        sums = jax.lax.map(of_layer, (self.read(at, "mlp_act"), at.slopes[0][0]))
        direct = jnp.where(at.there[:, :1], self.direct(at), 0)
        written = [jax.vmap(partial(_summed, masks))(self.read(at, stream)) for stream in self.written]
        return sums | {
            "count": count, "direct": jnp.stack([direct.sum(axis=1), abs(direct).sum(axis=1)], axis=1),
            "written": jnp.stack(written), "clean": self.numbers(at)[:, 0],
        }  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FrozenEffects(Answered):
    """What ablations change of each row's outcome along some paths, exactly.

    clean: [B]. frozen: [B, W, P, 2, 2], by mode and scope. direct: [B, W, P, 2], by mode. neurons: [B, K] direct
    effects. Data: the answers' tokens [prompts, 2], means of what layers write [W, P, 2, D] by scope, and layer and
    number of the K neurons [2, K].
    """

    @property
    def pulled(self) -> tuple[str, ...]:
        """What layers write."""
        return self.written

    @property
    def constant(self) -> tuple[str, ...]:
        """What the frozen pass holds."""
        return STOPPED["frozen"]

    def numbers(self, at: Place) -> Float[Array, "B A"]:
        """Both logits where they are capped, else their difference."""
        return self._apart(at, self.logits(at))

    def _apart(self, at: Place, both: Float[Array, "B 2 *D"]) -> Float[Array, "B A *D"]:
        return both if at.transformer.config.logit_softcap else both[:, :1] - both[:, 1:]

    def __call__(self, at: Place) -> Results:
        """All layers at once: what they write is D wide."""
        _, means, (layer, neuron) = at.data
        g = self.readout(at, self._apart(at, self.columns(at)))
        frozen, direct = [], []
        for number, stream in enumerate(self.written):
            x, mean = self.read(at, stream), means[number]
            frozen.append(_moved(_masks(at), x, mean, at.slopes[number]))
            direct.append(jnp.einsum("mlbd,bad->balm", _pushes(_last(at, x), mean[:, 1]), g))
        clean = self.numbers(at)
        before = self.outcome(at, clean)

        def change(moved: list[Array]) -> Array:
            after = jnp.stack(moved, axis=2)
            ones = (1,) * (after.ndim - 2)
            return self.outcome(at, clean.reshape(*clean.shape, *ones) + after) - before.reshape(-1, *ones)

        neurons = self.direct(at)[layer, :, neuron].T
        return {"clean": before, "frozen": change(frozen), "direct": change(direct), "neurons": neurons}


def _masks(at: Place) -> Float[Array, "2 B S"]:
    """1 at tokens of either scope, else 0; rows that fill a pass have none."""
    return jnp.stack([at.there, at.there & ~_after(at.there)]).astype(at.streams[0].dtype)


def _after(there: Bool[Array, "B S"]) -> Bool[Array, "B S"]:
    """Whether another place comes after each."""
    return jnp.pad(there[:, 1:], ((0, 0), (0, 1)))


def _last(at: Place, x: Float[Array, "P B S D"]) -> Float[Array, "P B D"]:
    return x[:, jnp.arange(x.shape[1]), jnp.maximum(at.there.sum(axis=1) - 1, 0)]


def _summed(masks: Float[Array, "2 B S"], x: Float[Array, "B S N"]) -> Float[Array, "2 N"]:
    return jnp.einsum("kbs,bsn->kn", masks, x)


def _pushes(x: Float[Array, "P *at D"], mean: Float[Array, "P D"]) -> Float[Array, "2 P *at D"]:
    """What is added to a stream to put zero, or its mean, in its place."""
    return jnp.stack([-x, mean.reshape(len(mean), *(1,) * (x.ndim - 2), -1) - x])


def _moved(
    masks: Float[Array, "2 B S"], x: Float[Array, "P B S D"], means: Float[Array, "P 2 D"],
    slopes: Float[Array, "A P B S D"],
) -> Float[Array, "B A P 2 2"]:  # fmt: skip
    """<v - x(t), G(t)> summed over the tokens of each scope."""
    scopes = [jnp.einsum("mlbsd,albsd,bs->balm", _pushes(x, means[:, k]), slopes, masks[k]) for k in range(2)]
    return jnp.stack(scopes, axis=-1)

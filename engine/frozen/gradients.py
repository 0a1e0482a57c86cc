"""Gradients of a number that one pass gives with respect to its streams: the adjoint of `causal_pass`, by `jax.vjp`.

Zeros are pushed onto streams (`Differentiated`); the gradient of the number with respect to them is that of the stream.
What is held constant on the way back makes the passes that differ:

    full      nothing: the gradient of the model itself
    frozen    attention patterns, denominators of norms and what MLPs write: the linear pass of an attribution graph,
              in which the number is a sum over whatever writes to the stream
    direct    what attention and MLPs read, and denominators: only the stream itself is left, of which every head and
              MLP is a summand

Cost: about three causal passes. Memory: the activations of one pass, L T (10 D + 2 N + H T) numbers.
"""

import dataclasses
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.gathered import to_host
from causeway.engine.intervention.instruments import Differentiated, Instruments
from causeway.engine.intervention.sites import once
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.finite import refuse
from causeway.engine.model.forward import causal_pass
from causeway.engine.model.transformer import Transformer
from causeway.engine.precision import full_precision

NORMS = ("attn_scale", "attn_post_scale", "mlp_scale", "mlp_post_scale", "final_scale")
STOPPED = {
    "full": (),
    "frozen": ("attn_pattern", *NORMS, "mlp_out"),
    "direct": ("attn_in", "mlp_norm", *NORMS),
}  # fmt: skip
Held = Literal["full", "frozen", "direct"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Aim:
    """The number: the inner product of a stream at a layer and position with a vector.

    Attributes:
        layer: of the stream; 0 of streams that come once.
        position: of the token.
        vector: as many numbers as the stream has at a position.
        stream: its name.
    """

    layer: Int[Array, ""] | int
    position: Int[Array, ""] | int
    vector: Float[Array, " W"]
    stream: str = dataclasses.field(metadata={"static": True})


@dataclasses.dataclass(frozen=True)
class Gradients:
    """What `gradients` returns.

    Attributes:
        value: the number itself.
        values, gradients: of each stream asked for, [L, T, ...], or [1, T, ...] of one that comes once; attention
            patterns [L, H, T, S].
    """

    value: float
    values: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]


def gradients(transformer: Transformer, tokens: list[int], aim: Aim, streams: tuple[str, ...], held: Held) -> Gradients:
    """Run a prompt and pull one number back to streams.

    Raises:
        NotFiniteError: the pass does not give numbers.
    """
    config, length = transformer.config, len(tokens)
    width = bucket_width(length, config.max_position)
    padded = jnp.asarray(np.pad(np.asarray(tokens, np.int32), (0, width - length)))[None]
    lengths = jnp.array([length])
    value, values, slopes = to_host(_program(transformer, padded, lengths, aim, streams, STOPPED[held]))
    if not all(np.isfinite(a).all() for a in (value, *slopes.values())):
        refuse(lambda: full_precision(causal_pass)(transformer, padded, lengths=lengths))

    def cut(stream: str, array: np.ndarray) -> np.ndarray:
        return array[:, 0, :, :length, :length] if stream == "attn_pattern" else array[:, 0, :length]

    return Gradients(
        float(value), *({name: cut(name, array) for name, array in arrays.items()} for arrays in (values, slopes))
    )


@partial(jax.jit, static_argnames=("streams", "stopped"))
@full_precision
def _program(
    transformer: Transformer, tokens: Int[Array, "1 T"], lengths: Int[Array, " 1"], aim: Aim, streams: tuple[str, ...],
    stopped: tuple[str, ...],
) -> tuple[Array, dict[str, Array], dict[str, Array]]:  # fmt: skip
    """The number, the streams, and its gradients with respect to them."""

    def number(pushes: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        found = _streams(transformer, tokens, lengths, (*streams, aim.stream), Differentiated(pushes, stopped))
        here = found[aim.stream][aim.layer, 0, aim.position].reshape(-1)
        dtype = jnp.promote_types(here.dtype, jnp.float32)
        return jnp.vdot(here.astype(dtype), aim.vector.astype(dtype)), {name: found[name] for name in streams}

    shapes = jax.eval_shape(partial(_streams, transformer, tokens, lengths, streams, None))
    pushes = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    (value, values), slopes = jax.value_and_grad(number, has_aux=True)(pushes)
    return value, values, slopes


def _streams(
    transformer: Transformer, tokens: Array, lengths: Array, streams: tuple[str, ...],
    differentiated: Differentiated | None,
) -> dict[str, Array]:  # fmt: skip
    """Streams of one pass by name, all layers of each."""
    names = tuple(dict.fromkeys(streams))
    taps = tuple(bind_tap(TapSpec(name, "raw", layers_of(name, transformer.config)), None) for name in names)
    instruments = Instruments((), taps, differentiated)
    out = causal_pass(transformer, tokens, instruments, lengths, logits_of=None)  # a tap of logits forms them
    return {name: jnp.asarray(record.values) for name, record in zip(names, out.records, strict=True)}


def layers_of(stream: str, config: ModelConfig) -> tuple[int, ...]:
    """The layers that have a stream, or the one of a stream that comes once."""
    single = once(stream, config.num_layers)
    return tuple(range(config.num_layers)) if single is None else (single,)

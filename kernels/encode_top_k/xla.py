"""The strongest features in plain XLA."""

from collections.abc import Callable

from jaxtyping import Array, Float, Int

from causeway.kernels.top_k import top_k


def strongest(
    x: Float[Array, "B D"],
    encoder: Float[Array, "D F"],
    bias: Float[Array, " F"],
    parameters: tuple[Float[Array, " F"], ...],
    activation: Callable[..., Array],
    k: int,
) -> tuple[Float[Array, "B k"], Int[Array, "B k"]]:
    """Values and ids, from all features."""
    p = x @ encoder.astype(x.dtype) + bias.astype(x.dtype)
    return top_k(activation(p, *(each.astype(x.dtype) for each in parameters)), k)

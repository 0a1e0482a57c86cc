"""Single features taken out of a stack of dictionaries."""

from functools import partial
from typing import Any

import jax
from flax import nnx
from jaxtyping import Int

from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary import activations


class FeatureColumns(nnx.Module):
    """What elementwise edits and selected recordings need of some features, and no more.

    Attributes:
        encoder: [*rows, D] encoder columns.
        bias: [*rows].
        parameters: tuple of [*rows] activation parameters.
        decoder: [*rows, O] what a unit of each writes; of dictionaries that cross layers [L, *rows, O], a row for each
            layer written; None where it was not asked for.
        config: of the stack.
    """

    def __init__(
        self, dictionary: Any, index: Int[AnyArray, "*#rows"], feature: Int[AnyArray, "*#rows"], decoder: bool = True
    ):
        """Gather the features `feature` of the dictionaries at the positions `index` of a holder in memory."""
        self.config = dictionary.config
        encoder, bias, parameters, written = _gathered(dictionary, index, feature, decoder)
        self.encoder, self.bias = nnx.data(encoder), nnx.data(bias)
        self.decoder: Any = nnx.data(written)
        self.parameters = nnx.data(parameters)

    @property
    def kind(self) -> activations.Kind:
        """The activation, elementwise."""
        return self.config.kind


@partial(jax.jit, static_argnums=3)
def _gathered(dictionary: Any, index: AnyArray, feature: AnyArray, decoder: bool) -> tuple[Any, ...]:
    """Encoder columns, biases, parameters and decoder rows, by one program: one gather after another makes many."""
    parameters = tuple(a[index, feature] for a in dictionary.elementwise_parameters())
    written = dictionary.rows(index, feature) if decoder else None
    return dictionary.W_enc[...][index, :, feature], dictionary.b_enc[...][index, feature], parameters, written

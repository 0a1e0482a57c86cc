"""Single features taken out of a stack of dictionaries."""

from typing import Any

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
        self.encoder = nnx.data(dictionary.W_enc[...][index, :, feature])
        self.decoder: Any = nnx.data(dictionary.rows(index, feature) if decoder else None)
        self.bias = nnx.data(dictionary.b_enc[...][index, feature])
        self.parameters = nnx.data(tuple(a[index, feature] for a in dictionary.elementwise_parameters()))

    @property
    def kind(self) -> activations.Kind:
        """The activation, elementwise."""
        return self.config.kind

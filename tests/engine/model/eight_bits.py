"""A model in 8 bits beside the same model in float."""

import jax
import numpy as np

from causeway.engine.model.config import Numerics
from causeway.engine.model.quantised import is_quantised
from causeway.engine.model.quantised_fill import filled_weight
from causeway.engine.model.transformer import abstract_transformer

INT8 = Numerics("int8")


def rounded(transformer):
    """The same model in 8 bits, and in float with what these stand for."""
    shapes = abstract_transformer(transformer.config, INT8)
    floats = iter(jax.tree.leaves(transformer))

    def fill(leaf):
        value = next(floats)
        return filled_weight(leaf, reader(value)) if is_quantised(leaf) else value

    made = jax.tree.map(fill, shapes, is_leaf=is_quantised)
    weights = [leaf[...] if is_quantised(leaf) else leaf for leaf in jax.tree.leaves(made, is_leaf=is_quantised)]
    return made, jax.tree.unflatten(jax.tree.structure(transformer), weights)


def reader(value):
    def read(target, index):
        target[...] = np.asarray(value)[index]

    return read

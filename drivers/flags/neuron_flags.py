"""Flags of commands that look at neurons: which ones, and along which directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from causeway.drivers.flags.flag_values import named
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.directions import Directions
    from causeway.engine.model.handle import Model
    from causeway.engine.neurons import Neurons

FLAGS = take("neurons limit_neurons")


def read() -> Neurons | None:
    """The neurons of --neurons, before a model is loaded; None where all are meant.

    Raises:
        ValueError: a table that is none; FileNotFoundError: no such file.
    """
    if not FLAGS.neurons:
        return None
    from causeway.ports.results.neuron_files import read_neurons

    with named("neurons"):
        return limited(read_neurons(FLAGS.neurons))


def limited(neurons: Neurons) -> Neurons:
    """The first --limit_neurons of each layer; all without."""
    return neurons if FLAGS.limit_neurons is None else neurons.first(FLAGS.limit_neurons)


def directions(source: str, model: Model) -> Directions:
    """The directions of a folder, known to be of the model.

    Raises:
        ValueError: they are not, or the folder has none.
    """
    from causeway.ports.results.direction_files import read_directions

    with named("directions"):
        found = read_directions(source)
        found.check_of_model(model)
    return found

"""Interventions as a person writes them.

    FeatureEdit(layer=12, feature=345, value=8.0)                      set a dictionary feature
    FeatureEdit(12, 345, operation="zero", scope="last_prompt")        ablate it at the last prompt token
    VectorEdit(12, v, value=2.0, operation="add")                      steer along a vector
    SwapEdit(12, h, scope="positions:4")                               put another run's stream there

A row of a batch is a list of edits, of any kinds and streams: all read the model's stream before any of them, and what
they change adds. Operations on the present value f: set v, zero 0, add f + v, scale v f, inhibit -v f, mean v (which is
the mean), at_most and at_least v, own f. The last three leave a value that they do not change to the last bit.
"""

import dataclasses

import numpy as np

from causeway.engine import scalars
from causeway.engine.intervention.operations import coefficients
from causeway.engine.intervention.scope import Scope, scope_text

# Values live in 32-bit arrays on the device.
FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True)
class FeatureEdit:
    """A dictionary feature's value at the tokens of a scope.

    Attributes:
        layer: of the model; negative ones count from the end, -1 being the last.
        feature: its id in the layer's dictionary.
        value: in the dictionary's own scale; what it means is the operation's.
        operation: of the present value f: set (to value), zero, add (f + value), scale (value f), inhibit (-value f),
            mean (to value, which is its mean), at_most and at_least (value), own (f itself, which changes nothing in
            delta form).
        scope: the tokens edited: all (of the prompt and generated), last_prompt, decode (generated ones),
            last_prompt_and_decode, positions:2:5,-1 (from 2 to 4, and the prompt's last), or a position or a list of
            them.

    Raises:
        ValueError: a number that is not one, an unknown operation or scope.
    """

    layer: int
    feature: int
    value: float = 0.0
    operation: str = "set"
    scope: Scope = "all"

    def __post_init__(self):
        _read_common(self)
        object.__setattr__(self, "feature", scalars.integer(self.feature, "FeatureEdit.feature"))


@dataclasses.dataclass(frozen=True, eq=False)
class VectorEdit:
    """The component of a stream along a vector.

    Attributes:
        layer, operation, scope: see `FeatureEdit`; the present value is the component, in units of the vector.
        vector: [D].
        stream: where; see `Tap`. A name with a layer has to name the same one.

    Raises:
        ValueError: see `FeatureEdit`; or a vector that holds no finite numbers.
    """

    layer: int
    vector: np.ndarray
    value: float = 0.0
    operation: str = "set"
    scope: Scope = "all"
    stream: str = "resid_post"

    def __post_init__(self):
        _read_common(self)
        object.__setattr__(self, "vector", scalars.finite_array(self.vector, "VectorEdit.vector"))


@dataclasses.dataclass(frozen=True, eq=False)
class SwapEdit:
    """A whole stream vector, taken from another run.

    Attributes:
        layer, scope: see `FeatureEdit`. stream: see `Tap`.
        vector: [D], put at every token of the scope; or [N, D], a vector a position, put at the prompt's tokens in the
            scope alone: N is the number of the prompt's tokens (each has its own), or of those in the scope.

    Raises:
        ValueError: see `VectorEdit`.
    """

    layer: int
    vector: np.ndarray
    scope: Scope = "all"
    stream: str = "resid_post"

    value: float = dataclasses.field(default=1.0, init=False)
    operation: str = dataclasses.field(default="set", init=False)

    def __post_init__(self):
        _read_common(self)
        object.__setattr__(self, "vector", scalars.finite_array(self.vector, "SwapEdit.vector"))


def _read_common(edit: "AnyEdit") -> None:
    """The fields of all kinds, checked and brought into one form."""
    kind = type(edit).__name__
    object.__setattr__(edit, "layer", scalars.integer(edit.layer, f"{kind}.layer", -scalars.INT32_MAX))
    object.__setattr__(edit, "value", scalars.real(edit.value, f"{kind}.value", -FLOAT32_MAX, FLOAT32_MAX))
    object.__setattr__(edit, "scope", scope_text(edit.scope))
    coefficients(edit.operation, edit.value)


AnyEdit = FeatureEdit | VectorEdit | SwapEdit

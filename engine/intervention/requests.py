"""Interventions as a person writes them.

    FeatureEdit(layer=12, feature=345, value=8.0)                      set a dictionary feature
    FeatureEdit(12, 345, operation="zero", scope="last_prompt")        ablate it at the last prompt token
    VectorEdit(12, v, value=2.0, operation="add")                      steer along a vector
    SwapEdit(12, h, scope="positions:4")                               put another run's stream there
    UnitEdit(12, 3)                                                    ablate head 3
    PatternEdit(12, 3, query=-1, key=2)                                knock out one edge of its attention

A row of a batch is a list of edits, of any kinds and streams: all read the model's stream before any of them, and what
they change adds; so what an edited feature of a cross-layer transcoder writes above is added to a vector that is put
there. An edit that holds put back before anything reads it is refused (`void`).

Operations on the present value f: set v, zero 0, add f + v, scale v f, inhibit -v f, mean v (which is the mean),
at_most and at_least v, own f. The last three leave a value that they do not change to the last bit.
"""

import dataclasses
from typing import Any

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
        layer: see `FeatureEdit`.
        scope: see `FeatureEdit`.
        stream: see `Tap`.
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


@dataclasses.dataclass(frozen=True, eq=False)
class UnitEdit:
    """A unit of a stream: one head's output; one query, key or value head; one neuron.

    Attributes:
        layer, operation, scope: see `FeatureEdit`; the present value is the neuron's, or the head's K numbers.
        unit: its number: of query heads for head_out and query, of key and value heads for key and value.
        value: a number, for a head at most or at least that of each of its numbers; for a head that is set, added to or
            put at its mean an array [K].
        stream: head_out (what the head read, before the output map), query, key, value (before the rotation by
            position), or mlp_act (neurons). Names of other libraries do as well, see `Tap`.

    Raises:
        ValueError: see `FeatureEdit`; or a value that is neither a number nor an array of them.
    """

    layer: int
    unit: int
    value: Any = 0.0
    operation: str = "zero"
    scope: Scope = "all"
    stream: str = "head_out"

    def __post_init__(self):
        _read_common(self)
        object.__setattr__(self, "unit", scalars.integer(self.unit, "UnitEdit.unit"))


@dataclasses.dataclass(frozen=True)
class PatternEdit:
    """Edges of an attention pattern: the weight from some tokens to others in one head. It is not renormalised.

    Attributes:
        layer, value, operation: see `FeatureEdit`; the present value is the weight, after the softmax.
        head: of the query heads.
        query: the tokens that attend: a position, a list of them or a slice, negative ones counted from the end of the
            prompt; or a scope, such as decode.
        key: the tokens attended to, likewise.

    Raises:
        ValueError: see `FeatureEdit`.
    """

    layer: int
    head: int
    query: Scope
    key: Scope
    operation: str = "zero"
    value: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "query", scope_text(self.query, "PatternEdit.query"))
        object.__setattr__(self, "key", scope_text(self.key, "PatternEdit.key"))
        _read_common(self)
        object.__setattr__(self, "head", scalars.integer(self.head, "PatternEdit.head"))

    @property
    def scope(self) -> Scope:
        """The tokens whose attention is edited."""
        return self.query


def _read_common(edit: "AnyEdit") -> None:
    """The fields of all kinds, checked and brought into one form."""
    kind = type(edit).__name__
    object.__setattr__(edit, "layer", scalars.integer(edit.layer, f"{kind}.layer", -scalars.INT32_MAX))
    if isinstance(edit, UnitEdit) and np.ndim(edit.value):
        object.__setattr__(edit, "value", scalars.finite_array(edit.value, f"{kind}.value"))
    else:
        object.__setattr__(edit, "value", scalars.real(edit.value, f"{kind}.value", -FLOAT32_MAX, FLOAT32_MAX))
    if not isinstance(edit, PatternEdit):
        object.__setattr__(edit, "scope", scope_text(edit.scope))
    scalars.text(getattr(edit, "stream", ""), f"{kind}.stream")
    coefficients(edit.operation, edit.value)


AnyEdit = FeatureEdit | VectorEdit | SwapEdit | UnitEdit | PatternEdit

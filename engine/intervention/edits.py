"""Interventions as data.

An `EditSpec` is static: it belongs to the compiled program. The rest of an `Edit` is arrays, one row a trial, so that
one program serves every feature of every layer. With f the present value of the edited quantity, its new value is
g = clip(scale * f + shift, bounds) and the stream x changes by

    x += (g - f) * w                            (delta form: whatever the dictionary does not explain stays)

    family    f                                       w
    feature   a dictionary feature's value            its decoder row
    vector    x . v / |v|^2, the component along v     v
    swap      the whole vector x                      x becomes scale * x + shift * vector
    replace   a dictionary feature's value            x becomes decode(encode(x) with the feature at its new value)
    unit      a neuron's value, or a head's K numbers  its own place in the stream
    edge      a head's weight from a query to a key   its own place in the pattern, whose other weights stay

With a transcoder f is a value in the stream it reads, and x the stream it writes, later in the same layer; `replace`
puts the transcoder's output there. A dictionary that undoes a norm of its input writes w times that norm's scale.

`operations` has the numbers of each operation. (1, 0) is "at its own value": exact to the last bit in delta form, and
the dictionary's reconstruction in `replace`.

`writer` names the feature whose decoder row is written. It is the edited feature itself, or, for a control, another
one, rescaled to the edited feature's decoder norm: the same push in a direction that should not matter.

Shapes: B rows, E slots, D stream width. Positions are absolute; a slot acts on [start, stop), a pinned one at `start`.
"""

import dataclasses
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float, Int

from causeway.engine.arrays import AnyArray
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.sites import DICTIONARY_ONLY, EDITABLE, STREAMS, UNITS

Family = Literal["feature", "vector", "swap", "replace", "unit", "edge"]
_VECTORS = tuple(stream for stream in STREAMS if stream != "attn_pattern")
ACTS_ON: dict[Family, tuple[str, ...]] = {
    "feature": EDITABLE + DICTIONARY_ONLY, "replace": EDITABLE + DICTIONARY_ONLY, "vector": _VECTORS, "swap": _VECTORS,
    "unit": UNITS, "edge": ("attn_pattern",),
}  # fmt: skip
FOREVER = np.iinfo(np.int32).max
EMPTY = -1
PINNABLE = ("feature", "vector", "swap", "unit")


@dataclasses.dataclass(frozen=True)
class EditSpec:
    """The static part of an edit: the stream written and the family.

    What is read is the same stream, or, with a transcoder, the one that its dictionary reads.

    Attributes:
        pinned: every slot acts at one position; a pass gathers [B, E, D] there and never makes [B, T, E].
        roundings: of pinned features: a new value that is so many roundings of the pre-activation from the present one
            is the present one. Numbers recorded by another program differ by that, and setting a feature to what it is
            must do nothing.
    """

    stream: str = "resid_post"
    family: Family = "feature"
    pinned: bool = False
    roundings: int = 0

    def __post_init__(self):
        if self.family not in ACTS_ON:
            raise ValueError(f"EditSpec.family: got {self.family!r}; needs one of {', '.join(ACTS_ON)}")
        if self.stream not in (streams := ACTS_ON[self.family]):
            raise ValueError(f"stream: got {self.stream!r}; {self.family} edits act on {', '.join(streams)}")
        if self.pinned and self.family not in PINNABLE:
            raise ValueError(f"EditSpec.pinned: got {self.family} edits; pinned are those of {', '.join(PINNABLE)}")
        if self.roundings and not (self.pinned and self.family == "feature"):
            raise ValueError(f"EditSpec.roundings: got {self.roundings}; only pinned edits of features have some")

    def one_layer(self, dictionary: InMemory | None) -> bool:
        """Whether all rows of a bucket must edit the same layer, because the whole dictionary is needed there."""
        if self.family == "replace":
            return True
        ranked = self.family == "feature" and dictionary is not None and dictionary.config.ranked
        return ranked and not self.pinned


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Edit:
    """E slots a row of one kind on one stream: arrays [B, E].

    `feature` is the number of the unit or head where one is edited. `vectors` are those of the vector and swap
    families, [B, E, D], and, where a unit is a vector, what `shift` is a multiple of, [B, E, K]. `bounds`: the least
    and the largest new value, where any row of the plan has one. `keys`: [start, stop) of the keys of edges.

    A slot with layer -1 is empty. Positions are absolute token positions, prompt included. A pass carries a tuple of
    edits, one of each `spec`; they read the stream as it was before any of them, and their changes add.
    """

    layer: Int[AnyArray, "B E"]
    feature: Int[AnyArray, "B E"]
    start: Int[AnyArray, "B E"]
    stop: Int[AnyArray, "B E"]
    scale: Float[AnyArray, "B E"]
    shift: Float[AnyArray, "B E"]
    writer: Int[AnyArray, "B E"]
    vectors: Float[AnyArray, "B E D"] | None = None
    keys: tuple[Int[AnyArray, "B E"], Int[AnyArray, "B E"]] | None = None
    bounds: tuple[Float[AnyArray, "B E"], Float[AnyArray, "B E"]] | None = None
    spec: EditSpec = dataclasses.field(default=EditSpec(), metadata={"static": True})


def no_edit(rows: int, slots: int = 1, spec: EditSpec = EditSpec()) -> Edit:
    """Rows without an intervention."""
    ids, values = np.zeros((rows, slots), np.int32), np.zeros((rows, slots), np.float32)
    return Edit(ids + EMPTY, feature=ids, start=ids, stop=ids, scale=values + 1, shift=values, writer=ids, spec=spec)


def vectors_of(edit: Edit) -> Float[AnyArray, "B E D"]:
    """The vectors of a family that needs them.

    Raises:
        ValueError: the edit has none.
    """
    if edit.vectors is None:
        raise ValueError(f"edit.vectors: missing; the {edit.spec.family} family needs an array [rows, slots, d_model]")
    return edit.vectors


def dictionary_of(dictionary: InMemory | None, spec: EditSpec) -> InMemory:
    """The dictionary of a family that needs one.

    Raises:
        ValueError: there is none.
    """
    if dictionary is None:
        raise ValueError(f"dictionary: missing; the {spec.family} family edits dictionary features")
    return dictionary

"""Places in the network where an edit may act or a tap may read.

A site is a stream of a layer. In the order of the forward pass, block l has

    resid_pre -> attn_in -> query, key, value -> attn_pattern -> head_out -> attn_raw -> attn_out -> resid_mid
              -> mlp_norm -> mlp_in -> mlp_act -> mlp_raw -> mlp_out -> resid_post

`query`, `key` and `value` are before the rotation by position, after the norm that Qwen3 has there: H query heads and
G key and value heads of width K.

`attn_in` and `mlp_in` are after the norm and its gain, `mlp_norm` is after the norm before the gain; `head_out` is
each head's weighted value before the output map ([H, K]); `mlp_act` the neurons ([N]). `attn_out` and `mlp_out` are
what is added to the stream; `attn_raw` and `mlp_raw` are what attention and MLP write before a norm that follows
them. Where no norm does, `attn_raw` is another name of `attn_out` and `mlp_raw` of `mlp_out`. `embed` comes once, at
layer 0, and is resid_pre of block 0; `final_norm` (after its gain) and `logits` come once, at layer index L. resid_post
of block l is resid_pre of block l + 1.
"""

import dataclasses
import re
from typing import NamedTuple

from jaxtyping import Array, Float

STREAMS = (
    "embed", "resid_pre", "attn_in", "query", "key", "value", "attn_pattern", "head_out", "attn_raw", "attn_out",
    "resid_mid", "mlp_norm", "mlp_in", "mlp_act", "mlp_raw", "mlp_out", "resid_post", "final_norm", "logits",
)  # fmt: skip
EDITABLE = (
    "resid_pre", "attn_in", "attn_raw", "attn_out", "resid_mid", "mlp_norm", "mlp_in", "mlp_raw", "mlp_out",
    "resid_post",
)  # fmt: skip
# Streams of another width than the model's, which dictionaries may nevertheless be of.
DICTIONARY_ONLY = ("head_out", "mlp_act")
# 1 / sigma of every norm at each token: what holds keep of norms. They are read by taps as numbers, not edited.
NORMS = ("attn_scale", "attn_post_scale", "mlp_scale", "mlp_post_scale", "final_scale")
# Streams of units: heads, or neurons.
UNITS = ("head_out", "query", "key", "value", "mlp_act")
# Streams that no block has.
ONCE = ("embed", "final_scale", "final_norm", "logits")


def once(stream: str, num_layers: int) -> int | None:
    """The layer of a stream that comes once; None for one that every block has."""
    return {"embed": 0, "final_scale": num_layers, "final_norm": num_layers, "logits": num_layers}.get(stream)


def side_by_side(x: Float[Array, "B T *D"]) -> Float[Array, "B T D"]:
    """A stream as one vector a position: heads [B, T, H, K] become [B, T, H K], denominators [B, T] are [B, T, 1]."""
    return x.reshape(*x.shape[:2], -1) if x.ndim != 3 else x


@dataclasses.dataclass(frozen=True, order=True)
class Site:
    """A stream of a layer; for `embed` the layer is 0, for `final_norm` and `logits` the number of layers L."""

    layer: int
    stream: str

    def __post_init__(self):
        if self.stream not in STREAMS:
            raise ValueError(f"Site.stream: got {self.stream!r}; needs one of {', '.join(STREAMS)}")

    def __str__(self) -> str:
        return f"{self.stream}.{self.layer}"


class Place(NamedTuple):
    """What a name says: a stream, and the layer where it names one (None: every layer, or one that comes once)."""

    stream: str
    layer: int | None = None


def own_place(name: str) -> Place:
    """Read a place in this engine's spelling: STREAM, or STREAM.LAYER with negative layers counted from the end.

    Raises:
        ValueError: neither.
    """
    match = re.fullmatch(r"(\w+)(?:\.(-?[0-9]+))?", name)
    if match is None or match[1] not in STREAMS or (match[2] and match[1] in ONCE):
        raise ValueError(f"site: cannot read {name!r}; needs STREAM or STREAM.LAYER, with one of {', '.join(STREAMS)}")
    return Place(match[1], None if match[2] is None else int(match[2]))

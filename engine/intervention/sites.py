"""Places in the network where an edit may act or a tap may read.

A site is a stream of a layer. In the order of the forward pass, block l has

    resid_pre -> attn_in -> attn_pattern -> head_out -> attn_out -> resid_mid
              -> mlp_norm -> mlp_in -> mlp_act -> mlp_out -> resid_post

`attn_in` and `mlp_in` are after the norm and its gain, `mlp_norm` is after the norm before the gain; `head_out` is
each head's weighted value before the output map ([H, K]); `mlp_act` the neurons ([N]). `final_norm` (after its gain)
and `logits` come once, at layer index L. resid_post of block l is resid_pre of block l + 1.
"""

import dataclasses
import re

from jaxtyping import Array, Float

STREAMS = (
    "resid_pre", "attn_in", "attn_pattern", "head_out", "attn_out", "resid_mid",
    "mlp_norm", "mlp_in", "mlp_act", "mlp_out", "resid_post", "final_norm", "logits",
)  # fmt: skip
EDITABLE = ("resid_pre", "attn_in", "attn_out", "resid_mid", "mlp_norm", "mlp_in", "mlp_out", "resid_post")
# Streams of another width than the model's, which dictionaries may nevertheless be of.
DICTIONARY_ONLY = ("head_out", "mlp_act")

_TRANSFORMER_LENS = {
    "hook_resid_pre": "resid_pre", "attn.hook_pattern": "attn_pattern",
    "attn.hook_z": "head_out", "hook_attn_out": "attn_out", "hook_resid_mid": "resid_mid",
    "ln2.hook_normalized": "mlp_norm", "mlp.hook_in": "mlp_in", "mlp.hook_post": "mlp_act",
    "hook_mlp_out": "mlp_out", "mlp.hook_out": "mlp_out", "hook_resid_post": "resid_post",
}  # fmt: skip
# A module's output. LLaMA, Qwen3 and GPT-NeoX call the norm before the MLP post_attention_layernorm, GPT-2 ln_2.
_HUGGING_FACE = {
    "": "resid_post", ".mlp": "mlp_out",
    ".input_layernorm": "attn_in", ".ln_1": "attn_in",
    ".self_attn": "attn_out", ".attn": "attn_out", ".attention": "attn_out",
    ".post_attention_layernorm": "mlp_in", ".ln_2": "mlp_in",
}  # fmt: skip
_HUGGING_FACE_BLOCK = re.compile(r"(?:model\.layers|gpt_neox\.layers|transformer\.h|layers|h)\.(\d+)(.*)")


def side_by_side(x: Float[Array, "B T *D"]) -> Float[Array, "B T D"]:
    """A stream as one vector a position: heads [B, T, H, K] become [B, T, H K], all others are that already."""
    return x.reshape(*x.shape[:2], -1) if x.ndim > 3 else x


@dataclasses.dataclass(frozen=True, order=True)
class Site:
    """A stream of a layer; for `final_norm` and `logits` the layer is the number of layers L."""

    layer: int
    stream: str

    def __post_init__(self):
        if self.stream not in STREAMS:
            raise ValueError(f"Site.stream: got {self.stream!r}; needs one of {', '.join(STREAMS)}")

    def __str__(self) -> str:
        return f"{self.stream}.{self.layer}"


def parse_site(name: str) -> Site:
    """Read a site in our spelling or under its TransformerLens or Hugging Face name.

    Examples: `resid_post.12`, `blocks.12.hook_resid_post`, `model.layers.12` and `h.12.mlp` (a module's output).
    Gemma-2 uses the name post_attention_layernorm for another norm: write STREAM.LAYER there.

    Raises:
        ValueError: the name belongs to none of the three spellings.
    """
    if (match := re.fullmatch(r"(\w+)\.(\d+)", name)) and match[1] in STREAMS:
        return Site(int(match[2]), match[1])
    if (match := re.fullmatch(r"blocks\.(\d+)\.(.+)", name)) and match[2] in _TRANSFORMER_LENS:
        return Site(int(match[1]), _TRANSFORMER_LENS[match[2]])
    if (match := _HUGGING_FACE_BLOCK.fullmatch(name)) and match[2] in _HUGGING_FACE:
        return Site(int(match[1]), _HUGGING_FACE[match[2]])
    raise ValueError(
        f"site: cannot read {name!r}; write STREAM.LAYER (resid_post.12), a TransformerLens hook "
        "(blocks.12.hook_resid_post) or a Hugging Face module (model.layers.12)"
    )

"""The fields that LLaMA and the families after it share, read once."""

from typing import Any

from causeway.ports.files.config_fields import Fields
from causeway.ports.models.rope_config import ROPE_KINDS, Rope, read_rope


def read_shape(
    fields: Fields,
    *,
    head_dim: int | None = None,
    max_position: int = 2048,
    norm_eps: float = 1e-6,
    tied: bool = False,
    rope: Rope | None = None,
    rope_kinds: tuple[str, ...] = ROPE_KINDS,
) -> dict[str, Any]:
    """Shapes, norms and rotary positions as arguments of `ModelConfig`.

    Args:
        fields: of config.json.
        head_dim: where the file does not say; None divides the width by the heads.
        max_position, norm_eps, tied: likewise.
        rope: read already, where the family spells it otherwise.
        rope_kinds: the stretches that the family may have.

    Raises:
        ValueError: a field is missing or of another kind, or heads do not divide the width.
    """
    d_model, num_heads = fields.positive("hidden_size"), fields.positive("num_attention_heads")
    if fields.look("head_dim") is None and head_dim is None and d_model % num_heads:
        raise ValueError(
            f"{fields.where}: hidden_size {d_model} is not a multiple of num_attention_heads {num_heads}; give head_dim"
        )
    rope = rope or read_rope(fields, rope_kinds)
    head_dim = fields.positive("head_dim", head_dim or d_model // num_heads)
    return {
        "num_layers": fields.layers("num_hidden_layers"),
        "d_model": d_model,
        "num_heads": num_heads,
        "num_kv_heads": fields.positive("num_key_value_heads", num_heads),
        "head_dim": head_dim,
        "d_ff": fields.positive("intermediate_size"),
        "vocab_size": fields.positive("vocab_size"),
        "max_position": fields.positive("max_position_embeddings", max_position),
        "norm_eps": fields.take("rms_norm_eps", float, norm_eps),
        "rope_theta": rope.theta,
        "rope_scaling": rope.scaling,
        "rotary_dim": None if rope.share in (None, 1.0) else int(head_dim * rope.share),
        "tied_embeddings": fields.take("tie_word_embeddings", bool, tied),
    }


def whole_heads_turn(fields: Fields, shape: dict[str, Any], family: str) -> None:
    """Refuse a part of a head that turns, in a family whose heads turn whole.

    Raises:
        ValueError: naming the field.
    """
    if shape["rotary_dim"] is not None:
        share = shape["rotary_dim"] / shape["head_dim"]
        raise ValueError(f"{fields.where}: partial_rotary_factor is {share:g}; a {family} turns whole heads")

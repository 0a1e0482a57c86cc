"""The fields that LLaMA and the families after it share, read once."""

from typing import Any

from causeway.ports.files.config_fields import Fields
from causeway.ports.models.rope_config import Rope, read_rope


def read_shape(
    fields: Fields,
    *,
    whole_heads: str | None = None,
    head_dim: int | None = None,
    max_position: int = 2048,
    norm_eps: float = 1e-6,
    tied: bool = False,
    rope: Rope | None = None,
) -> dict[str, Any]:
    """Shapes, norms and rotary positions as arguments of `ModelConfig`.

    Args:
        fields: of config.json.
        whole_heads: name of a family whose heads turn whole; None lets a part of each turn.
        head_dim: where the file does not say; None divides the width by the heads.
        max_position, norm_eps, tied: likewise.
        rope: read already, where the family spells it otherwise.

    Raises:
        ValueError: a field is missing or of another kind, heads do not divide the width, or a part of a head turns
            where heads turn whole.
    """
    d_model, num_heads = fields.positive("hidden_size"), fields.positive("num_attention_heads")
    if fields.look("head_dim") is None and head_dim is None and d_model % num_heads:
        raise ValueError(
            f"{fields.where}: hidden_size {d_model} is not a multiple of num_attention_heads {num_heads}; give head_dim"
        )
    rope = rope or read_rope(fields)
    head_dim = fields.positive("head_dim", head_dim or d_model // num_heads)
    rotary_dim = None if rope.share in (None, 1.0) else int(head_dim * rope.share)
    if whole_heads and rotary_dim is not None:
        share = rotary_dim / head_dim
        raise ValueError(f"{fields.where}: partial_rotary_factor is {share:g}; a {whole_heads} turns whole heads")
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
        "rotary_dim": rotary_dim,
        "tied_embeddings": fields.take("tie_word_embeddings", bool, tied),
    }

"""Rotary positions in published configurations, in and out.

Both spellings are read: `rope_theta` beside `rope_scaling` (older files), and one `rope_parameters` (transformers 5).
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from causeway.engine import scalars
from causeway.engine.model.config import ModelConfig, RopeScaling
from causeway.ports.files.config_fields import Fields

ROPE_KINDS = ("default", "linear", "dynamic", "llama3", "yarn")


@dataclasses.dataclass(frozen=True)
class Rope:
    """Rotary positions as published.

    Attributes:
        theta: the base.
        scaling: how frequencies are stretched.
        share: the part of a head that turns, None where the file does not say.
    """

    theta: float
    scaling: RopeScaling
    share: float | None = None


def read_rope(fields: Fields, kinds: tuple[str, ...] = ROPE_KINDS) -> Rope:
    """Base, scaling and share from either spelling; when both are there they must agree.

    Args:
        kinds: the stretches that the family may have.

    Raises:
        ValueError: the spellings disagree, or ask for a kind that is not implemented.
    """
    new, old = fields.take("rope_parameters", dict, None), fields.take("rope_scaling", dict, None)
    theta, context = fields.take("rope_theta", float, None), fields.look("max_position_embeddings")
    readings = []
    if new is not None:
        readings.append(read_rope_object(f"{fields.where} rope_parameters", new, theta, context, kinds))
    if old is not None or new is None:
        inner = readings[0].theta if readings and theta is None else theta
        readings.append(read_rope_object(f"{fields.where} rope_scaling", old or {}, inner, context, kinds))
    if any(reading != readings[0] for reading in readings):
        raise ValueError(f"{fields.where}: rope_parameters {new} and rope_scaling {old} disagree; keep the right one")
    return readings[0]


def read_rope_object(
    where: str, values: Mapping[str, Any], outer_theta: float | None, context: Any, kinds: tuple[str, ...] = ROPE_KINDS
) -> Rope:
    """One object of rotary positions.

    Args:
        where: its place, for errors.
        values: the object.
        outer_theta: the base where it stands beside the object.
        context: tokens that the model takes, which some stretches go by.
        kinds: the stretches that the family may have.

    Raises:
        ValueError: two bases, a kind that is not implemented, or a field that is not known.
    """
    fields = Fields(where, values)
    theta = fields.take("rope_theta", float, outer_theta)
    if outer_theta is not None and theta != outer_theta:
        raise ValueError(f"{where}: rope_theta is {theta} here and {outer_theta} beside it; keep the right one")
    names = {fields.take(name, str, None) for name in ("rope_type", "type")} - {None}
    kind = names.pop() if names else "default"
    if names or kind not in kinds:
        raise ValueError(f"{where}: rope_type {[kind, *names]}; implemented are {', '.join(kinds)}")
    share = fields.take("partial_rotary_factor", float, None)
    scaling = _READERS[kind](fields, context)
    fields.done()
    return Rope(10000.0 if theta is None else theta, scaling, share)


def _read_default(fields: Fields, _: Any) -> RopeScaling:
    if fields.take("factor", float, 1.0) != 1.0:
        raise ValueError(f"{fields.where}: a factor without a rope_type; name the rope_type it belongs to")
    return RopeScaling()


def _read_linear(fields: Fields, _: Any) -> RopeScaling:
    return RopeScaling(kind="linear", factor=fields.take("factor", float))


def _read_dynamic(fields: Fields, _: Any) -> RopeScaling:
    """Frequencies change only beyond `max_position_embeddings`, and no longer prompts are run."""
    fields.take("factor", float)
    return RopeScaling()


def _read_llama3(fields: Fields, _: Any) -> RopeScaling:
    return RopeScaling(
        kind="llama3",
        factor=fields.take("factor", float),
        low_freq_factor=fields.take("low_freq_factor", float),
        high_freq_factor=fields.take("high_freq_factor", float),
        original_max_position=fields.positive("original_max_position_embeddings"),
    )


def _read_yarn(fields: Fields, context: Any) -> RopeScaling:
    factor = fields.take("factor", float)
    if factor <= 0:
        raise ValueError(f"{fields.where}: field factor is {factor}; needs a number above 0")
    scales = [fields.take(name, float, 0.0) for name in ("mscale", "mscale_all_dim")]
    per_scale = 0.1 * math.log(max(factor, 1.0))
    stretch = (1 + scales[0] * per_scale) / (1 + scales[1] * per_scale) if all(scales) else 1 + per_scale
    return RopeScaling(
        kind="yarn",
        factor=factor,
        low_freq_factor=fields.take("beta_slow", float, 1.0),
        high_freq_factor=fields.take("beta_fast", float, 32.0),
        original_max_position=fields.positive("original_max_position_embeddings", context),
        attention_factor=fields.take("attention_factor", float, stretch),
        whole_steps=fields.take("truncate", bool, True),
    )


def _read_longrope(fields: Fields, context: Any) -> RopeScaling:
    """The divisors of prompts of up to the original context; those of longer ones are another model's."""
    original = fields.positive("original_max_position_embeddings")
    fields.take("long_factor", list)
    factor = fields.take("factor", float, (context or original) / original)
    stretch = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 and original > 1 else 1.0
    return RopeScaling(
        kind="longrope",
        factor=factor,
        original_max_position=original,
        attention_factor=fields.take("attention_factor", float, stretch),
        divisors=tuple(
            scalars.real(v, f"{fields.where}: field short_factor") for v in fields.take("short_factor", list)
        ),
    )


_READERS: dict[str, Callable[[Fields, Any], RopeScaling]] = {
    "default": _read_default, "linear": _read_linear, "dynamic": _read_dynamic, "llama3": _read_llama3,
    "yarn": _read_yarn, "longrope": _read_longrope,
}  # fmt: skip


def rope_json(config: ModelConfig) -> dict[str, Any]:
    """`rope_parameters` as transformers 5 writes it."""
    scaling = config.rope_scaling
    if scaling.kind == "longrope":
        raise ValueError("rope_scaling: longrope cannot be written, for the divisors of long prompts are not kept")
    out: dict[str, Any] = {"rope_theta": config.rope_theta, "rope_type": scaling.kind}
    if scaling.kind != "default":
        out["factor"] = scaling.factor
    if scaling.kind == "llama3":
        out["low_freq_factor"] = scaling.low_freq_factor
        out["high_freq_factor"] = scaling.high_freq_factor
        out["original_max_position_embeddings"] = scaling.original_max_position
    if scaling.kind == "yarn":
        out |= {
            "beta_slow": scaling.low_freq_factor, "beta_fast": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_max_position,
            "attention_factor": scaling.attention_factor, "truncate": scaling.whole_steps,
        }  # fmt: skip
    return out

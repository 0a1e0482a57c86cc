"""`cw.pullback`: the gradient of a number with respect to the streams of a prompt's pass."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from causeway.engine import scalars
from causeway.engine.analyses.attribute.targets import Wanted, one_target, target_weights, unembedding_vector
from causeway.engine.calls.by_name import Tapped, tapped_places
from causeway.engine.frozen.gradients import Aim, gradients
from causeway.engine.intervention.sites import ONCE
from causeway.engine.intervention.tap_requests import Tap
from causeway.engine.model.handle import Model, Prompt, check_model

# Streams through which nothing passes where MLP outputs are constant.
_BLOCKED = ("mlp_norm", "mlp_in", "mlp_act", "mlp_raw")


@dataclasses.dataclass(frozen=True, eq=False)
class Cotangent:
    """The component of a stream along a vector, at one layer and token: a number to take the gradient of.

    Attributes:
        layer: of the model; negative ones count from the end.
        position: of the token; negative ones count from the end of the prompt.
        vector: of the stream's width.
        stream: where; see `Tap`.

    Raises:
        ValueError: numbers that are none.
    """

    layer: int
    position: int
    vector: np.ndarray
    stream: str = "resid_post"

    def __post_init__(self):
        for name in ("layer", "position"):
            value = scalars.integer(getattr(self, name), f"Cotangent.{name}", -scalars.INT32_MAX)
            object.__setattr__(self, name, value)
        scalars.text(self.stream, "Cotangent.stream")
        object.__setattr__(self, "vector", scalars.finite_array(self.vector, "Cotangent.vector"))


@dataclasses.dataclass(frozen=True)
class PullbackResult:
    """Gradients of one prompt: `grad["resid_post", 12]` is [T, D], `grad["resid_post"]` [P, T, D] of P layers.

    Attributes:
        tokens: ids that the prompt was run as.
        value: the number whose gradient it is.
        gradients: one array a site, [P, T, ...], in the order that sites were given in.
        tapped: the sites, by name.
    """

    tokens: tuple[int, ...]
    value: float
    gradients: tuple[np.ndarray, ...]
    tapped: Tapped = dataclasses.field(repr=False)

    def __getitem__(self, key: Any) -> np.ndarray:
        """The gradient at a site.

        Raises:
            ValueError: no site of the call.
        """
        number, layer = self.tapped.find(key)
        return self.gradients[number] if layer is None else self.gradients[number][layer]

    def __repr__(self) -> str:
        shapes = ", ".join(str(array.shape) for array in self.gradients)
        return f"PullbackResult({len(self.tokens)} tokens; value {self.value:.4g}; gradients {shapes})"


def pullback(
    model: Model,
    prompt: Prompt,
    target: Wanted | Cotangent,
    *,
    sites: Tap | str | Sequence[Tap | str] = "resid_post",
    frozen: bool = True,
) -> PullbackResult:
    """The gradient of a number with respect to streams.

    The number is a combination of logits at the last token (`logit_difference`, a `Target`; a single token's logit
    less the mean logit), or a component of a stream (`Cotangent`).

    Args:
        model: a loaded model.
        prompt: text or token ids.
        target: what is differentiated: a `Target`, a token as id or text, or a `Cotangent`.
        sites: names of streams, or raw taps, as for `run`.
        frozen: of the linear pass in which attention patterns, denominators of norms and what MLPs write are constants,
            which is that of attribution graphs (logits are then taken before a family's cap); False: of the model.

    Raises:
        ValueError: a target or site that cannot mean what it says; a site inside MLPs, where the frozen gradient is 0.
        NotFiniteError: the pass does not give numbers.
    """
    check_model(model)
    if not isinstance(frozen, bool):
        raise ValueError(f"frozen: got {scalars.shown(frozen)}; needs True or False")
    ids = model.tokens(prompt)
    bound, tapped = tapped_places(sites, None, model)
    specs = [tap.spec for tap in bound]
    for spec in specs:
        if spec.reader != "raw":
            raise ValueError(f"sites: {spec.stream} read by {spec.reader}; gradients are of streams, read raw")
        if frozen and spec.stream in _BLOCKED:
            raise ValueError(
                f"sites: {spec.stream} is inside MLPs, whose outputs are constants of the frozen pass; use "
                "frozen=False, or mlp_out"
            )
    aim = _aim_of(model, prompt, ids, target, frozen)
    streams = tuple(dict.fromkeys(spec.stream for spec in specs))
    found = gradients(model.transformer, ids, aim, streams, "frozen" if frozen else "full")
    slopes = found.gradients
    chosen = tuple(slopes[s.stream] if s.stream in ONCE else slopes[s.stream][list(s.layers)] for s in specs)
    return PullbackResult(tuple(ids), found.value, chosen, tapped)


def _aim_of(model: Model, prompt: Prompt, ids: list[int], target: Wanted | Cotangent, frozen: bool) -> Aim:
    if not isinstance(target, Cotangent):
        chosen = one_target(model, prompt, target)
        if frozen:
            return Aim(0, len(ids) - 1, jnp.asarray(unembedding_vector(model, chosen)), "final_norm")
        return Aim(0, len(ids) - 1, jnp.asarray(target_weights(model, chosen)), "logits")
    place = model.place(target.stream, "Cotangent.stream")
    layer = scalars.layer(target.layer, model.config.num_layers, "Cotangent.layer")
    if place.layer not in (None, layer):
        raise ValueError(f"Cotangent.layer: got {target.layer}, but {target.stream!r} is of layer {place.layer}")
    if place.stream == "attn_pattern":
        raise ValueError("Cotangent.stream: attn_pattern has no vector a token; use a stream that has")
    position = scalars.layer(target.position, len(ids), "Cotangent.position")
    width = model.config.vocab_size if place.stream == "logits" else model.config.width(place.stream)
    if target.vector.shape != (width,):
        raise ValueError(f"Cotangent.vector: got shape {target.vector.shape}; {place.stream} needs ({width},)")
    return Aim(0 if place.stream in ONCE else layer, position, jnp.asarray(target.vector), place.stream)

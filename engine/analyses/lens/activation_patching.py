"""`cw.activation_patching`: at which layers and tokens a corrupted prompt has to be mended for the clean answer.

The corrupted prompt is run once for every layer and token, with the stream there as it is in the clean prompt; what is
measured is a logit difference at the last token. All of it is one call of `effects` with an arm a place, each of which
runs from its own layer and token on: about a quarter of the L T passes.

Source: Meng et al. 2022 (causal tracing); Heimersheim & Nanda 2024, "How to use and interpret activation patching".
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from causeway.engine import scalars
from causeway.engine.analyses.attribute.targets import Wanted, one_target, target_weights
from causeway.engine.analyses.lens.effects import effects
from causeway.engine.calls.run import run
from causeway.engine.intervention.requests import AnyEdit, SwapEdit, UnitEdit
from causeway.engine.intervention.sites import EDITABLE
from causeway.engine.model.handle import Model, Prompt, check_model

HEADS = ("head_out", "query", "key", "value")


@dataclasses.dataclass(frozen=True)
class PatchingTable:
    """The target with each place patched; `cw.save_heat_map` draws it.

    Attributes:
        values: the target with the clean stream put at a layer and token [L, T]; of heads [L, T, H].
        clean: the target of the clean prompt.
        corrupted: of the corrupted prompt.
        layers: of the model.
        positions: of the tokens.
        tokens: texts of the clean prompt's tokens at these positions.
        corrupted_tokens: of the corrupted prompt's.
        stream: what was patched.
    """

    values: Float[np.ndarray, "L T *H"]
    clean: float
    corrupted: float
    layers: tuple[int, ...]
    positions: tuple[int, ...]
    tokens: tuple[str, ...]
    corrupted_tokens: tuple[str, ...]
    stream: str

    @property
    def recovered(self) -> Float[np.ndarray, "L T *H"]:
        """Share of the difference between both prompts that each patch brings back: 0 is corrupted, 1 clean."""
        return (self.values - self.corrupted) / (self.clean - self.corrupted)

    def __repr__(self) -> str:
        place = np.unravel_index(np.abs(self.values - self.corrupted).argmax(), self.values.shape)
        layer, position, *head = map(int, place)
        return (
            f"PatchingTable({self.stream} at {len(self.layers)} layers and {len(self.positions)} tokens; clean "
            f"{self.clean:.3f}, corrupted {self.corrupted:.3f}; most at layer {self.layers[layer]}, token "
            f"{self.positions[position]} {self.tokens[position]!r}"
            f"{f', head {head[0]}' if head else ''}: {self.values[place]:.3f})"
        )


def activation_patching(
    model: Model,
    clean: Prompt,
    corrupted: Prompt,
    target: Wanted,
    *,
    stream: str = "resid_post",
    layers: Sequence[int] | None = None,
    positions: Sequence[int] | None = None,
) -> PatchingTable:
    """Put the clean prompt's stream into the corrupted prompt, one layer and token at a time.

    Args:
        model: a loaded model.
        clean: text or token ids.
        corrupted: another prompt of as many tokens.
        target: what is measured at the last token: `logit_difference(...)`, another `Target`, or a token by id or text.
        stream: resid_pre, attn_out, resid_mid, mlp_out, resid_post or another stream that can be edited; or head_out,
            query, key or value, of which one head is put at a time.
        layers: default all.
        positions: default all.

    Raises:
        ValueError: prompts of unlike length, prompts that agree in the target, or a place that there is not.
    """
    check_model(model)
    ids, other = model.tokens(clean), model.tokens(corrupted)
    if len(ids) != len(other):
        raise ValueError(
            f"clean, corrupted: {len(ids)} and {len(other)} tokens; needs prompts of as many tokens "
            "(model.to_str_tokens shows them)"
        )
    name, at, places = _places(model, stream, layers, positions, len(ids))
    wanted = one_target(model, clean, target)
    weights, run_of = target_weights(model, wanted), run(model, [ids, other], taps=name, logits="last")
    whole, broken = (float(np.float64(logits) @ weights) for logits in run_of.logits)
    if whole == broken:
        raise ValueError(f"clean, corrupted: both have the target {whole:.4g}; needs prompts that differ in it")
    streams = run_of[name][0]
    arms = [_put(name, layer, token, head, streams) for layer in at for token in places for head in _heads(streams)]
    values = effects(model, [other], wanted, arms).values.reshape(len(at), len(places), *streams.shape[2:-1])
    mine, theirs = (tuple(model.to_str_tokens(tokens)[p] for p in places) for tokens in (ids, other))
    return PatchingTable(values, whole, broken, at, places, mine, theirs, name)


def _heads(streams: np.ndarray) -> range:
    """Numbers of the heads of a stream [L, T, H, K]; one of a stream without."""
    return range(streams.shape[2] if streams.ndim == 4 else 1)


def _put(stream: str, layer: int, token: int, head: int, streams: np.ndarray) -> AnyEdit:
    """The edit that puts what another run had at a place."""
    here = streams[layer, token]
    if streams.ndim == 4:
        return UnitEdit(layer, head, here[head], "set", token, stream)
    return SwapEdit(layer, here, token, stream)


def _places(
    model: Model, stream: str, layers: Sequence[int] | None, positions: Sequence[int] | None, length: int
) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """The stream's own name, layers and positions.

    Raises:
        ValueError: a stream that cannot be edited, or a layer or position that there is not.
    """
    place, count = model.place(stream, "stream"), model.config.num_layers
    if place.stream not in (allowed := (*EDITABLE, *HEADS)):
        raise ValueError(f"stream: got {scalars.shown(stream)}; needs one of {', '.join(allowed)}")
    if layers is None and place.layer is not None:
        layers = [place.layer]

    def chosen(given: Sequence[int] | None, size: int, what: str) -> tuple[int, ...]:
        if given is None:
            return tuple(range(size))
        listed = scalars.integers(given, what, -size, size - 1).ravel() % size
        if not listed.size or len(set(listed.tolist())) < listed.size:
            raise ValueError(f"{what}: got {scalars.shown(given)}; needs some of 0..{size - 1}, each once")
        return tuple(listed.tolist())

    return place.stream, chosen(layers, count, "layers"), chosen(positions, length, "positions")

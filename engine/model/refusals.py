"""Requests that cannot mean what they say, refused on the host before anything is compiled.

What would otherwise be ignored without a word (an edit inside the shared prefix), read from
the wrong place (a tapped layer that the model lacks) or fail deep inside a trace is an error here.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from causeway.engine.intervention.edits import Edit
from causeway.engine.intervention.sites import once
from causeway.engine.intervention.taps import BoundTap
from causeway.engine.model.config import ModelConfig


def check_taps(taps: tuple[BoundTap, ...], config: ModelConfig, unread: tuple[str, ...] = ()) -> None:
    """Refuse taps of layers and streams that the model lacks, and of streams that the pass does not form (`unread`).

    Raises:
        ValueError: naming the tap's stream or layer.
    """
    num_layers = config.num_layers
    for spec in (tap.spec for tap in taps):
        check_stream(spec.stream, config, "taps")
        if spec.stream in unread:
            raise ValueError(f"taps: {spec.stream} is not formed token by token; read it with `run`")
        if spec.stream == "logits" and spec.width > config.vocab_size:
            raise ValueError(f"taps: width {spec.width} is more than the {config.vocab_size} tokens that have a logit")
        place = once(spec.stream, num_layers)
        if place is not None and spec.layers != (place,):
            raise ValueError(f"taps: {spec.stream} comes once, at layer {place}; got layers {spec.layers}")
        if place is None and (bad := [n for n in spec.layers if not 0 <= n < num_layers]):
            raise ValueError(f"taps: layer {bad[0]} of {spec.stream} is outside the model's layers 0..{num_layers - 1}")


def formed_stream(stream: str, config: ModelConfig, where: str) -> str:
    """The stream's name in this decoder.

    Raises:
        ValueError: the decoder does not have it; naming the stream and what there is instead.
    """
    own = config.own_name(stream)
    check_stream(own, config, where)
    return own


def check_stream(stream: str, config: ModelConfig, where: str) -> None:
    """Refuse a stream that this decoder does not have under this name.

    Raises:
        ValueError: naming the stream and what there is instead.
    """
    if (own := config.own_name(stream)) != stream:
        raise ValueError(f"{where}: a {config.family} has no norm after its {own[:-4]}; {stream} is {own} there")
    if stream in config.unformed_streams:
        raise ValueError(
            f"{where}: a {config.family} has no {stream}, because its attention and MLP both read resid_pre; "
            "use resid_pre or resid_post"
        )


def check_generation(
    prompt: Sequence[int] | Int[np.ndarray, "*R S"], trials: Int[np.ndarray, " R"], edits: tuple[Edit, ...],
    forced: Int[np.ndarray, "R N"] | None, steps: int, max_position: int,
) -> None:  # fmt: skip
    """Refuse a generation whose parts do not fit each other or the model.

    Raises:
        ValueError: empty prompt or trials, more tokens than the context, or arrays of other numbers of rows or steps.
    """
    count, last = len(trials), np.shape(prompt)[-1] - 1
    if last < 0:
        raise ValueError("prompt: empty; give at least one token id")
    if last + steps > max_position:
        raise ValueError(
            f"max_new_tokens: {steps} after a prompt of {last + 1} tokens exceeds the context of {max_position}; "
            "draw fewer or shorten the prompt"
        )
    if not count:
        raise ValueError("trials: empty; give one trial number a row")
    for edit in edits:
        if len(edit.layer) != count:
            raise ValueError(f"trials: {count} rows, but edit.layer has {len(edit.layer)}")
    if forced is not None and np.shape(forced) != (count, steps):
        raise ValueError(f"forced: shape {np.shape(forced)}; needs {(count, steps)}, -1 where a token is drawn")


def check_first_edit(first_edit: int | None, first: int) -> None:
    """Refuse a shared prefix that an edit would act inside; `first` is the first position edited by these rows.

    Raises:
        ValueError: an edit starts before `first_edit`.
    """
    if first_edit is not None and first < first_edit:
        raise ValueError(
            f"first_edit: {first_edit}, but an edit starts at position {first}, inside the prefix that rows share; "
            "pass the plan's earliest edited position"
        )

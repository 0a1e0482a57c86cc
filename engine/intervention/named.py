"""Requests in a person's words made a model's own: names of places, layers counted from the end, one instead of a list.

What leaves here names streams as the engine does and layers from 0 on, and is of places that the model has.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import cast

from causeway.engine import scalars
from causeway.engine.intervention.hold import FURTHER, HOLDABLE, AnyHolds, Hold
from causeway.engine.intervention.requests import AnyEdit, FeatureEdit, PatternEdit
from causeway.engine.intervention.sites import once
from causeway.engine.intervention.tap_requests import Tap
from causeway.engine.model.handle import Model


def named_taps(taps: Tap | str | Iterable[Tap | str], model: Model) -> tuple[Tap, ...]:
    """Taps of a model; a text is a raw tap of the place it names.

    Raises:
        ValueError: something that is no tap, or a place that the model does not have.
    """
    listed = [taps] if isinstance(taps, Tap | str) else taps
    if not isinstance(listed, Iterable):
        raise ValueError(f"taps: got {scalars.shown(taps)}; needs a list of Tap or of names of streams")
    return tuple(_tap(tap, model) for tap in listed)


def _tap(tap: Tap | str, model: Model) -> Tap:
    if not isinstance(tap, Tap | str):
        raise ValueError(f"taps: got {scalars.shown(tap)}; needs Tap or the name of a stream")
    tap = Tap(tap) if isinstance(tap, str) else tap
    place = model.place(tap.stream, "Tap.stream")
    layers = cast(tuple[int, ...] | None, tap.layers)
    if place.layer is not None:
        given = None if layers is None else [scalars.layer(n, model.config.num_layers, "Tap.layers") for n in layers]
        if layers is not None and given != [place.layer]:
            raise ValueError(f"Tap.layers: got {list(layers)}, but {tap.stream!r} is of layer {place.layer}; name one")
        layers = (place.layer,)
    return dataclasses.replace(tap, stream=place.stream, layers=layers)


def named_edits(edits: Sequence[AnyEdit], model: Model) -> list[AnyEdit]:
    """A row of edits of a model.

    Raises:
        ValueError: something that is no edit, or a place that the model does not have.
    """
    return [_edit(edit, model) for edit in edits]


def _edit(edit: AnyEdit, model: Model) -> AnyEdit:
    if not isinstance(edit, AnyEdit):
        kinds = ", ".join(kind.__name__ for kind in AnyEdit.__args__)
        raise ValueError(f"edits: got {scalars.shown(edit)}; needs one of {kinds}")
    name, count = f"{type(edit).__name__}.layer", model.config.num_layers
    if isinstance(edit, FeatureEdit | PatternEdit):
        return dataclasses.replace(edit, layer=scalars.layer(edit.layer, count, name))
    place = model.place(edit.stream, f"{type(edit).__name__}.stream")
    single = once(place.stream, count)
    if single is not None:
        if edit.layer not in (-1, single):
            raise ValueError(f"{name}: got {edit.layer}, but {place.stream} comes once; give -1, or {single}")
        return dataclasses.replace(edit, layer=single, stream=place.stream)
    layer = scalars.layer(edit.layer, count, name)
    if place.layer not in (None, layer):
        raise ValueError(f"{name}: got {edit.layer}, but {edit.stream!r} is of layer {place.layer}; name one")
    return dataclasses.replace(edit, layer=layer, stream=place.stream)


def named_holds(holds: AnyHolds, model: Model) -> AnyHolds:
    """Holds of a model; what the engine names so itself stays as it is.

    Raises:
        ValueError: a place that the model does not have or that cannot be held.
    """
    if isinstance(holds, Sequence) and not isinstance(holds, str):
        return [_hold(hold, model) for hold in holds]
    return _hold(holds, model)


def _hold(hold: Hold | str, model: Model) -> Hold | str:
    name = hold.stream if isinstance(hold, Hold) else hold
    if not isinstance(name, str) or not FURTHER.match(name):
        return hold  # or nothing that can be held, which who reads it refuses
    if isinstance(hold, str) and name.partition(".")[0] in HOLDABLE:
        return hold
    place = model.place(name, "holds" if isinstance(hold, str) else "Hold.stream")
    layers = None if isinstance(hold, str) else cast(tuple[int, ...] | None, hold.layers)
    if place.layer is not None and layers not in (None, (place.layer,)):
        raise ValueError(f"Hold.layers: got {list(layers or ())}, but {name!r} is of layer {place.layer}; name one")
    return Hold(place.stream, layers if place.layer is None else place.layer)

"""What taps read, found by the name of the place: `out["resid_post", 12]`.

A name is a stream of the engine's, with its layer or without, or the place's name in another library; a layer (negative
ones count from the end) and the tap's reader may follow it:

    out["resid_post"]               all tapped layers
    out["resid_post", 12]           one of them
    out["blocks.12.hook_resid_post"], out["model.layers.12"]
    out["resid_post", 12, "top_k"]  where one place has taps with several readers
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from causeway.engine import scalars
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.named import named_taps
from causeway.engine.intervention.sites import ONCE, Place
from causeway.engine.intervention.taps import READERS, BoundTap, TapSpec
from causeway.engine.model.handle import Model


@dataclasses.dataclass(frozen=True)
class Tapped:
    """The taps of a call.

    Attributes:
        specs: in the order that they were given in.
        place: reads the name of a place (`Model.place`).
        num_layers: of the model.
    """

    specs: tuple[TapSpec, ...]
    place: Callable[[str, str], Place]
    num_layers: int

    def find(self, key: Any) -> tuple[int, int | None]:
        """The number of a tap, and where in its axis of layers the one layer asked for is; None: all of them.

        Raises:
            ValueError: not a name of a place, nothing tapped there, or several taps that it could be.
        """
        name, layer, reader = self._read(key)
        found = [
            number
            for number, spec in enumerate(self.specs)
            if spec.stream == name and layer in (None, *spec.layers) and reader in (None, spec.reader)
        ]
        if not found:
            raise ValueError(f"{_shown(key)}: nothing was tapped there; tapped: {self._listed(self.specs)}")
        # Streams read twice are the same stream; what other readers made of it may differ.
        same = layer is not None and all(self.specs[number].reader == "raw" for number in found)
        if len(found) > 1 and not same:
            taps = self._listed(tuple(self.specs[number] for number in found))
            raise ValueError(f"{_shown(key)}: {taps} are meant alike; name the layer and the reader, or use records")
        spec = self.specs[found[0]]
        if layer is None:
            return found[0], 0 if spec.stream in ONCE else None
        return found[0], spec.layers.index(layer)

    def _read(self, key: Any) -> tuple[str, int | None, str | None]:
        """Stream, layer and reader of a key."""
        name, *further = key if isinstance(key, tuple) and key else (key,)
        readers = [part for part in further if isinstance(part, str)]
        layers = [part for part in further if not isinstance(part, str)]
        if len(readers) > 1 or len(layers) > 1 or any(reader not in READERS for reader in readers):
            raise ValueError(f"{_shown(key)}: needs STREAM, perhaps a layer, perhaps a reader ({', '.join(READERS)})")
        place = self.place(name, "site")
        layer = place.layer
        if layers and place.stream not in ONCE:
            given = scalars.layer(layers[0], self.num_layers, f"{_shown(key)}: layer")
            if layer not in (None, given):
                raise ValueError(f"{_shown(key)}: {name!r} is of layer {layer}; name one")
            layer = given
        return place.stream, layer, readers[0] if readers else None

    def _listed(self, specs: tuple[TapSpec, ...]) -> str:
        return "; ".join(f"{spec.stream} ({spec.reader}) of {_layers(spec)}" for spec in specs) or "nothing"


def tapped_places(taps: Any, dictionary: InMemory | None, model: Model) -> tuple[tuple[BoundTap, ...], Tapped]:
    """The taps of a call as a pass carries them, and by name.

    Raises:
        ValueError: see `named_taps` and `Tap.bind`.
    """
    bound = tuple(tap.bind(dictionary, model.config.num_layers) for tap in named_taps(taps, model))
    return bound, Tapped(tuple(tap.spec for tap in bound), model.place, model.config.num_layers)


def _layers(spec: TapSpec) -> str:
    if spec.stream in ONCE:
        return "the embedding" if spec.stream == "embed" else "the top"
    return f"layer{'s' * (len(spec.layers) > 1)} {', '.join(map(str, spec.layers))}"


def _shown(key: Any) -> str:
    inside = ", ".join(map(scalars.shown, key)) if isinstance(key, tuple) else scalars.shown(key)
    return f"[{inside}]"

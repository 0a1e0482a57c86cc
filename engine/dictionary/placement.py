"""Where the dictionaries of several layers live: whole on the devices, split by features, or streamed layer by layer.

    Replicated   one stack, whole on the default device or on every device of a mesh
    Sharded      one stack, its features split over the axis `model` of a mesh
    Streamed     at most k layers at a time on the devices; the others stay on disk or in host memory, and the next one
                 is fetched by a second thread while the present one computes

Cost of streaming: device memory of k layers (of which one may be on its way); every pass over the layers reads them
again, from the files or from host memory.
"""

import copy
import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ClassVar, Literal

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding
from jaxtyping import Array, Float, Int

from causeway.engine import scalars
from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.dictionary.dictionary import Dictionary, stack
from causeway.engine.mesh import checked_mesh, split


@dataclasses.dataclass(frozen=True)
class Replicated:
    """Whole on every device of a mesh; on the default device without one."""

    mesh: Mesh | None = None

    def sharding(self, shape: tuple[int, ...], feature_axis: int | None) -> Sharding | None:
        """Of an array of that shape, whose features are counted by that axis."""
        return None if self.mesh is None else NamedSharding(checked_mesh(self.mesh, "placement"), PartitionSpec())


@dataclasses.dataclass(frozen=True)
class Sharded:
    """Features split over the axis `model` of a mesh (`engine.mesh`)."""

    mesh: Mesh

    def sharding(self, shape: tuple[int, ...], feature_axis: int | None) -> Sharding:
        """Of an array of that shape, whose features are counted by that axis.

        Raises:
            ValueError: the mesh has other axes, axes that are not Auto, or does not divide the features.
        """
        mesh = checked_mesh(self.mesh, "placement")
        return split(mesh, shape, feature_axis, "features", "the dictionaries")


@dataclasses.dataclass(frozen=True)
class Streamed:
    """Layer by layer.

    Attributes:
        resident: k, layers on the devices at once; from 2 on the next one is fetched ahead.
        keep: where the others are: "disk" (read from the files each time) or "host" (read once).
        each: how a resident layer is placed.
    """

    resident: int = 2
    keep: Literal["disk", "host"] = "disk"
    each: Replicated | Sharded = Replicated()

    def __post_init__(self):
        scalars.integer(self.resident, "Streamed.resident", 1)
        if self.keep not in ("disk", "host"):
            raise ValueError(f"Streamed.keep: got {self.keep!r}; needs disk or host")
        if not isinstance(self.each, Replicated | Sharded):
            raise ValueError(f"Streamed.each: got {scalars.shown(self.each)}; needs Replicated() or Sharded()")


Placement = Replicated | Sharded | Streamed


class StreamedDictionaries:
    """Dictionaries of several layers, at most k of them on the devices.

    It has the face of a stack: what a stack does at once is done layer by layer here, and nothing of it inside a
    compiled program (`resident` is what one takes).

    Attributes:
        configs: of each layer, without its arrays, in order.
        crosses: whether features write to layers above their own.
    """

    crosses: ClassVar[bool] = False

    def __init__(self, configs: Sequence[DictionaryConfig], load: Callable[[int], Dictionary], resident: int):
        """Fetch nothing yet.

        Args:
            configs: one a layer, each naming its layer.
            load: the (unstacked) dictionary of a layer, placed; called by a second thread.
            resident: k.
        """
        self.configs = tuple(configs)
        self._load, self._resident = load, resident
        self._config: DictionaryConfig | None = None
        self._kept: OrderedDict[int, Future[Dictionary]] = OrderedDict()
        self._lock = threading.Lock()
        # One thread: layers come from one disk, and a layer that is on its way counts as resident.
        self._fetcher = ThreadPoolExecutor(1, thread_name_prefix="dictionaries")

    def __repr__(self) -> str:
        layers = ", ".join(map(str, self.layers))
        return f"StreamedDictionaries({self.configs[0].kind}, layers {layers}; {self._resident} at a time)"

    @property
    def layers(self) -> tuple[int, ...]:
        """Model layers, in order."""
        return tuple(config.layers[0] for config in self.configs)

    @property
    def config(self) -> DictionaryConfig:
        """Of all layers, as a stack of them has it.

        Raises:
            ValueError: the layers differ in more than their number.
        """
        if self._config is None:
            first, *others = (dataclasses.replace(config, layers=()) for config in self.configs)
            if differing := [layer for layer, other in zip(self.layers[1:], others, strict=True) if other != first]:
                raise ValueError(
                    f"dictionaries of layers {self.layers[0]} and {differing[0]} differ in kind or streams; stream "
                    "only like with like"
                )
            self._config = dataclasses.replace(first, layers=self.layers)
        return self._config

    def with_config(self, config: DictionaryConfig) -> "StreamedDictionaries":
        """The same dictionaries, of which the same layers are resident, under another configuration."""
        renamed = copy.copy(self)
        renamed._config = config
        return renamed

    @property
    def num_features(self) -> int:
        """F, of each layer; the lowest layer is read for it."""
        return self.layer(self.layers[0]).num_features

    @property
    def d_in(self) -> int:
        """D; the lowest layer is read for it."""
        return self.layer(self.layers[0]).d_in

    @property
    def d_out(self) -> int:
        """O; the lowest layer is read for it."""
        return self.layer(self.layers[0]).d_out

    def resident(self, layer: int) -> tuple[Dictionary, int]:
        """What to hand to a compiled program that reads one layer, and the layer's number there.

        Every layer is handed over as layer 0 of one kind, so one program reads them all.
        """
        return self.layer(layer).with_config(dataclasses.replace(self.config, layers=(0,))), 0

    def stack_of(self, *layers: int) -> Dictionary:
        """A stack in memory of some layers alone. A program that takes it serves no other layers.

        Raises:
            ValueError: no dictionary belongs to a layer.
        """
        return stack([self.layer(layer) for layer in layers]).with_config(
            dataclasses.replace(self.config, layers=layers)
        )

    def arrays_at(self, layer: int) -> dict[str, Array]:
        """The arrays of a model layer by name."""
        return self.layer(layer).arrays_at(layer)

    def targets(self, layer: int) -> tuple[int, ...]:
        """The layers that features of a layer write to: their own."""
        return (layer,)

    def encode_at(self, layer: int, x: Float[Array, "*rows D"]) -> Float[Array, "*rows F"]:
        """All feature values of a model layer, in x's dtype."""
        return self.layer(layer).encode(x)

    def strongest_at(
        self, layer: int, x: Float[Array, "*rows D"], k: int
    ) -> tuple[Float[Array, "*rows k"], Int[Array, "*rows k"]]:
        """Values and ids of the k strongest features of a model layer, largest value first."""
        return self.layer(layer).strongest_at(layer, x, k)

    def layer(self, layer: int) -> Dictionary:
        """The dictionary of a model layer, unstacked; the one after it is fetched meanwhile.

        A caller that keeps a dictionary keeps its memory too.

        Raises:
            ValueError: no dictionary belongs to the layer, or its files are damaged.
        """
        if layer not in self.layers:
            raise ValueError(f"layer {layer} has no dictionary; the dictionaries streamed are for layers {self.layers}")
        with self._lock:
            wanted = self._ask(layer)
        dictionary = wanted.result()
        following = self.layers[self.layers.index(layer) + 1 :]
        if self._resident > 1 and following:
            with self._lock:
                self._ask(following[0])
        return dictionary

    def __iter__(self) -> Iterator[tuple[int, Dictionary]]:
        """(layer, dictionary), lowest layer first."""
        return ((layer, self.layer(layer)) for layer in self.layers)

    def __len__(self) -> int:
        """How many layers."""
        return len(self.configs)

    def _ask(self, layer: int) -> "Future[Dictionary]":
        """The layer's future, after room was made for it; what was asked for longest ago is let go."""
        kept = self._kept.pop(layer, None)
        if kept is None or (kept.done() and kept.exception() is not None):
            while len(self._kept) >= self._resident:
                self._kept.popitem(last=False)[1].cancel()
            kept = self._fetcher.submit(self._fetch, layer)
        self._kept[layer] = kept
        return kept

    def _fetch(self, layer: int) -> Dictionary:
        return jax.block_until_ready(self._load(layer))


InMemory = Dictionary | CrossLayerTranscoder
Holder = InMemory | StreamedDictionaries

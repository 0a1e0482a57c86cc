"""Where dictionaries go when nobody says it: whole on each device if they fit, else streamed layer by layer.

    whole      dictionaries + what is there already <= (1 - PROGRAMS) of the memory there is
    split      a mesh with an axis `model` splits features, and each device holds its part of the whole
    streamed   as whole, with `RESIDENT` layers in place of all

What is there already are the model's weights; on a host all that the process holds, whose devices share it as they do
the memory. What programs take besides is known only once they are compiled, which takes the dictionaries, so a share is
kept for them; `--plan` tells what they take. Whole and streamed give the same bits, so the choice is no part of a plan.
"""

import dataclasses
from collections.abc import Callable

from jax.sharding import Mesh

from causeway.engine import memory
from causeway.engine.dictionary.placement import Placement, Replicated, Sharded, Streamed
from causeway.engine.mesh import MODEL

# Share of the memory that is kept for programs; layers of streamed dictionaries that are there at once.
PROGRAMS, RESIDENT = 0.2, 2


@dataclasses.dataclass(frozen=True)
class Auto:
    """To be chosen once the shapes of the files are known.

    Attributes:
        mesh: the devices; None for the default one. told: hears of the choice, and whether it is streamed.
    """

    mesh: Mesh | None = None
    told: Callable[[str, bool], None] = lambda text, streamed: None

    def chosen(self, dictionaries: int, layers: int, weights: int, streamable: bool) -> Placement:
        """The placement.

        Args:
            dictionaries: bytes of all of them. layers: how many. weights: bytes of the model's on each device.
            streamable: whether the layers may be apart.

        Raises:
            ValueError: neither way do they fit; with the numbers, and what would.
        """
        parts = 1 if self.mesh is None else self.mesh.shape[MODEL]
        devices = 1 if self.mesh is None else len(self.mesh.local_devices)
        beside = max(weights, memory.resident_bytes() // devices) if memory.in_host_memory() else weights
        there, whole = memory.memory_each_bytes(devices), -(-dictionaries // parts)
        room = round((1 - PROGRAMS) * there) - beside
        each = Replicated() if self.mesh is None else Sharded(self.mesh)
        how = "whole" if parts == 1 else f"split in {parts}"
        sizes = f"{whole / 1e9:.3g} GB beside {beside / 1e9:.3g} GB, of {there / 1e9:.3g} GB"
        if whole <= room:
            self.told(f"dictionaries: {how} on each device ({sizes})", False)
            return each
        if not streamable or whole * RESIDENT / layers > room:
            split = "" if memory.in_host_memory() else ", or more parts (--mesh=model:2)"
            raise ValueError(
                f"dictionaries: {sizes} on each device, a fifth of which is for programs; they do not fit "
                f"{'streamed either' if streamable else 'and cannot be streamed'}; what would: fewer --layers, weights "
                f"and dictionaries in fewer bits (--storage){split}"
            )
        self.told(f"dictionaries: streamed, {RESIDENT} layers at a time ({sizes} if they were {how})", True)
        return Streamed(RESIDENT, "disk", each)

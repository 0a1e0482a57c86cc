"""Flags of second-order effects as the original's .npy files: their size is told, and refused where it has no room."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from causeway.drivers.flags import neuron_flags
from causeway.drivers.flags.flag_values import folder, named, no_effect
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.analyses.components.code_sweep import CodeSweep, StoredCodes
    from causeway.engine.analyses.components.components import LayerComponents
    from causeway.engine.directions import Directions

FLAGS = take("export_npy directions")


@dataclasses.dataclass(frozen=True)
class Export:
    """Where effects are written.

    Attributes:
        out: the folder. sweep: whose effects. directions: whose first is written too.
    """

    out: Path
    sweep: CodeSweep
    directions: Directions | None

    def write(self, codes: StoredCodes, found: LayerComponents, k: int) -> None:
        """The files of one layer."""
        from causeway.engine.analyses.components.components import explicit_effects
        from causeway.engine.sweep.checksums import written_alone
        from causeway.ports.results import component_export as files

        layer, name, out = found.components.layer, files.export_name(self.sweep.model.name), self.out
        shape = (len(self.sweep.prompts), *found.components.mean.shape)
        about = {"neurons": found.components.neuron.tolist(), "prompts": [one.name for one in self.sweep.prompts]}
        with written_alone(out, files.files(name, layer, k)):
            parts = explicit_effects(self.sweep, codes, layer)
            files.write_effects(out / files.effects_file(name, layer), shape, parts)
            files.write_directions_of(out, name, layer, found.published, found.largest)
            if self.directions is not None:
                files.write_array(out / f"{name}_correctness_direction.npy", self.directions.vectors[0])
            files.write_export(out, name, layer, about)


def check() -> None:
    """Refuse a direction that nothing is written of."""
    if not FLAGS.export_npy:
        no_effect("without --export_npy", "directions")


def prepare(sweep: CodeSweep, limits: Sequence[float]) -> Export | None:
    """--export_npy, known to have room for the effects; None where nothing is exported.

    Args:
        limits: shares of the disk to warn at and to stop at.

    Raises:
        ValueError: no room below them, or a direction of another model.
    """
    if not FLAGS.export_npy:
        return None
    from causeway.engine.sweep.guard import DiskGuard
    from causeway.ports.results.component_export import export_bytes

    out, own = folder("export_npy"), sweep.neurons
    counts = [len(own.of(layer)) for layer in own.layers]
    size = export_bytes(len(sweep.prompts), counts, sweep.model.config.d_model)
    print(f"effects of {sum(counts):,} neurons on {len(sweep.prompts):,} prompts take {size / 1e6:,.1f} MB as .npy")
    with named("export_npy"):
        DiskGuard(out, limits[0], limits[1]).require(size + sweep.expected_bytes, "second-order effects as .npy")
    return Export(out, sweep, neuron_flags.directions(FLAGS.directions, sweep.model) if FLAGS.directions else None)

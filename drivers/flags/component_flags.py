"""Flags of commands that go on from a `components` run: its folder, and the prompts that it was run on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from causeway.drivers.flags import model_flags, prompt_records
from causeway.drivers.flags.flag_values import folder, given, named, no_effect
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pyarrow as pa

    from causeway.engine.analyses.components.code_sweep import CodeSweep, StoredCodes
    from causeway.engine.components import Components
    from causeway.engine.frozen.batches import ReadPrompt
    from causeway.engine.model.handle import Model
    from causeway.engine.prompt_record import PromptRecord

FLAGS = take("components decompositions behaviours splits")


class Made(NamedTuple):
    """What a run says: how it was made, its components layer by layer, and its table of neurons."""

    made: dict[str, Any]
    components: Sequence[Components]
    table: pa.Table


class Swept(NamedTuple):
    """Its codes, which prompts chose, and the prompts, each with the token that it is read at."""

    sweep: CodeSweep
    codes: StoredCodes
    chosen: np.ndarray
    reads: list[tuple[ReadPrompt, PromptRecord]]


def checked_folder() -> Path:
    """--out, after the checks that need no model.

    Raises:
        ValueError: no --components, flags that would do nothing, or a folder that cannot be written.
    """
    given("components", "the folder that `components` wrote")
    out = folder("out")
    no_effect("where neurons are those of --components", "dictionaries", "gating", "layers")
    return out


def read() -> Made:
    """The run of --components, before a model is loaded.

    Raises:
        FileNotFoundError, ValueError: there is none, or a damaged one.
    """
    from causeway.ports.results import component_files

    with named("components"):
        made, found = component_files.read_made(FLAGS.components), component_files.read_components(FLAGS.components)
        return Made(made, found, component_files.read_table(FLAGS.components))


def swept(model: Model, records: list[PromptRecord], run: Made) -> Swept:
    """The codes of a run, known to be of the model and of these prompts, and finished.

    Raises:
        ValueError: another model's, of other prompts, or not finished.
    """
    import numpy as np

    from causeway.engine.analyses.components.code_sweep import CodeSweep, StoredCodes, check_finished, neurons_of
    from causeway.engine.analyses.components.request import read_prompt

    for components in run.components:
        components.check_of_model(model)
    position = run.made["position"]
    reads = prompt_records.usable(records, lambda record: (read_prompt(model, record, position), record), "read")
    own = tuple(read for read, _ in reads)
    sweep = CodeSweep(model, own, neurons_of(run.components), parallel=model_flags.parallel())
    with named("components"):
        check_finished(sweep, Path(FLAGS.components))
    chosen = ~np.isin(np.arange(len(reads)), run.made["chosen"]["held_out"])
    return Swept(sweep, StoredCodes(sweep, Path(FLAGS.components)), chosen, reads)

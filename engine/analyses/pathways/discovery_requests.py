"""Discoveries as they are asked for: the strongest sources of target features, or the effects of given pairs.

What is asked is checked and put under the model's names here; `discovery` has the computation and its cost.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.pathways.changes import Change, PlannedValues
from causeway.engine.analyses.pathways.discovery import Discovery
from causeway.engine.analyses.pathways.programs import DERIVATIVES, Derivative, Reading
from causeway.engine.analyses.pathways.prompts import PlacedPrompt, placed_prompts
from causeway.engine.analyses.pathways.readings import BYS, REDUCTIONS, By, Reduce
from causeway.engine.analyses.pathways.sources import Pairs
from causeway.engine.analyses.pathways.targets import Features, Ids
from causeway.engine.analyses.represent.request import prompt_record
from causeway.engine.devices import RowParallel
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.dictionary.fit import fitted
from causeway.engine.model.handle import Model, Prompt, check_model
from causeway.engine.prompt_record import PromptRecord

# All tokens but the first, an attention sink.
SCOPE = "positions:1:"


def discovery(
    model: Model,
    dictionary: Dictionary,
    prompts: Sequence[Prompt | PromptRecord],
    targets: tuple[Ids, Ids],
    *,
    derivative: Derivative = "total",
    change: Change = "activation",
    reduce: Reduce = "each",
    top: int = 25,
    by: By = "effect",
    stratum: int = 0,
    seed: int = 0,
    position: str = "last",
    scope: str = SCOPE,
    rows: int | None = None,
    parallel: RowParallel | None = None,
) -> Discovery:
    """The strongest sources of target features, as a job that lasts (`Discovery.table` runs it).

    Args:
        model: a loaded model.
        dictionary: SAEs or transcoders in memory, of two layers or more.
        prompts: texts, token ids or records.
        targets: layers and features.
        derivative: of the model itself (`total`) or of its frozen pass (`direct`).
        change: of each source: its `activation`, or the values that features are planned to have, [L, F] with NaN
            where none is, or a table of layer, feature and value.
        reduce: sources are features at a position (`each`), or features, effects summed over the scope (`sum`).
        top: sources kept of each target and lower layer; ties go to the lower feature, then to the earlier position.
            Effects of 0 are left out.
        by: those of the largest `effect`, or of the largest `gradient`, in size.
        stratum: active sources drawn of each prompt and layer, the same for all targets, kept whatever their effect.
        seed: of the draw.
        position: of the targets, a place of one token of each prompt.
        scope: positions whose features are sources, as an edit's; by default all but the first, an attention sink.
        rows: targets pulled back together; None: as many as suit the device.
        parallel: devices to spread targets over (default: those of the weights).

    Raises:
        ValueError: features, prompts or places that there are not, or settings that say nothing.
    """
    dictionary = _checked(model, dictionary)
    if reduce not in REDUCTIONS:
        raise ValueError(f"reduce: got {scalars.shown(reduce)}; needs one of {', '.join(REDUCTIONS)}")
    if by not in BYS:
        raise ValueError(f"by: got {scalars.shown(by)}; needs one of {', '.join(BYS)}")
    reading = Reading(_derivative(derivative), reduce, scalars.integer(top, "top", 1), by)
    return Discovery(
        model, dictionary, _placed(model, prompts, position, scope), Features.of(dictionary, *targets, "targets"),
        reading, PlannedValues.of(dictionary, change, model.config.num_layers), scalars.integer(stratum, "stratum"),
        scalars.seed(seed), None, None if rows is None else scalars.integer(rows, "rows", 1), parallel,
    )  # fmt: skip


def discover(*request: Any, workdir: Path | None = None, **settings: Any) -> pa.Table:
    """The table of `discovery` (see there): a row for each source of each target and prompt (`candidates`).

    Args:
        workdir: where it is kept, and where the same call goes on; None keeps nothing.

    Raises:
        ValueError: see `discovery`; or the workdir is of another plan.
        NotFiniteError: an effect is not a number.
        Stopped: by a signal or a full disk; what is finished is kept.
    """
    return discovery(*request, **settings).table(workdir)


def effects(
    model: Model,
    dictionary: Dictionary,
    prompts: Sequence[Prompt | PromptRecord],
    sources: tuple[Ids, Ids],
    targets: tuple[Ids, Ids],
    *,
    positions: Ids | None = None,
    derivative: Derivative = "total",
    change: Change = "activation",
    position: str = "last",
    scope: str = SCOPE,
    rows: int | None = None,
    parallel: RowParallel | None = None,
) -> Discovery:
    """The effects of given sources on given targets, pair by pair, as a job that lasts.

    Args:
        sources, targets: layers and features of N pairs; a pair given twice is read once.
        positions: of the sources, [N], -1 for a sum over the scope; None: all summed.
        model, dictionary, prompts, derivative, change, position, scope, rows, parallel: see `discovery`.

    Raises:
        ValueError: see `discovery`; or a source that is not of a lower layer than its target, or has no planned value.
    """
    dictionary = _checked(model, dictionary)
    pairs = Pairs.of(dictionary, sources, targets, positions)
    values = PlannedValues.of(dictionary, change, model.config.num_layers)
    pairs.check_planned(dictionary.config.layers, values)
    return Discovery(
        model, dictionary, _placed(model, prompts, position, scope), pairs.targets,
        Reading(_derivative(derivative), "sum", 0), values, pairs=pairs,
        rows=None if rows is None else scalars.integer(rows, "rows", 1), parallel=parallel,
    )  # fmt: skip


def effects_of(*request: Any, workdir: Path | None = None, **settings: Any) -> pa.Table:
    """The table of `effects` (see there): a row for each pair and prompt, of the stratum `asked`, in the order of
    targets and sources.

    Args:
        workdir: as in `discover`.

    Raises:
        ValueError, NotFiniteError, Stopped: see `effects` and `discover`.
    """
    return effects(*request, **settings).table(workdir)


def _checked(model: Model, dictionary: Dictionary) -> Dictionary:
    """The dictionaries under the model's names."""
    check_model(model)
    if not isinstance(dictionary, Dictionary):
        raise ValueError(
            f"dictionary: got {type(dictionary).__name__}; needs dictionaries in memory whose features write to "
            "their own layer"
        )
    dictionary = fitted(dictionary, model.config, model.name)
    if len(dictionary.config.layers) < 2:
        raise ValueError(f"dictionary: of layer {dictionary.config.layers[0]} alone; needs two layers or more")
    return dictionary


def _derivative(derivative: Derivative) -> Derivative:
    if derivative not in DERIVATIVES:
        raise ValueError(f"derivative: got {scalars.shown(derivative)}; needs one of {', '.join(DERIVATIVES)}")
    return derivative


def _placed(
    model: Model, prompts: Sequence[Prompt | PromptRecord], position: str, scope: str
) -> tuple[PlacedPrompt, ...]:
    if isinstance(prompts, str | bytes | Mapping) or not isinstance(prompts, Sequence):
        raise ValueError(f"prompts: got {scalars.shown(prompts)}; needs a list of texts, token ids or records")
    return placed_prompts(model, [prompt_record(i, p) for i, p in enumerate(prompts)], position, scope)

"""Which features drive which: gradients propose, setting the source decides.

    halves      prompts are split by a hash of their ids: the one discovers and selects, the other estimates
    discovery   the effects of the features of every lower layer on each target (`discovery`)
    selection   the strongest of each target, and some that were rejected (`selection`)
    replay      every source set, every target of it read, and random features of equal push (`replay`)
    estimates   prediction against measurement (`calibration`), what is validated (`estimates`)
    chains      chosen by discovery, of validated pairs, by measured mediation (`chains`)

Sources are set to 0, or to a planned value that a table gives them; then only features that have one are sources. With
`derivative` total, gradients are those of the model and it is measured live; with direct, both are with attention
patterns, norms and MLP outputs as they were. The two are never mixed.

Shapes: K pairs, P prompts of the estimation half, T targets. Cost: that of its three jobs, each resumable.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from causeway.engine.analyses.pathways.calibration import calibration
from causeway.engine.analyses.pathways.chains import Chain, chains_of, with_all_pairs
from causeway.engine.analyses.pathways.discovery_requests import SCOPE, discovery, effects
from causeway.engine.analyses.pathways.estimates import Rule, estimate, pair_table
from causeway.engine.analyses.pathways.mediation import MOST_INNER, Mediation, chain_table, mediated
from causeway.engine.analyses.pathways.passes import Derivative, Nodes
from causeway.engine.analyses.pathways.prompts import PlacedPrompt, placed_prompts
from causeway.engine.analyses.pathways.replay import Measured, Replay, measured
from causeway.engine.analyses.pathways.selection import KEYS, Choice, SelectedPairs, ranked_by, select, summed
from causeway.engine.devices import RowParallel
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.model.handle import Model
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.stats.conformal import fewest_draws
from causeway.engine.stats.splits import selection_half
from causeway.engine.sweep.job import Job, all_tables


@dataclasses.dataclass(frozen=True)
class Settings:
    """How pathways are found.

    Attributes:
        derivative: of discovery, and the counterpart that is measured. position: of the targets. scope: tokens at which
            sources are read and set, up to the target's. per_layer: candidates of each target and lower layer.
        stratum: further ones drawn of each. choice: what is measured. rule: what is validated. draws: random
            features of each source. longest: pairs of a chain. chains: how many are chosen, at most. seed: of
            draws and splits.
    """

    derivative: Derivative = "total"
    position: str = "last"
    scope: str = SCOPE
    per_layer: int = 25
    stratum: int = 5
    choice: Choice = dataclasses.field(default_factory=Choice)
    rule: Rule = dataclasses.field(default_factory=Rule)
    draws: int = 19
    longest: int = 3
    chains: int = 200
    seed: int = 0

    def __post_init__(self):
        if not 2 <= self.longest <= MOST_INNER + 1:
            raise ValueError(f"longest_chain: got {self.longest}; needs a number of pairs from 2 to {MOST_INNER + 1}")
        if 0 < self.draws < (needed := fewest_draws(self.rule.alpha)):
            raise ValueError(
                f"random_draws: got {self.draws}; a band that {self.rule.alpha:g} of random features leave takes "
                f"{needed}; use as many, or 0 for none (nothing is validated then)"
            )


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is asked.

    Attributes:
        model, dictionary: loaded. choosing, estimating: prompts of the two halves. targets: features, each once.
        values: a table of layer, feature, value, the features that are sources and what they are set to; None: all, 0.
    """

    model: Model
    dictionary: Dictionary
    choosing: tuple[PromptRecord, ...]
    estimating: tuple[PromptRecord, ...]
    targets: Nodes
    values: pa.Table | None
    settings: Settings
    parallel: RowParallel | None = None

    @property
    def gradients(self) -> dict[str, Any]:
        """What discovery and predictions share."""
        own = self.settings
        return {
            "derivative": own.derivative, "change": "activation" if self.values is None else self.values,
            "position": own.position, "scope": own.scope, "parallel": self.parallel,
        }  # fmt: skip

    def placed(self, records: Sequence[PromptRecord]) -> tuple[PlacedPrompt, ...]:
        """Prompts of a half, cut at their targets."""
        return placed_prompts(self.model, records, self.settings.position, self.settings.scope)


@dataclasses.dataclass(frozen=True)
class Pathways:
    """What was found.

    Attributes:
        pathways: a row a measured pair. chains: a row a chain of validated pairs. summary: JSON-able.
        parts: gives the tables of discovery, one after another.
    """

    pathways: pa.Table
    chains: pa.Table
    summary: dict[str, Any]
    parts: Callable[[], Iterator[pa.Table]] = dataclasses.field(repr=False)

    @property
    def candidates(self) -> pa.Table:
        """What discovery found: a row a source of a target on a prompt."""
        return pa.concat_tables(self.parts(), promote_options="default")


def halves(records: Sequence[PromptRecord], seed: int) -> tuple[tuple[PromptRecord, ...], tuple[PromptRecord, ...]]:
    """Prompts that choose and prompts that estimate, by a hash of their ids within each group, in the ids' order.

    Raises:
        ValueError: an id twice, or fewer than two prompts.
    """
    if len(records) < 2:
        raise ValueError(f"prompts: got {len(records)}; needs two or more, one half to choose pairs and one to measure")
    named = [dataclasses.replace(record, id=record.id or record.text or str(record.tokens)) for record in records]
    named = sorted(named, key=lambda record: record.id)
    ids = [record.id for record in named]
    if twice := [name for name, count in Counter(ids).items() if count > 1]:
        raise ValueError(f"prompts: {twice[0]!r} comes twice; give each prompt once, with its own id")
    choose = selection_half(np.array(ids), [record.group for record in named], seed=seed)
    return (
        tuple(record for record, own in zip(named, choose, strict=True) if own),
        tuple(record for record, own in zip(named, choose, strict=True) if not own),
    )


def find_pathways(asked: Asked, workdir: Path | None = None) -> Pathways:
    """All phases; what of them is in the workdir is not computed again.

    Raises:
        ValueError: prompts or targets that cannot be used, or nothing selected. Stopped: by a signal, see `run_whole`.
    """
    placed = asked.placed(asked.estimating)  # refused before anything runs
    found = discovery(
        asked.model, asked.dictionary, asked.choosing, asked.targets.columns, reduce="sum",
        top=asked.settings.per_layer, by=ranked_by(asked.settings.choice.rule), stratum=asked.settings.stratum,
        seed=asked.settings.seed, **asked.gradients,
    )  # fmt: skip
    kept = list(_tables(found, None, "discovery")) if workdir is None else []

    def parts() -> Iterator[pa.Table]:
        return iter(kept) if workdir is None else _tables(found, workdir, "discovery")

    candidates = summed(parts())
    pairs = select(_signed(asked, candidates), len(asked.choosing), asked.settings.choice)
    predicted, gradient = _predicted(asked, pairs, workdir)
    values = _values(asked, pairs)
    own = asked.settings
    job = Replay(
        asked.model, asked.dictionary, placed, pairs, values, own.derivative, own.draws, own.seed, asked.parallel
    )
    changes = measured(_tables(job, workdir, "replay"), len(pairs), len(placed), own.draws)
    estimates = estimate(changes, predicted, own.rule)
    family, count = chains_of(pairs, longest=own.longest, most=own.chains)
    whole = with_all_pairs(family, pairs, estimates.validated & estimates.told)
    return Pathways(
        pair_table(pairs, changes, estimates, gradient),
        _chains(asked, whole, len(family), pairs, values, placed, workdir),
        _summary(asked, candidates, pairs, changes, predicted) | {"chains_found": count, "chains_chosen": len(family)},
        parts,
    )  # fmt: skip


def _tables(job: Job, workdir: Path | None, name: str) -> Iterator[pa.Table]:
    return all_tables(job, None if workdir is None else workdir / name)


def _signed(asked: Asked, candidates: pa.Table) -> pa.Table:
    """Effects as changes: what setting to 0 takes away is less what the source contributes."""
    if asked.values is not None:
        return candidates
    place = candidates.column_names.index("effect")
    return candidates.set_column(place, "effect", pa.array(-candidates["effect"].to_numpy()))


def _predicted(
    asked: Asked, pairs: SelectedPairs, workdir: Path | None
) -> tuple[Float[np.ndarray, "K P"], Float[np.ndarray, "K P"]]:
    """Change of each target by its gradient, and the gradient itself, on each prompt of the estimation half."""
    job = effects(
        asked.model, asked.dictionary, asked.estimating, pairs.source.columns, pairs.target.columns,
        **asked.gradients,
    )  # fmt: skip
    keys = [_code(pairs.target.layer, pairs.target.feature, pairs.source.layer, pairs.source.feature)]
    order = np.argsort(keys[0])
    prompts = {record.id: number for number, record in enumerate(asked.estimating)}
    out = np.zeros((2, len(pairs), len(prompts)))
    for table in _tables(job, workdir, "predictions"):
        code = _code(*(table[name].to_numpy() for name in KEYS))
        pair = order[np.searchsorted(keys[0], code, sorter=order)]
        prompt = np.array([prompts[name] for name in table["prompt"].to_pylist()])
        out[:, pair, prompt] = table["effect"].to_numpy(), table["gradient"].to_numpy()
    return (-out[0] if asked.values is None else out[0]), out[1]


def _code(*keys: np.ndarray) -> np.ndarray:
    """(target layer, target feature, source layer, source feature) as one text that sorts."""
    return np.array([b"%d.%d.%d.%d" % key for key in zip(*(column.tolist() for column in keys), strict=True)])


def _values(asked: Asked, pairs: SelectedPairs) -> Float[np.ndarray, " N"]:
    """What each distinct source is set to."""
    sources, _ = pairs.sources
    if asked.values is None:
        return np.zeros(len(sources))
    columns = [asked.values[name].to_pylist() for name in ("layer", "feature", "value")]
    known = {(layer, feature): value for layer, feature, value in zip(*columns, strict=True)}
    return np.array([known[pair] for pair in sources.pairs], np.float64)


def _chains(
    asked: Asked, chains: Sequence[Chain], family: int, pairs: SelectedPairs, values: Float[np.ndarray, " N"],
    placed: tuple[PlacedPrompt, ...], workdir: Path | None,
) -> pa.Table:  # fmt: skip
    """Chains scored on the estimation half; no rows where there are none."""
    own, total = asked.settings, np.zeros((2, 0, len(placed)))
    if chains:
        known = dict(zip(pairs.sources[0].pairs, values.tolist(), strict=True))
        job = Mediation(
            asked.model, asked.dictionary, placed, tuple(chains), tuple(known[chain.nodes[0]] for chain in chains),
            own.derivative, asked.parallel,
        )  # fmt: skip
        total = mediated(_tables(job, workdir, "mediation"), chains, len(placed))
    return chain_table(
        chains, *total, family=family, alpha=own.rule.alpha, correction=own.rule.correction, seed=own.seed
    )


def _summary(
    asked: Asked, candidates: pa.Table, pairs: SelectedPairs, changes: Measured, predicted: Float[np.ndarray, "K P"]
) -> dict[str, Any]:
    """What was asked, and how well predictions hold."""
    settings = dataclasses.asdict(asked.settings)
    return {
        "model": asked.model.name, "model_fingerprint": asked.model.fingerprint, "settings": settings,
        "set_to": "0" if asked.values is None else "planned values", "targets": len(asked.targets),
        "prompts": {"choosing": len(asked.choosing), "estimating": len(asked.estimating)},
        "candidates": candidates.num_rows, "pairs": len(pairs), "sources": len(pairs.sources[0]),
        "calibration": calibration(predicted, changes.pre, pairs.stratum, asked.settings.seed),
    }  # fmt: skip

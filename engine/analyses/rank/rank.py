"""The whole ranking: sums over the choosing prompts, their ablations, then estimates on the others.

choosing      one pass and one back: activity, direct effects and saliency of every neuron of every layer, and what
              layers write in the mean; an ablation of each layer's MLP at all tokens -> critical layers, neurons
estimating    one pass and one back: ablations along frozen and direct paths, direct effects of the kept neurons;
              every ablation once more, run
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from causeway.engine import scalars
from causeway.engine.analyses.evaluate.baseline import rate
from causeway.engine.analyses.rank import layers as by_layer
from causeway.engine.analyses.rank import neurons as by_neuron
from causeway.engine.analyses.rank.ablation import Ablations, Arm, arms_of, outcomes
from causeway.engine.analyses.rank.questions import FEWEST, Question, answers_of
from causeway.engine.analyses.rank.readings import Answered, FrozenEffects, NeuronSums
from causeway.engine.devices import RowParallel
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.handle import Model
from causeway.engine.reading.job import Kept, read_kept
from causeway.engine.reading.passes import ROWS, ReadRow, check_read
from causeway.engine.reading.read import Part


@dataclasses.dataclass(frozen=True)
class Settings:
    """How layers and neurons are ranked.

    Attributes:
        layers: that are ablated and ranked, negative ones counted from the end; None: all.
        keep_layers: critical layers kept, by the effect of ablating their MLP.
        keep: neurons kept of each of them.
        criteria: that neurons are ranked by, of `neurons.CRITERIA`.
        attention: whether what attentions write is ablated too.
        first: the first position that counts, 0 or 1.
        batch_rows: rows of a pass, per device.

    Raises:
        ValueError: a number or a criterion that is none.
    """

    layers: Sequence[int] | None = None
    keep_layers: int = 6
    keep: int = 100
    criteria: Sequence[str] = by_neuron.DEFAULT
    attention: bool = False
    first: int = 1
    batch_rows: int = ROWS

    def __post_init__(self):
        for name in ("keep_layers", "keep", "batch_rows"):
            scalars.integer(getattr(self, name), name, 1)
        known, given = by_neuron.CRITERIA, self.criteria
        listed = isinstance(given, list | tuple) and all(isinstance(name, str) for name in given)
        if not listed or not given or set(given) - set(known) or len(set(given)) < len(given):
            raise ValueError(f"criteria: got {scalars.shown(given)}; needs some of {', '.join(known)}, each once")

    @property
    def written(self) -> tuple[str, ...]:
        """The streams that are ablated."""
        return ("mlp_out", "attn_out") if self.attention else ("mlp_out",)

    def chosen_layers(self, config: ModelConfig) -> tuple[int, ...]:
        """The layers that are ablated and ranked, ascending.

        Raises:
            ValueError: one that the model lacks, one twice, or none.
        """
        if self.layers is None:
            return tuple(range(config.num_layers))
        count = config.num_layers
        found = scalars.integers(self.layers, "layers", -count, count - 1).ravel() % count
        if not found.size or len(set(found.tolist())) < found.size:
            raise ValueError(f"layers: got {scalars.shown(self.layers)}; needs some of 0..{count - 1}, each once")
        return tuple(sorted(found.tolist()))


@dataclasses.dataclass(frozen=True)
class Ranking:
    """What `rank` finds.

    Attributes:
        layers: a row a layer, stream, mode, scope and paths: effect of the ablation with interval, p and q, accuracy
            after it and its drop (see `rank.layers`).
        neurons: the neurons kept of the critical layers, the strongest first (see `rank.neurons`).
        all_neurons: every neuron of the layers ranked.
        critical: the critical layers, the strongest first.
        about: figures of the whole, as JSON values.
    """

    layers: pa.Table
    neurons: pa.Table
    all_neurons: pa.Table
    critical: tuple[int, ...]
    about: dict[str, Any]

    def __repr__(self) -> str:
        layers = ", ".join(map(str, self.critical))
        return f"Ranking(critical layers {layers}; {len(self.neurons)} of {len(self.all_neurons)} neurons kept)"


def check_rank(model: Model, asked: Sequence[Question], settings: Settings) -> None:
    """Refuse what cannot be ranked, before anything is compiled.

    Raises:
        ValueError: layers that the model lacks, too few prompts or prompts that it cannot run.
    """
    settings.chosen_layers(model.config)
    if len(asked) < FEWEST:
        raise ValueError(f"prompts: got {len(asked)}; means need {FEWEST} or more, and intervals 10")
    check_read(model.transformer, _rows(asked, settings.first), settings.batch_rows, lambda row: asked[row].name)


def rank_prompts(
    model: Model,
    choosing: Sequence[Question],
    estimating: Sequence[Question],
    settings: Settings,
    *,
    parallel: RowParallel | None = None,
    kept: Kept | None = None,
) -> Ranking:
    """Rank the layers and neurons of a model by what they do to the answers of prompts.

    Args:
        model: a loaded model.
        choosing: prompts that choose layers and neurons, and give means.
        estimating: prompts on which effects of what is chosen are estimated.
        settings: see there; `check_rank` refuses what is wrong with them.
        parallel: devices the rows are spread over (default: those of the weights).
        kept: where what is read and run is kept, so that the same call goes on.

    Raises:
        NotFiniteError: a pass or a sum does not give numbers.
        Stopped: by a signal; with `kept` the same call goes on.
    """
    work = _Work(model, settings, parallel, kept)
    layers = settings.chosen_layers(model.config)
    sums = by_neuron.summed(
        work.read("choosing", NeuronSums, choosing, (answers_of(choosing),)), len(choosing)
    )  # fmt: skip
    chosen = work.ablate("choosing_ablations", choosing, by_layer.choosing_arms(layers), sums.means)
    critical = by_layer.critical_layers(layers, chosen, settings.keep_layers)
    _, rank = by_neuron.ranks_of(sums.scores, settings.criteria)
    neurons = by_neuron.kept_neurons(rank, critical, settings.keep)
    data = answers_of(estimating), sums.means, neurons
    frozen = _gathered(work.read("estimating", FrozenEffects, estimating, data), len(estimating))
    arms = arms_of(layers, settings.written)
    total = work.ablate("ablations", estimating, arms, sums.means)
    table = by_layer.layer_table(
        arms, total, frozen["frozen"], frozen["direct"], settings.written, critical, chosen, layers
    )
    every = by_neuron.all_table(sums, settings.criteria, layers, neurons)
    about = _about(settings, layers, critical, chosen, total.clean)
    return Ranking(table, by_neuron.kept_table(every, neurons, frozen["neurons"]), every, critical, about)


@dataclasses.dataclass(frozen=True)
class _Work:
    """What all steps share."""

    model: Model
    settings: Settings
    parallel: RowParallel | None
    kept: Kept | None

    def read(self, name: str, kind: type[Answered], asked: Sequence[Question], data: tuple) -> Iterable[Part]:
        """One reading of prompts."""
        config, settings = self.model.config, self.settings
        reduce = kind(settings.written, config.post_norms)
        return read_kept(
            self._place(name), self.model.transformer, _rows(asked, settings.first), reduce.streams, None, reduce,
            data=data, layers=range(config.num_layers), batch_rows=settings.batch_rows, parallel=self.parallel,
            name=lambda row: asked[row].name,
        )  # fmt: skip

    def ablate(self, name: str, asked: Sequence[Question], arms: list[Arm], means: Float[np.ndarray, "W L 2 D"]):
        """Outcomes of prompts under arms."""
        settings = self.settings
        wanted = Ablations(self.model, asked, arms, settings.written, means, settings.first, self.parallel)
        return outcomes(wanted, self._place(name))

    def _place(self, name: str) -> Kept | None:
        return None if self.kept is None else Kept(self.kept.workdir / name, self.kept.weights)


def _rows(asked: Sequence[Question], first: int) -> list[ReadRow]:
    """Prompts read at every token that counts, each place labelled by the prompt's number."""
    places = [range(first, len(question.tokens)) for question in asked]
    return [ReadRow(q.tokens, at, [n] * len(at)) for n, (q, at) in enumerate(zip(asked, places, strict=True))]


def _gathered(parts: Iterable[Part], prompts: int) -> dict[str, np.ndarray]:
    """Results of rows in the prompts' order."""
    found: dict[str, np.ndarray] = {}
    for part in parts:
        for name, values in part.values.items():
            whole = found.setdefault(name, np.zeros((prompts, *values.shape[1:])))
            whole[part.rows] = values
    return found


def _about(
    settings: Settings, layers: Sequence[int], critical: Sequence[int], chosen: Any, clean: Float[np.ndarray, " P"]
) -> dict[str, Any]:
    """Figures of the whole."""
    effects = chosen.changes.mean(axis=0)
    return {
        "critical_layers": [
            {"layer": layer, "choosing_effect": float(effects[list(layers).index(layer)])} for layer in critical
        ],
        "rule": by_layer.RULE, "layers": list(layers), "streams": list(settings.written),
        "criteria": list(settings.criteria), "keep": settings.keep, "position_0": not settings.first,
        "choosing_prompts": len(chosen.clean), "estimating_prompts": len(clean),
        "choosing_accuracy": rate((chosen.clean > 0).tolist()), "accuracy": rate((clean > 0).tolist()),
        "outcome_mean": float(clean.mean()),
    }  # fmt: skip


def lines(found: Ranking) -> list[str]:
    """A report of a few lines."""
    table = found.layers.to_pylist()
    chosen = [r for r in table if (r["stream"], r["mode"], r["scope"]) == ("mlp_out", "mean", "all")]
    rows = {(row["layer"], row["paths"]): row for row in chosen}
    counts = f"{found.about['choosing_prompts']} prompts choose, {found.about['estimating_prompts']} estimate"
    out = [f"{counts}; right on {found.about['accuracy']['rate']:.0%}"]
    for layer in found.critical:
        row, frozen = rows[layer, "total"], rows[layer, "frozen"]
        out.append(
            f"  layer {layer}: outcome {row['effect']:+.3f}{_interval(row)} with its MLP at the mean, frozen "
            f"{frozen['effect']:+.3f}; accuracy {row['accuracy']:.0%}"
        )
    return [*out, f"{len(found.neurons)} of {len(found.all_neurons)} neurons kept"]


def _interval(row: dict[str, Any]) -> str:
    return "" if np.isnan(row["low"]) else f" [{row['low']:+.3f}, {row['high']:+.3f}]"

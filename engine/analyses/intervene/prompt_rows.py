"""One prompt's rows of a sweep, from its clean pass, its graph and its partner.

A row is one set of features under one operation:

    baseline, intervened    logit[correct] - logit[incorrect] at the last token, without and with it
    clean                   of a patched row: the same difference on the partner, whose answers these then are
    predicted               what the prompt's graph says `intervened - baseline` will be (`predicted`)

`patch` sets features to the partner's values at aligned positions (`pairs`): the prompt is the corrupt run, its
partner the clean one, and recovery is (intervened - baseline) / (clean - baseline).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from causeway.engine.analyses.attribute.graph import AttributionGraph
from causeway.engine.analyses.attribute.prompts import CircuitPrompt
from causeway.engine.analyses.intervene.clean_run import CleanRun
from causeway.engine.analyses.intervene.intervention_rows import feature_rows
from causeway.engine.analyses.intervene.pairs import aligned
from causeway.engine.analyses.intervene.predicted import Predictor
from causeway.engine.analyses.intervene.selection import PlacedFeature, place_names, placed_sets
from causeway.engine.analyses.intervene.sets import FeatureSet, circuit_sets, layer_sets, single_sets, strongest_sets
from causeway.engine.analyses.intervene.settings import InterventionSettings
from causeway.engine.intervention.operations import Coefficients, coefficients

SCHEMA = pa.schema([
    ("prompt", pa.int32()), ("id", pa.string()), ("behaviour", pa.string()), ("split", pa.string()),
    ("kind", pa.string()), ("operation", pa.string()), ("value", pa.float64()), ("layer", pa.int32()),
    ("position", pa.int32()), ("place", pa.string()), ("features", pa.list_(pa.int32())), ("slots", pa.int32()),
    ("activation", pa.float64()), ("correct", pa.int32()), ("incorrect", pa.int32()), ("baseline", pa.float64()),
    ("intervened", pa.float64()), ("clean", pa.float64()), ("predicted", pa.float64()),
])  # fmt: skip


class PromptRows:
    """The rows of one prompt.

    Args:
        clean: runs a prompt. prompt, index: and its number. settings: what is done. graph: the prompt's, or None.
        partner: to patch from, or None. first: the first position that has features in graphs.
        chosen: features that other prompts chose; None takes those of the settings or of the prompt's own graph.
    """

    def __init__(
        self,
        clean: Callable[[CircuitPrompt], CleanRun],
        prompt: CircuitPrompt,
        index: int,
        settings: InterventionSettings,
        graph: AttributionGraph | None,
        partner: CircuitPrompt | None,
        first: int = 1,
        chosen: Sequence[PlacedFeature] | None = None,
    ):
        self.prompt, self.index, self.settings, self.graph, self.partner = prompt, index, settings, graph, partner
        self.first, self.chosen, self.run = first, chosen, clean(prompt)
        self.other = None if partner is None else clean(partner)
        self.values: dict[tuple[bool, int], np.ndarray] = {}

    def sets(self) -> list[FeatureSet]:
        """What is changed together, in order."""
        kinds = self.settings.kinds
        singles = self._singles()
        sets = singles if "single" in kinds else []
        sets = sets + (layer_sets(singles) if "layer" in kinds else [])
        if self.graph is None:
            return sets
        thresholds = self.settings.node_threshold, self.settings.edge_threshold
        return sets + circuit_sets(self.graph, self.run, thresholds, kinds, self.first)

    def _singles(self) -> list[FeatureSet]:
        if self.chosen is not None:
            return placed_sets(self.chosen, self.prompt, self.first)
        return single_sets(self.settings.features, self.prompt) or self._strongest(self.graph)

    def _strongest(self, graph: AttributionGraph | None) -> list[FeatureSet]:
        if graph is None:
            return []
        effects = Predictor(graph, self.prompt.answers or (0, 0), self.settings.holds).effects
        return strongest_sets(graph, np.nan_to_num(effects), self.settings.max_features)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table."""
        work = [(one, name, value) for one in self.sets() for name, value in self.settings.operations]
        work = [entry for entry in work if entry[1] != "patch" or self.partner is not None]
        if not work:
            return []
        made = [self._changed(*entry) for entry in work]
        numbers = np.concatenate([numbers for numbers, *_ in made], axis=1)
        places = np.concatenate([one.places for one, *_ in work])
        owner = np.repeat(np.arange(len(work)), [len(one.places) for one, *_ in work])
        rows = feature_rows(self.run.transcoders, places, numbers, owner)
        logits = self.run.last_logits(rows, self.settings.holds, width=self.settings.rows)
        return [
            self._row(*entry, before, after, found)
            for entry, (_, before, after), found in zip(work, made, logits, strict=True)
        ]

    def _changed(self, one: FeatureSet, operation: str, value: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The numbers of what is done to a row's features [4, N], and their values before and after."""
        before = self._read(one.places, False)
        if operation == "patch":
            found = Coefficients(0.0, self._read(one.places, True))
        else:
            found = coefficients(operation, value if one.value is None or operation != "set" else one.value)
        numbers = np.stack([np.broadcast_to(number, before.shape) for number in found]).astype(np.float64)
        return numbers, before, np.clip(numbers[0] * before + numbers[1], *numbers[2:])

    def _read(self, places: np.ndarray, partner: bool) -> np.ndarray:
        """Clean activations at places, of the prompt or at the aligned ones of its partner."""
        out = np.zeros(len(places))
        at = aligned(self.prompt, self.partner)[places[:, 1]] if partner and self.partner else places[:, 1]
        run = self.other if partner and self.other is not None else self.run
        for layer in np.unique(places[:, 0]):
            if (partner, int(layer)) not in self.values:
                self.values[partner, int(layer)] = run.activations(int(layer))
            mine = places[:, 0] == layer
            out[mine] = self.values[partner, int(layer)][at[mine], places[mine, 2]]
        return out

    def _row(
        self, one: FeatureSet, operation: str, value: float, before: np.ndarray, after: np.ndarray, logits: np.ndarray
    ) -> dict[str, Any]:
        patched = operation == "patch" and self.partner is not None and self.other is not None
        answers = (self.partner if patched and self.partner else self.prompt).answers or (0, 0)
        clean = difference(self.other.logits[-1], answers) if patched and self.other else None
        given = one.value if operation == "set" and one.value is not None else value
        return {
            "prompt": self.index, "id": self.prompt.id, "behaviour": self.prompt.behaviour, "split": self.prompt.split,
            "kind": one.kind, "operation": operation, "value": None if operation in ("zero", "own", "patch") else given,
            "layer": one.layer, "position": one.position, "place": self._place(one), "features": one.features,
            "slots": len(one.places), "activation": float(before.max()) if one.kind == "single" else None,
            "correct": answers[0], "incorrect": answers[1],
            "baseline": difference(self.run.logits[-1], answers), "intervened": difference(logits, answers),
            "clean": clean, "predicted": self._predicted(one, answers, before, after),
        }  # fmt: skip

    def _place(self, one: FeatureSet) -> str:
        """What prompts of a behaviour have in common: a role, or the distance from the end."""
        if one.position < 0:
            return "all" if one.kind == "single" else ""
        return place_names(self.prompt)[one.position]

    def _predicted(
        self, one: FeatureSet, answers: tuple[int, int], before: np.ndarray, after: np.ndarray
    ) -> float | None:
        """Of the difference of these answers; the graph's own may be the same two swapped."""
        own = self.prompt.answers or (0, 0)
        if self.graph is None or set(own) != set(answers):
            return None
        if not hasattr(self, "predictor"):
            self.predictor = Predictor(self.graph, own, self.settings.holds)
        change = self.predictor.change(one.places, before, after) * (1 if own == answers else -1)
        return change if np.isfinite(change) else None


def difference(logits: Float[np.ndarray, " V"], answers: tuple[int, int]) -> float:
    """logit[correct] - logit[incorrect]."""
    return float(logits[answers[0]]) - float(logits[answers[1]])

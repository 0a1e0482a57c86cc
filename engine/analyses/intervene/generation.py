"""What the model writes under interventions: one continuation for each row of a sweep that names features.

Generation runs open, whatever is held: attention and norms of tokens that are not there yet cannot be held. A feature
changed at all tokens stays changed at the new ones; one changed at a token of the prompt acts there, through the cache.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from causeway.engine.analyses.attribute.prompts import CircuitPrompt
from causeway.engine.analyses.intervene.intervention_sweep import InterventionSweep
from causeway.engine.analyses.intervene.sets import Place
from causeway.engine.calls.continuations import Continuations, Continued
from causeway.engine.dictionary.fit import fitted
from causeway.engine.intervention.requests import FeatureEdit


def check_generation(sweep: InterventionSweep) -> None:
    """Refuse what cannot be continued, before anything is run.

    Raises:
        ValueError: no feature by name.
    """
    if not sweep.settings.features:
        raise ValueError("generate: no features by name; continuations are of features given one by one")


@dataclasses.dataclass(frozen=True)
class ChangedTexts:
    """The continuations of a sweep's prompts: a line without change, and one for each feature and operation.

    Attributes:
        about: what each line says beside its continuation.
        wanted: the continuations, as a job.
    """

    about: tuple[dict[str, Any], ...]
    wanted: Continuations

    def lines(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """The lines, from what was written."""
        return [{**about, "continuation": text} for about, text in zip(self.about, texts, strict=True)]


def changed_texts(sweep: InterventionSweep, tokens: int, temperature: float, seed: int) -> ChangedTexts:
    """What is to be written under a sweep's interventions (patches left out).

    Raises:
        ValueError: see `check_generation`, and prompts too long to be continued.
    """
    check_generation(sweep)
    work = [
        (place, operation, place.value if operation == "set" and place.value is not None else value)
        for place in sweep.settings.features
        for operation, value in sweep.settings.operations
        if operation != "patch"
    ]
    entries = [(prompt, entry) for prompt in sweep.prompts for entry in (None, *work)]
    rows = tuple(
        Continued(prompt.tokens, 0, f"prompt {prompt.id}", () if entry is None else (_edit(*entry, prompt),))
        for prompt, entry in entries
    )
    about = tuple({"id": prompt.id, **_named(entry)} for prompt, entry in entries)
    dictionary: Any = fitted(sweep.transcoders, sweep.model.config, sweep.model.name)
    return ChangedTexts(about, Continuations(sweep.model, rows, tokens, temperature, seed, dictionary, sweep.parallel))


def _edit(place: Place, operation: str, value: float, prompt: CircuitPrompt) -> FeatureEdit:
    position = place.position_in(prompt)
    scope = "all" if position is None else f"positions:{position}"
    return FeatureEdit(place.layer, place.feature, value, operation, scope)


def _named(entry: tuple[Place, str, float] | None) -> dict[str, Any]:
    if entry is None:
        return {"operation": "none"}
    place, operation, value = entry
    where = {"layer": place.layer, "position": place.position, "feature": place.feature}
    return {"operation": operation, "value": value, **where}

"""What the model writes under interventions: one continuation for each row of a sweep that names features.

Generation runs open, whatever the mode: attention and norms of tokens that are not there yet cannot be held. A feature
changed at all tokens stays changed at the new ones; one changed at a token of the prompt acts there, through the cache.
"""

from collections.abc import Iterator
from typing import Any, cast

from causeway.engine.analyses.intervene.intervention_sweep import InterventionSweep
from causeway.engine.analyses.intervene.sets import Place
from causeway.engine.calls.generate import generate
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.intervention.requests import FeatureEdit


def check_generation(sweep: InterventionSweep) -> None:
    """Refuse what cannot be continued, before anything is run.

    Raises:
        ValueError: no feature by name, or cross-layer transcoders.
    """
    if not sweep.settings.features:
        raise ValueError("generate: no features by name; continuations are of features given one by one")
    if sweep.transcoders.crosses:
        raise ValueError("generate: cross-layer transcoders write to layers that edits of one layer do not; use others")


def continuations(sweep: InterventionSweep, tokens: int, temperature: float, seed: int) -> Iterator[dict[str, Any]]:
    """A line for each prompt without change, and for each feature and operation (patches left out).

    Raises:
        ValueError: see `check_generation`.
    """
    check_generation(sweep)
    work = [
        (place, operation, place.value if operation == "set" and place.value is not None else value)
        for place in sweep.settings.features
        for operation, value in sweep.settings.operations
        if operation != "patch"
    ]
    for prompt in sweep.prompts:
        edits = [[], *([_edit(*entry, len(prompt.tokens))] for entry in work)]
        # Ranked dictionaries need a call for each layer; a call for each row serves all kinds.
        for entry, row in zip([None, *work], edits, strict=True):
            [found] = generate(
                sweep.model, list(prompt.tokens), edits=[row], dictionary=cast(Dictionary, sweep.transcoders),
                max_new_tokens=tokens, temperature=temperature, seed=seed, rows=1,
            )  # fmt: skip
            yield {"id": prompt.id, **_named(entry), "continuation": found.texts[0][0]}


def _edit(place: Place, operation: str, value: float, length: int) -> FeatureEdit:
    scope = "all" if place.position is None else f"positions:{place.position % length}"
    return FeatureEdit(place.layer, place.feature, value, operation, scope)


def _named(entry: tuple[Place, str, float] | None) -> dict[str, Any]:
    if entry is None:
        return {"operation": "none"}
    place, operation, value = entry
    where = {"layer": place.layer, "position": place.position, "feature": place.feature}
    return {"operation": operation, "value": value, **where}

"""`cw.polysemanticity`: how many unrelated things each neuron does, asked for in a notebook."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.ablate.ablate import layer_of
from causeway.engine.analyses.components.request import FoundComponents
from causeway.engine.analyses.decompose.decompose import Decomposition
from causeway.engine.analyses.decompose.lexicon import Lexicon
from causeway.engine.analyses.polysemanticity.polysemanticity import Asked, lines, scored, summary
from causeway.engine.analyses.polysemanticity.words import LayerWords, chance, check_same
from causeway.engine.analyses.represent.request import prompt_record
from causeway.engine.model.handle import Model, Prompt, check_model
from causeway.engine.prompt_record import PromptRecord

SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Polysemanticity:
    """Scores of neurons.

    Attributes:
        table: a row a neuron, by the mean of its ranks, most polysemantic first. about: counts and medians.
    """

    table: pa.Table
    about: Mapping[str, Any]

    def __str__(self) -> str:
        return "\n".join(lines(self.table, self.about))


def polysemanticity(
    model: Model,
    prompts: Sequence[Prompt | tuple[str, str, str] | PromptRecord],
    components: FoundComponents,
    *,
    decompositions: Sequence[Decomposition] = (),
    lexicon: Lexicon | None = None,
    label_field: str = "behaviour",
    seed: int = 0,
) -> Polysemanticity:
    """How many unrelated things neurons do: directions of their effects, heads, kinds of prompts, and words.

    Args:
        model: that the components were found in.
        prompts: the same, in the same order.
        components: of `cw.components`.
        decompositions: of their components, a layer each. lexicon: theirs.
        label_field: the field of prompts whose values are kinds of them.
        seed: of all draws.

    Returns:
        Scores of each neuron beside what chance would give, with intervals over groups of prompts.

    Raises:
        ValueError: artefacts of other models, prompts or components, or a prompt without the field.
    """
    check_model(model)
    if not isinstance(components, FoundComponents):
        raise ValueError(f"components: got {scalars.shown(components)}; needs what cw.components gives")
    if components.sweep.model.fingerprint != model.fingerprint:
        raise ValueError("components: found in another model; find them in this one")
    count = len(components.sweep.prompts)
    if isinstance(prompts, str | bytes | Mapping) or not isinstance(prompts, Sequence) or len(prompts) != count:
        raise ValueError(f"prompts: got {scalars.shown(prompts)}; needs the {count} that the components were found on")
    records = [prompt_record(number, prompt) for number, prompt in enumerate(prompts)]
    layers = {at: layer_of(one.components, components.table) for at, one in components.layers.items()}
    words = _words(components, decompositions, lexicon)
    most = max((one.coefficient.shape[1] for one in words.values()), default=0)
    null = chance(lexicon.atoms, most, scalars.seed(seed)) if lexicon is not None and words else (np.nan, np.nan)
    label = scalars.text(label_field, "label_field")
    asked = Asked(
        components.sweep, components.codes, components.chosen, records, layers, label, words, null, scalars.seed(seed)
    )
    table = scored(asked)
    return Polysemanticity(table, summary(asked, table))


def _words(
    components: FoundComponents, given: Sequence[Decomposition], lexicon: Lexicon | None
) -> dict[int, LayerWords]:
    """Decompositions by layer, known to be of the components and over the lexicon."""
    if bool(given) != (lexicon is not None):
        raise ValueError("decompositions, lexicon: got one of them; needs both, or neither")
    found: dict[int, LayerWords] = {}
    for one in given:
        if not isinstance(one, Decomposition) or one.layer not in components.layers:
            raise ValueError("decompositions: got one that is of no layer of the components; decompose these")
        assert lexicon is not None
        if one.texts != lexicon.texts:
            raise ValueError(f"lexicon: the decomposition of layer {one.layer} has other texts; give its own")
        made = one.pursuit.reconstructed(lexicon.atoms)
        texts = tuple(", ".join(text.strip() or repr(text) for _, _, text in own[:SHOWN]) for own in one.entries)
        found[one.layer] = LayerWords(one.neuron, one.pursuit.coefficient, made, texts)
        check_same(components.layers[one.layer].components, found[one.layer], one.cosine)
    return found

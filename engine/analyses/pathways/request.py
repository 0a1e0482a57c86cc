"""`cw.pathways`: which features drive which, asked for in a notebook."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.pathways.asking import planned_values, target_nodes
from causeway.engine.analyses.pathways.discovery_requests import SCOPE
from causeway.engine.analyses.pathways.estimates import Rule
from causeway.engine.analyses.pathways.pathways import Asked, Pathways, Settings, find_pathways, halves
from causeway.engine.analyses.pathways.programs import DERIVATIVES, Derivative
from causeway.engine.analyses.pathways.selection import RULES, Choice
from causeway.engine.analyses.pathways.selection import Rule as SelectionRule
from causeway.engine.analyses.represent.request import prompt_record
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.dictionary.fit import fitted
from causeway.engine.dictionary.placement import Holder
from causeway.engine.intervention.scope import Scope, scope_text
from causeway.engine.model.handle import Model, Prompt, check_model
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.stats.multiple import METHODS, Method


def pathways(
    model: Model,
    prompts: Sequence[Prompt | PromptRecord],
    dictionary: Holder,
    *,
    targets: pa.Table | Sequence[str | tuple[int, int] | Mapping[str, Any]],
    derivative: Derivative = "total",
    position: str = "last",
    scope: Scope = SCOPE,
    values: pa.Table | None = None,
    top: int = 25,
    least_effect: float = 0.0,
    select_by: SelectionRule = "effect",
    alpha: float = 0.05,
    tau: float = 0.05,
    correction: Method = "bh",
    random_draws: int = 19,
    longest_chain: int = 3,
    chains: int = 200,
    seed: int = 0,
    workdir: str | Path | None = None,
) -> Pathways:
    """Find the features of lower layers that drive some features, by gradients, and measure whether they do.

    Args:
        model: a loaded model.
        prompts: texts, token ids or records; the unit of the statistics. One half of them chooses pairs, the other
            measures; ten in the second half are the fewest that tell anything.
        dictionary: SAEs or transcoders in memory.
        targets: features by name ("L3-81"), as (layer, feature), or a table with layer and feature.
        derivative: total, everything live; or direct, attention patterns, norms and MLP outputs as they were.
        position: of the targets: last, or a place of one token.
        scope: tokens at which sources are read and set, up to the target's; see `FeatureEdit`.
        values: a table of layer, feature, value: the features that are sources and what they are set to; None: every
            feature, set to 0.
        top: pairs measured of each target. least_effect: their least |effect| by discovery. select_by: effect, or
            original: the documents' |gradient| > 0.1.
        alpha, tau, correction: a validated pair has q < alpha by bh or by, and |change| > tau.
        random_draws: random features of equal push for each source; 0 for none, and then nothing is validated.
        longest_chain: pairs of a chain, 2 to 4. chains: how many are chosen, by discovery, to be scored.
        seed: of the split and of every draw.
        workdir: where everything is kept, and where the same call resumes; None keeps nothing.

    Returns:
        Tables `pathways`, `chains`, `candidates`, and a summary.

    Raises:
        ValueError: prompts, targets or values that cannot be used, or nothing to measure. NotFiniteError: by a pass.
    """
    own, seed = _checked(model, prompts, dictionary, workdir), scalars.seed(seed)
    settings = Settings(
        _one_of(derivative, "derivative", DERIVATIVES), scalars.text(position, "position"),
        scope if isinstance(scope, str) else scope_text(scope),
        choice=_choice(select_by, top, least_effect, seed), rule=_rule(alpha, tau, correction),
        draws=scalars.integer(random_draws, "random_draws"), longest=scalars.integer(longest_chain, "longest_chain"),
        chains=scalars.integer(chains, "chains"), seed=seed,
    )  # fmt: skip
    both = halves([prompt_record(number, prompt) for number, prompt in enumerate(prompts)], seed)
    asked = Asked(model, own, *both, target_nodes(targets, own), _values(values), settings)
    return find_pathways(asked, None if workdir is None else Path(workdir))


def _checked(model: Any, prompts: Any, dictionary: Any, workdir: Any) -> Dictionary:
    """The dictionaries under the model's names, and the others of their kinds."""
    check_model(model)
    if not isinstance(dictionary, Dictionary):
        raise ValueError(
            f"dictionary: got {scalars.shown(dictionary)}; pathways takes SAEs or transcoders in memory whose features "
            "write to their own layer"
        )
    if isinstance(prompts, str | bytes | Mapping) or not isinstance(prompts, Sequence):
        raise ValueError(f"prompts: got {scalars.shown(prompts)}; needs a list of texts, token ids or records")
    if not isinstance(workdir, str | Path | None):
        raise ValueError(f"workdir: got {scalars.shown(workdir)}; needs the name of a folder, or None")
    return fitted(dictionary, model.config, model.name)


def _choice(select_by: Any, top: Any, least_effect: Any, seed: int) -> Choice:
    rule, least = _one_of(select_by, "select_by", RULES), scalars.real(least_effect, "least_effect")
    return Choice(rule, scalars.integer(top, "top", 1), least, seed=seed)


def _rule(alpha: Any, tau: Any, correction: Any) -> Rule:
    return Rule(scalars.real(alpha, "alpha"), scalars.real(tau, "tau"), _one_of(correction, "correction", METHODS))


def _one_of(value: Any, name: str, known: Sequence[str]) -> Any:
    if value not in known:
        raise ValueError(f"{name}: got {scalars.shown(value)}; needs one of {', '.join(known)}")
    return cast(Any, value)


def _values(values: Any) -> pa.Table | None:
    if values is None:
        return None
    if not isinstance(values, pa.Table) or not {"layer", "feature", "value"} <= set(values.column_names):
        raise ValueError(f"values: got {scalars.shown(values)}; needs a table of layer, feature and value, or None")
    return planned_values(values.rename_columns({"value": "value_own"}), "own", "values")

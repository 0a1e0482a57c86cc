"""`cw.errors`: which neurons tell a model's wrong answers from its right ones, asked for in a notebook."""

from collections.abc import Sequence

from causeway.engine import scalars
from causeway.engine.analyses.errors.errors import EXAMPLES, KEEP, Errors, find_errors
from causeway.engine.analyses.errors.labels import Labels
from causeway.engine.analyses.errors.measures import (
    ACTIVATION,
    MEASURES,
    direction_number,
    layer_values,
    layers_of,
    measure_job,
    readable,
)
from causeway.engine.directions import Directions
from causeway.engine.model.handle import Model, check_model
from causeway.engine.neurons import Neurons
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.representations import Representations
from causeway.engine.stats.splits import check_share


def errors(
    model: Model,
    prompts: Representations | Sequence[PromptRecord],
    *,
    measure: str = ACTIVATION,
    directions: Directions | None = None,
    along: str | None = None,
    neurons: Neurons | None = None,
    layers: Sequence[int] | None = None,
    labels: str = "correct",
    label_source: str | None = None,
    fit_split: str = "train",
    judge_split: str = "test",
    held_out: float = 0.0,
    strata: Sequence[str] = (),
    by: Sequence[str] = (),
    keep: int = KEEP,
    examples: int = EXAMPLES,
    position: str = "last",
    seed: int = 0,
) -> Errors:
    """Which neurons tell wrong answers from right ones: chosen on some prompts, judged on others.

    Args:
        model: a loaded model.
        prompts: what `represent` returns, or its records.
        measure: of a neuron on a prompt: activation, or its score on a direction, direct or second_order.
        directions: what scores are taken on; None: the right less the wrong answer's logit of each prompt. along: the
            name of one, where there are several.
        neurons, layers: those looked at; default: all.
        labels: correct, or margin (graded: above or below the median, where a model gets all right or all wrong).
        label_source: generated or margin; default: the field `correct`.
        fit_split, judge_split: splits that choose and judge. held_out: share of the groups that judge, in their stead.
        strata: fields within whose values prompts are compared. by: fields whose error rates are told; default: all
            with few values.
        keep: how many neurons are judged. examples: prompts shown of each of them and each class.
        position: the token read, where it is not where answers part.
        seed: of all deals.

    Returns:
        Errors: tables of neurons and of fields, examples, counts.

    Raises:
        ValueError: prompts without labels, all right or all wrong, or of too few groups; a measure, direction, layer,
            neuron or field that there is not.
        NotFiniteError: a prompt's pass does not give numbers.
    """
    records = _records(model, prompts)
    _check_measure(measure, directions, along)
    check_share(share := scalars.real(held_out, "held_out"))
    within, fields = _names(strata, "strata"), _names(by, "by")
    if neurons is not None and not isinstance(neurons, Neurons):
        raise ValueError(f"neurons: got {scalars.shown(neurons)}; needs Neurons, layers and numbers")
    kept, shown = scalars.integer(keep, "keep", 1), scalars.integer(examples, "examples")
    asked = Labels(labels, label_source, fit_split, judge_split, share, within, scalars.seed(seed))
    given = asked.of(records)
    listed = [readable(model, record, measure, directions is not None, position) for record in records]
    job = measure_job(model, listed, measure, layers_of(model.config, layers, neurons), directions)
    values = layer_values(job, None, measure, direction_number(job, along), neurons, given.numbers)
    return find_errors(values, given, keep=kept, count=shown, by=fields, seed=asked.seed)


def _names(values: Sequence[str], name: str) -> tuple[str, ...]:
    """Names of fields.

    Raises:
        ValueError: something else than a list of texts.
    """
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ValueError(f"{name}: got {scalars.shown(values)}; needs a list of names of fields")
    return tuple(scalars.text(value, name) for value in values)


def _records(model: Model, prompts: Representations | Sequence[PromptRecord]) -> Sequence[PromptRecord]:
    """The records of prompts, known to be of the model where they say which they are of.

    Raises:
        ValueError: something else, or another model's.
    """
    check_model(model)
    records = prompts.records if isinstance(prompts, Representations) else prompts
    if not isinstance(records, list | tuple) or not all(isinstance(record, PromptRecord) for record in records):
        raise ValueError(f"prompts: got {scalars.shown(prompts)}; needs what cw.represent returns")
    if isinstance(prompts, Representations):
        prompts.check_of_model(model)
    return records


def _check_measure(measure: str, directions: Directions | None, along: str | None) -> None:
    if scalars.text(measure, "measure") not in MEASURES:
        raise ValueError(f"measure: got {measure!r}; needs one of {', '.join(MEASURES)}")
    if measure == ACTIVATION and (directions is not None or along is not None):
        raise ValueError("directions, along: got one, but an activation is on no direction; name another measure")

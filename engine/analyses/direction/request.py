"""`cw.direction`: directions of representations, asked for in a notebook."""

from collections.abc import Sequence

from causeway.engine import scalars
from causeway.engine.analyses.direction.direction import Settings, find_directions
from causeway.engine.directions import Directions
from causeway.engine.model.handle import Model, check_model
from causeway.engine.representations import Representations
from causeway.engine.stats.splits import check_share


def direction(
    representations: Representations,
    *,
    labels: str = "correct",
    methods: Sequence[str] | None = None,
    label_source: str | None = None,
    fit_split: str = "train",
    judge_split: str = "test",
    held_out: float = 0.0,
    tokens: Sequence[str] = (),
    answers: bool = False,
    model: Model | None = None,
    seed: int = 0,
) -> Directions:
    """Directions along which representations tell right answers from wrong ones, judged on prompts left out.

    Args:
        representations: what `represent` returns.
        labels: correct, or margin (graded, where a model gets all or nothing right).
        methods: difference, probe, mass_mean; of graded labels covariance, ridge; default: all of them.
        label_source: generated or margin; default: what was written, where all labelled prompts were written to.
        fit_split, judge_split: splits of the prompts that directions are fitted and judged on.
        held_out: share of the groups that are judged on in their stead; 0: the splits, and a quarter of the groups
            where there is one split only.
        tokens: texts of single tokens (as they follow the prompts), or id:73: their centred unembedding columns.
        answers: also the mean difference of the columns of right and wrong answers.
        model: of the representations, for `tokens` and `answers`.
        seed: of all deals.

    Returns:
        Directions, the fitted ones of length 1, those of tokens in logits; `about` has auc with its interval, p, q,
        accuracy, threshold and more for each, and `label_source`.

    Raises:
        ValueError: all answers right or all wrong, too few prompts, a group on both sides, another model's
            representations, or a text that is not one token.
    """
    if not isinstance(representations, Representations):
        raise ValueError(f"representations: got {scalars.shown(representations)}; needs what cw.represent returns")
    for name, value in (("labels", labels), ("fit_split", fit_split), ("judge_split", judge_split)):
        scalars.text(value, name)
    if label_source is not None:
        scalars.text(label_source, "label_source")
    if model is not None:
        check_model(model)
    check_share(share := scalars.real(held_out, "held_out"))
    settings = Settings(
        labels, None if methods is None else _texts(methods, "methods"), label_source, fit_split, judge_split, share,
        _texts(tokens, "tokens"), scalars.truth(answers, "answers"), scalars.seed(seed),
    )  # fmt: skip
    return find_directions(representations, settings, model).directions


def _texts(values: Sequence[str], name: str) -> tuple[str, ...]:
    """Texts one by one.

    Raises:
        ValueError: something else, one text among it.
    """
    if not isinstance(values, list | tuple):
        raise ValueError(f"{name}: got {scalars.shown(values)}; needs a list of texts")
    return tuple(scalars.text(value, name) for value in values)

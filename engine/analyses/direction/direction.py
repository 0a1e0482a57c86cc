"""Directions of representations, fitted on some prompts and judged on others.

What is fitted and how: `methods.py`; on which prompts and labels: `sides.py`; how directions are judged: `judge.py`;
directions of tokens: `tokens.py`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from causeway.engine.analyses.direction.judge import Judged, judged
from causeway.engine.analyses.direction.methods import METHODS, Labelled
from causeway.engine.analyses.direction.sides import (
    Sides,
    check_fit,
    graded_cut,
    label_source,
    listed,
    sides_of,
)
from causeway.engine.analyses.direction.tokens import answers_vector, check_logits, token_vectors
from causeway.engine.directions import Directions
from causeway.engine.model.handle import Model
from causeway.engine.representations import Representations

UNIT, LOGITS = "length 1", "logits"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is asked for.

    Attributes:
        labels: correct, or margin (graded).
        methods: by name; None for all that the labels have.
        label_source: generated, or margin; None: see `sides.label_source`.
        fit_split, judge_split: names of splits. held_out: share of the groups, in their stead.
        tokens: texts of tokens. answers: whether the direction of the answers is among them.
        seed: of all deals.

    Raises:
        ValueError: unknown labels or methods, a source beside graded labels, or nothing asked for.
    """

    labels: str = "correct"
    methods: tuple[str, ...] | None = None
    label_source: str | None = None
    fit_split: str = "train"
    judge_split: str = "test"
    held_out: float = 0.0
    tokens: tuple[str, ...] = ()
    answers: bool = False
    seed: int = 0

    def __post_init__(self):
        if self.labels not in METHODS:
            raise ValueError(f"labels: got {self.labels!r}; needs one of {', '.join(METHODS)}")
        if self.labels == "margin" and self.label_source not in (None, "margin"):
            raise ValueError(f"label_source: got {self.label_source!r}; graded labels are margins")
        names = listed(self.methods, list(METHODS[self.labels]), self.labels)
        if not names and not self.needs_model:
            raise ValueError("methods: got none; needs one, or tokens whose directions are wanted")
        object.__setattr__(self, "methods", tuple(names))

    @property
    def needs_model(self) -> bool:
        """Whether columns of the unembedding are asked for."""
        return bool(self.tokens) or self.answers


@dataclasses.dataclass(frozen=True)
class Found:
    """Directions, and the prompts' projections on them.

    Attributes:
        directions: with their figures in `about`. sides: of the prompts. y: [P] labels, NaN where there is none.
        right: [P] labels as two classes; False where there is none.
        projections: [P, R].
    """

    directions: Directions
    sides: Sides
    y: Float[np.ndarray, " P"]
    projections: Float[np.ndarray, "P R"]


def find_directions(given: Representations, settings: Settings, model: Model | None = None) -> Found:
    """Fit, gather and judge.

    Args:
        model: of the representations, where directions of tokens are asked for.

    Raises:
        ValueError: labels that say nothing, too few prompts, representations of another model or stream, or a text
            that is not one token.
    """
    sides = sides_of(given.records, settings.fit_split, settings.judge_split, settings.held_out, settings.seed)
    y, source = _labels(given, settings)
    fitted, about = _fitted(given, settings, sides, y)
    vectors = fitted | _of_tokens(given, settings, sides, model)
    scales = {name: UNIT if name in fitted else LOGITS for name in vectors}
    matrix = np.array(list(vectors.values()))
    projections = given.vectors.astype(np.float64) @ matrix.T
    told = {name: about.get(name, {}) | {"scale": scales[name]} for name in vectors}
    summary: dict[str, Any] = {"labels": settings.labels, "label_source": source, "sides": sides.told}
    if source:
        figures, counts = _judged(given, settings, sides, y, dict(zip(vectors, projections.T, strict=True)))
        told, summary = {name: told[name] | figures[name] for name in told}, summary | counts
    summary |= {"seed": settings.seed, "directions": told}
    directions = Directions(tuple(vectors), matrix, given.stream, given.layer, given.fingerprint, summary)
    return Found(directions, sides, y, projections)


def _labels(given: Representations, settings: Settings) -> tuple[Float[np.ndarray, " P"], str]:
    """Labels, and where they are from; all NaN and "" where there are none and none are needed."""
    if not settings.methods and np.isnan([given.right("generated"), given.margins]).all():
        return np.full(len(given.records), np.nan), ""
    source = label_source(given, "margin" if settings.labels == "margin" else settings.label_source)
    return (given.margins if settings.labels == "margin" else given.right(source)), source


def _fitted(
    given: Representations, settings: Settings, sides: Sides, y: Float[np.ndarray, " P"]
) -> tuple[dict[str, Float[np.ndarray, " D"]], dict[str, dict[str, Any]]]:
    """The fitted directions and what is told of each fit, by method."""
    if not settings.methods:
        return {}, {}
    on = np.flatnonzero(sides.fit & ~np.isnan(y))
    if not len(on):
        raise ValueError(f"labels: none of {int(sides.fit.sum())} prompts that are fitted on has a label")
    groups = [given.records[i].cluster for i in on]
    check_fit(y[on], groups, settings.labels)
    labelled = Labelled(given.vectors[on], y[on], groups, settings.seed)
    found = {name: METHODS[settings.labels][name](labelled) for name in settings.methods}
    return {name: one.vector for name, one in found.items()}, {name: dict(one.about) for name, one in found.items()}


def _of_tokens(
    given: Representations, settings: Settings, sides: Sides, model: Model | None
) -> dict[str, Float[np.ndarray, " D"]]:
    if not settings.needs_model:
        return {}
    if model is None:
        raise ValueError("model: got nothing; directions of tokens need the model whose representations these are")
    check_logits(given, model)
    vectors = token_vectors(model, given.records[0], settings.tokens)
    if settings.answers:
        fit = [record for record, on in zip(given.records, sides.fit, strict=True) if on]
        vectors["answers"] = answers_vector(model, fit)
    return vectors


def _judged(
    given: Representations, settings: Settings, sides: Sides, y: Float[np.ndarray, " P"],
    projections: dict[str, Float[np.ndarray, " P"]],
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:  # fmt: skip
    """Figures by direction, and what they are of."""
    on = [np.flatnonzero(side & ~np.isnan(y)) for side in (sides.fit, sides.judge)]
    if not all(len(side) for side in on):
        raise ValueError(f"labels: {len(on[0])} labelled prompts to fit on and {len(on[1])} to judge on; needs both")
    cut, classes = graded_cut(y[on[0]], y[on[1]]) if settings.labels == "margin" else (0.5, "correct")
    margins = given.margins
    fit, judge = (Judged(y[i] > cut, margins[i], [given.records[n].cluster for n in i]) for i in on)
    own = {name: (values[on[0]], values[on[1]]) for name, values in projections.items()}
    share = float(judge.right.mean())
    counts = {
        "classes": classes, "cut": cut, "fit": fit.counts, "judge": judge.counts, "base_rate": max(share, 1 - share),
    }  # fmt: skip
    return judged(own, fit, judge, settings.seed), counts


def projection_table(given: Representations, found: Found) -> pa.Table:
    """A row a prompt: id, behaviour, split, side, group, label, margin, and its projection on each direction."""
    side = np.where(found.sides.fit, "fit", np.where(found.sides.judge, "judge", ""))
    records = given.records
    columns: dict[str, Any] = {
        "id": [r.id for r in records], "behaviour": [r.behaviour for r in records],
        "split": [r.split for r in records], "side": side.tolist(), "group": [r.cluster for r in records],
        "label": pa.array(found.y, from_pandas=True), "margin": pa.array(given.margins, from_pandas=True),
    }  # fmt: skip
    values = dict(zip(found.directions.names, found.projections.T, strict=True))
    return pa.table(columns | values)


def judged_classes(
    found: Found,
) -> tuple[dict[str, tuple[list[float], list[float]]], dict[str, str], tuple[str, str]] | None:
    """What a picture shows: projections of both classes of the prompts judged on, titles, and what the classes are.

    Returns:
        None where there are no labels.
    """
    about, on = found.directions.about, found.sides.judge & ~np.isnan(found.y)
    if "cut" not in about:
        return None
    upper = found.y > about["cut"]
    columns = dict(zip(found.directions.names, found.projections.T, strict=True))
    pairs = {name: (values[on & ~upper].tolist(), values[on & upper].tolist()) for name, values in columns.items()}
    areas = {name: about["directions"][name]["auc"] for name in columns}
    titles = {name: name if np.isnan(area) else f"{name}: AUC {area:.2f}" for name, area in areas.items()}
    median = (f"margin up to {about['cut']:.2f}", "above")
    return pairs, titles, median if about["classes"] == "median" else ("wrong", "right")


def told_lines(directions: Directions) -> list[str]:
    """A line a direction, of how well it does."""
    about = directions.about
    return [f"{name}: {_told(figures, about)}" for name, figures in about["directions"].items()]


def _told(figures: dict[str, Any], about: Mapping[str, Any]) -> str:
    if "auc" not in figures:
        return "no labels to judge it by"
    if np.isnan(figures["auc"]):
        return f"cannot tell: all {about['judge']['prompts']} prompts that are judged on have one label"
    few = np.isnan(figures["auc_low"])
    interval = " (too few groups for an interval)" if few else f" [{figures['auc_low']:.2f}, {figures['auc_high']:.2f}]"
    return (
        f"AUC {figures['auc']:.3f}{interval}, q {figures['q']:.2g}; accuracy {figures['accuracy']:.0%} (always the "
        f"commoner: {about['base_rate']:.0%}); rank correlation with the margin {figures['spearman']:.2f}"
    )

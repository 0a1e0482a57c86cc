"""A unit of a sweep with the exact outcome: answer probabilities of many edits of one prompt.

Rows are dealt to buckets of one layer each, because a bucket starts at its layer; buckets go to the devices in order,
each with its own starting layer. The baseline needs no row: it is the clean pass itself.
"""

from functools import partial
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from causeway.engine.analyses.patch_sweep.cells import OTHER
from causeway.engine.analyses.patch_sweep.design import Rows
from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
from causeway.engine.analyses.patch_sweep.trial_table import row_name, what_was_done
from causeway.engine.gathered import to_host
from causeway.engine.intervention.edits import EMPTY, Edit
from causeway.engine.model.buckets import cut
from causeway.engine.model.finite import all_finite, traced
from causeway.engine.outcome.answers import score_answers
from causeway.engine.outcome.exact import Background, edited_answers, start_layer
from causeway.engine.precision import full_precision
from causeway.engine.sweep.layout import UnitResult
from causeway.engine.tokenized_prompt import TokenizedPrompt

# One bucket's edits, and the layer it starts at.
Own = tuple[tuple[Edit, ...], np.int32]


def exact_unit(sweep: PatchSweep, index: int) -> UnitResult:
    """Compute one unit."""
    prompt, chosen = sweep.part(index)
    rows = sweep.rows.take(chosen)
    tree, clean = sweep.answer_tree(prompt), sweep.clean(prompt)
    background = Background(sweep.scoring, sweep.placed[1], clean)
    edges, report = _run(sweep, prompt, rows, background, sweep.bucket(index))
    baseline = rows.layer == EMPTY
    edges[baseline] = to_host(clean.edges)
    scores = score_answers(tree, edges[:, : len(tree.edges)])
    columns = what_was_done(prompt, rows, **report)
    # A prompt may list its labels in another order; the table has one.
    columns |= {f"p_{label}": scores.probability[:, tree.labels.index(label)] for label in sweep.labels}
    columns |= {OTHER: scores.invalid, "expected_amount": scores.expected_amount}
    return UnitResult(columns, {})


def _run(
    sweep: PatchSweep, prompt: TokenizedPrompt, rows: Rows, background: Background, width: int
) -> tuple[Float[np.ndarray, "R e"], dict[str, np.ndarray]]:
    """Edge log probabilities of all rows, and the arrays [R, n, E] of their edit report; zeros without an edit."""
    edits = sweep.edits(prompt, rows)
    nodes, edges = background.clean.nodes, background.clean.edges
    out = np.zeros((len(rows), len(edges)), np.float64)
    shape = (len(rows), len(nodes.tokens), edits[0].layer.shape[1])
    report = {name: np.zeros(shape, np.float32) for name in ("before", "after")} | {"applied": np.zeros(shape, bool)}
    background = sweep.parallel.replicate(background)
    program = sweep.parallel.program(edited_answers)
    running: list[tuple[list[np.ndarray], list[Own], Any]] = []
    for stripe in sweep.parallel.deal(_buckets(rows, width)):
        taken = [jax.tree.map(itemgetter(np.resize(bucket, width)), edits) for bucket in stripe]
        own = [(mine, np.int32(start_layer(mine, background.clean))) for mine in taken]
        running.append((stripe, own, program(background, sweep.parallel.place(own))))
    for stripe, given, result in running:
        results = sweep.parallel.apart(to_host(result), len(stripe))
        for bucket, mine, (got, done) in zip(stripe, given, results, strict=True):
            used = slice(0, len(bucket))
            if not all_finite(got):
                error = traced(partial(_again, background, mine), ~np.isfinite(got).all(axis=1))
                raise error.of(row_name(prompt, rows, int(bucket[error.row % len(bucket)])))
            out[bucket] = got[used]
            for name, target in report.items():
                target[bucket] = getattr(done[0], name)[used]
    return out, report


def _again(background: Background, own: Own) -> None:
    """One bucket as a plain function."""
    full_precision(edited_answers)(background, jax.tree.map(jnp.asarray, own))


def _buckets(rows: Rows, width: int) -> list[np.ndarray]:
    """Row numbers in buckets of one layer each."""
    layers = np.unique(rows.layer[rows.layer != EMPTY])
    return [bucket for layer in layers for bucket in cut(np.flatnonzero(rows.layer == layer), width)]

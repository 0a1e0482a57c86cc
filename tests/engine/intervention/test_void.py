"""Edits that holds put back before anything reads them: refused where they change nothing, and nowhere else."""

import itertools

import numpy as np
import pytest

from causeway.engine.calls import run as calls
from causeway.engine.calls.generate import generate
from causeway.engine.calls.run import run
from causeway.engine.intervention.hold import Hold
from causeway.engine.intervention.requests import FeatureEdit, PatternEdit, SwapEdit, UnitEdit, VectorEdit

PROMPT = [7, 31, 2, 19, 19, 0, 38]
STREAMS = ("resid_pre", "attn_in", "query", "value", "attn_pattern", "head_out", "attn_out", "resid_mid", "mlp_norm",
           "mlp_in", "mlp_act", "mlp_out", "resid_post")  # fmt: skip

pytestmark = pytest.mark.usefixtures("double")


# Each stream edited with each held; in the first the one that follows it.
PAIRS = list(itertools.product(STREAMS, STREAMS))


def edit_of(model, stream, layer=1):
    if stream == "attn_pattern":
        return PatternEdit(layer, 1, 4, 2)
    if stream == "mlp_act":
        return UnitEdit(layer, 1, 3.0, "set", stream=stream)
    if stream in ("query", "value", "head_out"):
        return UnitEdit(layer, 1, stream=stream)
    vector = np.random.default_rng(0).standard_normal(model.config.d_model)
    return VectorEdit(layer, vector, 3.0, "add", stream=stream)


@pytest.mark.parametrize(("family", "pairs"), [
    ("llama", PAIRS[1::14]), pytest.param("gemma2", PAIRS[::3], marks=pytest.mark.slow),
])  # fmt: skip
def test_what_is_refused_changes_nothing_and_all_else_something(tiny, cases, monkeypatch, family, pairs):
    model, checked = cases.make_model(tiny, family), []
    clean = run(model, PROMPT).logits[0]
    monkeypatch.setattr(calls, "check_void", lambda *given: checked.append(given))
    for edited, held in pairs:
        found = run(model, PROMPT, edits=[edit_of(model, edited)], holds=Hold(held, 1), batch_rows=1).logits[0]
        moved = np.abs(found - clean).max()
        try:
            CHECK(*checked.pop())
        except ValueError:
            assert moved < 1e-12, (edited, held)
        else:
            assert moved > 1e-9, (edited, held)


CHECK = calls.check_void
VOID = [
    (UnitEdit(1, 0, stream="query"), "attn_pattern", "query.1 changes nothing, because holds put back attn_pattern.1"),
    (UnitEdit(1, 0, stream="value"), ["attn_out.1"], "because holds put back attn_out.1"),
    (SwapEdit(0, np.ones(16), stream="resid_pre"), "resid_post.1", "resid_pre.0 changes nothing"),
    (FeatureEdit(0, 5, 2.0), "resid_pre.1", "resid_post.0 changes nothing"),
]


@pytest.mark.parametrize(("edit", "holds", "what"), VOID)
def test_it_is_said_what_puts_it_back(tiny, cases, refuses, edit, holds, what):
    model, saes = cases.make_model(tiny), cases.make_dictionary(tiny, "sae")
    with refuses(what):
        run(model, PROMPT, dictionary=saes, edits=[edit], holds=holds)


def test_what_a_tap_or_a_dictionary_reads_is_not_void(tiny, cases):
    model, relu = cases.make_model(tiny), cases.make_dictionary(tiny, "relu")
    push = edit_of(model, "mlp_in")
    run(model, PROMPT, edits=[push], holds="mlp_out", taps=["mlp_act"])
    run(model, PROMPT, dictionary=relu, edits=[push, FeatureEdit(1, 3, 2.0)], holds="mlp_out")
    run(model, PROMPT, dictionary=cases.make_dictionary(tiny, "skip_mlp_in"), edits=[push], holds="mlp_out")


@pytest.mark.slow
def test_generated_tokens_hold_nothing_and_read_edited_keys(tiny, cases, refuses):
    model, options = cases.make_model(tiny), {"holds": "attn_pattern", "max_new_tokens": 1, "temperature": 0.0}
    generate(model, PROMPT, edits=[UnitEdit(1, 0, stream="key")], **options)
    generate(model, PROMPT, edits=[UnitEdit(1, 0, stream="query", scope="decode")], **options)
    with refuses("query.1 changes nothing"):
        generate(model, PROMPT, edits=[UnitEdit(1, 0, stream="query", scope="last_prompt")], **options)

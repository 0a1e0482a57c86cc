"""A thousand interventions on one prompt: few batch passes, one clean pass."""

import pytest

from causeway.engine.analyses.intervene import clean_run
from causeway.engine.bench.attribute import GraphShape
from causeway.engine.bench.intervene import measure_interventions


@pytest.mark.slow
def test_a_thousand_interventions_are_at_most_twenty_batch_passes(monkeypatch):
    passes, record = [], clean_run.record_prompt
    monkeypatch.setattr(clean_run, "record_prompt", lambda *given: passes.append(0) or record(*given))
    shape = GraphShape(layers=4, d_model=128, heads=4, kv_heads=2, d_ff=352, vocab=512, features=512)
    figures = measure_interventions(shape, repeats=2, modes=("open",))
    # Once for the call that compiles, once for each that is timed.
    assert len(passes) == 3
    assert figures["open_batch_passes"] <= 20
    assert figures["open_whole_passes"] <= 20

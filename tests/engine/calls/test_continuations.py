"""Continuations of many prompts as a job: they go on where they were stopped and are those of `cw.generate`."""

import numpy as np
import pytest

import causeway as cw
from causeway.engine.calls import continuations
from causeway.engine.calls.continuations import Continuations, Continued, texts
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store


@pytest.fixture
def wanted(transformer, dictionary, monkeypatch):
    monkeypatch.setattr(continuations, "UNIT_ROWS", 3)
    rng = np.random.default_rng(2)
    prompts = [tuple(rng.integers(8, 40, length).tolist()) for length in (9, 12, 14, 10, 16)]
    edits = ((), (cw.FeatureEdit(2, 7, 60.0, scope="last_prompt_and_decode"),))
    rows = tuple(Continued(ids, 0, f"prompt {i}", edits[i % 2]) for i, ids in enumerate(prompts))
    model = cw.Model(transformer, None, "tiny", "of the tests")
    return Continuations(model, rows, 3, dictionary=dictionary)


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_writes_what_generate_writes(wanted, tmp_path):
    folder = tmp_path / f"generated-{wanted.plan.fingerprint[:12]}"
    assert run_sweep(Store(folder, wanted.plan), wanted.unit, limit=1).finished == 1
    first = (folder / "units" / "00000.parquet").stat().st_mtime_ns
    found = texts(wanted, tmp_path)
    assert (folder / "units" / "00000.parquet").stat().st_mtime_ns == first
    alone = [
        cw.generate(
            wanted.model, list(row.tokens), edits=list(row.edits), dictionary=wanted.dictionary, max_new_tokens=3,
            temperature=0,
        )[0].texts[0][0]
        for row in wanted.rows
    ]  # fmt: skip
    assert found == alone
    assert texts(wanted, tmp_path) == found


def test_a_prompt_without_room_is_named(wanted, refuses):
    with refuses("max_new_tokens: 60 after the 9 tokens of prompt 0 exceed the context of 64; draw fewer"):
        Continuations(wanted.model, wanted.rows, 60)

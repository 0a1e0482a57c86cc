"""A plan tells what was measured where there is something, what follows from shapes elsewhere, and what is unknown."""

import dataclasses
import importlib
import re
from pathlib import Path

import pytest

from causeway.engine.analyses.study.commands import ROWS
from causeway.engine.analyses.study.cost_table import COSTS, cost
from causeway.engine.analyses.study.costs import Cost, DictionaryShape, Facts, Machine, ModelShape, Unknown
from causeway.engine.analyses.study.plan import Estimate, plan, table
from causeway.engine.analyses.study.records import Digests, Places
from causeway.engine.analyses.study.stages import read_study
from causeway.engine.analyses.study.standing import Look
from tests.engine.analyses.study.toy_study import DRIVERS, config

MODEL = ModelShape(100_000_000, 20_000_000, 20_000_000, 10_000_000, 30, 576, 9, 46_080, 2048, 250e6)
SAES = DictionaryShape(8_000_000, 2304, 3, 96.0)
VALUES = {
    "model": "some", "storage": "float32", "generate": False, "importance": False, "positions": "last_5", "keep": 50,
    "full": False, "max_feature_nodes": 500, "all_features": False, "max_features": 20, "operation": ["zero"],
    "edits": [], "held_out": 0.5, "orders": 1, "atoms": 8, "batch_rows": None, "null_draws": 5, "live": True,
    "play": None, "outcome": "sampled", "arms": ["baseline", "noop", "patch", "ablate", "random", "dose"],
    "doses": ["0.5", "1.5"], "random_draws": 3, "trials": 30, "max_new_tokens": 8,
    "top": 5, "random_pairs": 2, "scope": "last_prompt", "sweep": None, "teacher_forced": True,
}  # fmt: skip
FACTS = Facts(VALUES, [20] * 50, 2, MODEL, SAES, 2, 100, 40, 6000)
MACHINE = Machine(1.0, 1e11)


@pytest.mark.parametrize("driver", COSTS)
def test_costs_grow_with_what_is_looked_at_and_are_one_forward_pass_at_least(driver):
    found = cost(driver, FACTS)
    assert min(found.seconds, found.memory_bytes, found.disk_bytes) > 0
    more: dict = {"lengths": [20] * 100, "responses": 12_000}
    own = {"decompose": {"neurons": 200}, "convert": {"model": dataclasses.replace(MODEL, numbers=200_000_000)}}
    twice = cost(driver, dataclasses.replace(FACTS, **own.get(driver, more)))
    # What reads responses alone writes a few figures of them.
    assert twice.disk_bytes > found.disk_bytes - (driver in ("audit", "select", "integrate"))
    assert MACHINE.seconds(twice, MODEL) > MACHINE.seconds(found, MODEL)
    slow = Machine(2.0, 1e11)
    assert slow.seconds(found, MODEL) > MACHINE.seconds(found, MODEL)
    if found.operations:
        # 2 N a token of a pass over prompts of 24 tokens, which 20 are padded to.
        assert driver == "decompose" or found.operations >= 2 * 80_000_000 * 24 * 50
        assert twice.operations == pytest.approx(2 * found.operations, rel=1e-6)
        wide = dataclasses.replace(FACTS, values=VALUES | {"storage": "bfloat16"})
        assert found.memory_bytes - cost(driver, wide).memory_bytes == pytest.approx(2 * 108_000_000)


@pytest.mark.parametrize(
    ("scope", "tokens"), [("last_prompt", 1), ("positions:-8:", 8), ("positions:-90:", 24), ("positions:1:", 24)]
)
def test_pathways_cost_passes_from_the_first_token_that_is_set(scope, tokens):
    # Of each of 40 targets 5 pairs and 2 by chance; a source and 3 random features; half of 50 prompts.
    rows = 40 * 7 * 4 * 25
    found = cost("pathways", dataclasses.replace(FACTS, values=VALUES | {"scope": scope}))
    assert found.operations == pytest.approx(FACTS.forward(24 * 50 * 41 + rows * tokens / 2, 0))


def test_a_sweep_costs_its_rows_and_rollouts_every_token_they_write():
    # A baseline, and of each of 40 features 2 patches, an ablation, 3 x 3 random features and 2 x 2 doses.
    rows = 50 * (1 + 40 * (2 + 1 + 9 + 4))
    passes = FACTS.forward(24 * 50, 0)
    sampled = cost("patch_sweep", FACTS)
    assert sampled.operations - passes == pytest.approx(FACTS.forward(8 * 30 * rows, 8 * 30 * rows))
    exact = cost("patch_sweep", dataclasses.replace(FACTS, values=VALUES | {"outcome": "exact"}))
    assert exact.operations - passes == pytest.approx(FACTS.forward(rows, rows))


@pytest.mark.parametrize(
    ("driver", "facts", "why"),
    [
        ("none", FACTS, "no figures of none are known; a first run gives them"),
        ("evaluate", dataclasses.replace(FACTS, lengths=None), "its prompts are not known before"),
        ("evaluate", dataclasses.replace(FACTS, model=None), "the model's configuration is not here"),
        ("features", dataclasses.replace(FACTS, dictionaries=None), "the dictionaries are not here"),
        ("attribute", dataclasses.replace(FACTS, dictionaries=dataclasses.replace(SAES, active=None)), "how many feat"),
        ("second_order", dataclasses.replace(FACTS, directions=None), "how many directions there will be is not known"),
        ("evaluate", dataclasses.replace(FACTS, values=VALUES | {"generate": True}), "what --generate takes"),
        ("screen", dataclasses.replace(FACTS, values=VALUES | {"play": 5}), "what --play takes"),
        ("patch_sweep", dataclasses.replace(FACTS, patched=None), "how many features there will be is not known"),
    ],
)
def test_what_no_shape_tells_is_unknown(driver, facts, why):
    with pytest.raises(Unknown, match=why):
        cost(driver, facts)


def planned(toy, given, **options):
    study = read_study(given, DRIVERS)
    commands = {stage.name: toy._command(stage, {}) for stage in study.stages}
    places = Places(toy.workdir)
    standings = Look(commands, places, Digests(places.records / "inputs.json")).all(study)
    asked = []

    def machine():
        asked.append(1)
        return MACHINE

    found = plan(study, commands, standings, lambda name: FACTS, machine, **options)
    return {one.stage: one for one in found}, asked


def test_a_stage_that_ran_with_the_same_values_has_measured_figures(toy):
    toy()
    found, asked = planned(toy, config(one=9))
    assert not asked
    # a has other values now; c has the same, and takes what will be made again.
    assert found["a"].basis.startswith("unknown: no figures of make are known")
    assert (found["b"].basis, found["b"].due) == ("up to date; measured", False)
    assert (found["c"].basis, found["c"].due) == ("measured in an earlier run", True)
    assert (found["c"].seconds, found["c"].memory_bytes, found["c"].disk_bytes) == (2.5, 7_000_000, 13)
    assert planned(toy, config(one=9), measured_alone=True)[0]["a"].basis == "not measured yet"


def test_shapes_are_asked_where_nothing_was_measured(toy, monkeypatch):
    costs = importlib.import_module("causeway.engine.analyses.study.cost_table")
    known = {"make": lambda facts: Cost(3.0, 1e9, 1e6, 2e11, 0.5), "join": lambda facts: Cost(1.0, 2e9, 1e3)}
    monkeypatch.setattr(costs, "COSTS", known)
    found, _ = planned(toy, config())
    # 3 s, 0.4 s to read the model, 4 s of products at half of the rate.
    assert found["a"].seconds == pytest.approx(7.4)
    assert found["c"].memory_bytes == 2e9


def test_sums_say_what_they_leave_out():
    estimates = [
        Estimate("a", 100.0, 1e9, 5e6, True, "estimated from shapes"),
        Estimate("b", 50.0, 3e9, 1e6, True, "measured in an earlier run"),
        Estimate("c", 40.0, 9e9, 1e6, False, "up to date; measured"),
        Estimate("d", None, None, None, True, "unknown: why"),
    ]
    lines = table(estimates).splitlines()
    assert lines[0].split() == ["stage", "time", "memory", "disk"]
    assert lines[1].split() == ["a", "100", "s", "1", "GB", "5", "MB", "estimated", "from", "shapes"]
    assert lines[-2].split() == ["d", "unknown", "unknown", "unknown", "unknown:", "why"]
    assert lines[-1] == "in all  0:02:30  3 GB     6 MB     3 of 4 stages to run; without d"


def test_versions_of_rows_are_those_of_the_analyses():
    analyses = Path(importlib.import_module("causeway.engine.analyses").__file__).parent
    found = {
        path.parent.name: version
        for path in analyses.glob("*/*.py")
        for version in re.findall(r'^ROWS_VERSION = "(.+)"', path.read_text(), re.MULTILINE)
    }
    assert len(found) >= 5
    assert {driver: version for driver, version in found.items() if version != "1"} == ROWS

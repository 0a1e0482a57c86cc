"""A plan tells what was measured where there is something, what follows from shapes elsewhere, and what is unknown."""

import dataclasses
import importlib
import json
import re
from pathlib import Path

import pytest

from causeway.configs import bundled_tiny
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
    "unrelated": [], "unrelated_data": [], "export": None, "factors": ["0.5", "2"], "together": [],
    "measure": "activation", "scores": None, "words": [], "num_words": 20,
    "steps": 500, "batch": 1024, "layers": [], "num_features": None, "cross_layer": False, "buffer_mib": 256,
    "data": ["tasks"], "tokenizer": None, "config": json.loads(bundled_tiny.get_config().to_json()),
    "num_texts": 200, "length": 64, "bands": 3, "band_contexts": 5, "reach": 10, "unit_rows": 16,
}  # fmt: skip
FACTS = Facts(VALUES, [20] * 50, 2, MODEL, SAES, 2, 100, 40, 6000)
MACHINE = Machine(1.0, 1e11)


@pytest.mark.parametrize("driver", COSTS)
def test_costs_grow_with_what_is_looked_at_and_are_one_forward_pass_at_least(driver):
    found = cost(driver, FACTS)
    assert min(found.seconds, found.memory_bytes, found.disk_bytes) > 0
    more: dict = {"lengths": [20] * 100, "responses": 12_000}
    steps = {"steps": 1000, "config": VALUES["config"] | {"schedule": {"steps": 3200}}}
    own = {
        "decompose": {"neurons": 200}, "convert": {"model": dataclasses.replace(MODEL, numbers=200_000_000)},
        "polysemanticity": {"neurons": 200}, "train_model": {"values": VALUES | steps},
        "train_dictionary": {"values": VALUES | steps}, "contexts": {"values": VALUES | {"num_texts": 400}},
    }  # fmt: skip
    twice = cost(driver, dataclasses.replace(FACTS, **own.get(driver, more)))
    # What reads responses alone writes a few figures of them, and what is trained is as large after more steps.
    as_large = ("audit", "select", "integrate", "edit", "errors", "train_model", "train_dictionary")
    assert twice.disk_bytes > found.disk_bytes - (driver in as_large)
    assert MACHINE.seconds(twice, MODEL) > MACHINE.seconds(found, MODEL)
    slow = Machine(2.0, 1e11)
    assert slow.seconds(found, MODEL) > MACHINE.seconds(found, MODEL)
    if found.operations:
        # 2 N a token of a pass over prompts of 24 tokens, which 20 are padded to.
        assert driver in ("decompose", "train_model") or found.operations >= 2 * 80_000_000 * 24 * 50
        # Features' words are read off the unembedding once, however many texts there are.
        once = 2.0 * 2304 * 3 * MODEL.logit_numbers if driver == "contexts" else 0.0
        assert twice.operations == pytest.approx(2 * found.operations - once, rel=1e-6)
        wide = dataclasses.replace(FACTS, values=VALUES | {"storage": "bfloat16"})
        expected = 0 if driver == "train_model" else 2 * 108_000_000
        assert found.memory_bytes - cost(driver, wide).memory_bytes == pytest.approx(expected)


def test_training_costs_six_operations_a_parameter_and_token():
    texts, tasks = (cost("train_model", dataclasses.replace(FACTS, values=VALUES | {"data": d})) for d in ("x", ""))
    # Of 32 rows of 128 tokens, or of 16 of 64 and of 26, and 64 of 14.
    assert tasks.operations / texts.operations == pytest.approx((16 * 64 + 16 * 26 + 64 * 14) / (32 * 128))
    # Four layers of attention and MLP, nine norms, and 512 words.
    numbers = 4 * (49_152 + 3 * 32_768) + 9 * 128 + 512 * 128
    assert texts.operations == pytest.approx(6 * numbers * 4096 * 1600, rel=0.01)
    one, crossed = (
        cost("train_dictionary", dataclasses.replace(FACTS, values=VALUES | {"layers": ["0", "1"], "cross_layer": c}))
        for c in (False, True)
    )  # fmt: skip
    step = 6 * 576 * 8 * 576 * 1024
    assert one.operations == pytest.approx(500 * (4 * step) + FACTS.forward(500 * 1024, 0))
    assert crossed.operations - one.operations == pytest.approx(500 * step)


def test_programs_that_are_kept_need_no_compiling(toy, monkeypatch):
    assert "less where" not in planned(toy, config())[0]["a"].basis
    costs = importlib.import_module("causeway.engine.analyses.study.cost_table")
    monkeypatch.setattr(costs, "COSTS", {"make": lambda facts: Cost(30.0, 1, 1), "join": lambda facts: Cost(1.0, 1, 1)})
    monkeypatch.setattr(costs, "COMPILING", {"make": 11.0})
    found, _ = planned(toy, config())
    assert found["a"].basis == "estimated from shapes; 11 s less where its programs are kept"
    assert found["c"].basis == "estimated from shapes"


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
        ("train_dictionary", dataclasses.replace(FACTS, values=VALUES | {"steps": None}), "with --steps it is known"),
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

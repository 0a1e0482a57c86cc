"""Graphs of many prompts: the bits of each alone, stored and resumed; prompts, targets and roles."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from causeway.engine.analyses.attribute import graph_sweep as sweep_module
from causeway.engine.analyses.attribute.attribute import attribute
from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
from causeway.engine.analyses.attribute.graph_sweep import GraphSweep
from causeway.engine.analyses.attribute.graph_table import graph_row, graph_schema, row_graph
from causeway.engine.analyses.attribute.prompts import CircuitPrompt, pair_prompt, token_prompt
from causeway.engine.devices import local_parallel
from causeway.engine.prompt_record import pair
from causeway.engine.sweep.job import run
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store

PLAN = AttributionPlan(max_feature_nodes=40, update_every=16, rows=16)
LINES = [
    pair("hfcttam", "l", "z", "sums", "train", id="first", roles={"subject": "tt", "verb": 0}),
    pair("abcabcabc", "xy", "xz", "sums", "train", id="second", roles={"subject": -2}),
    pair("zyxw", "a", "b", "sums", "test", id="2"),
]


@pytest.fixture
def sweep(model, transcoders):
    prompts = tuple(pair_prompt(model, line) for line in LINES)
    return GraphSweep(model, transcoders, prompts, PLAN, local_parallel(1), unit_prompts=2)


def assert_equal(graph, other):
    for field in dataclasses.fields(graph):
        a, b = getattr(graph, field.name), getattr(other, field.name)
        if field.name == "edges":
            assert a.dtype == b.dtype
            a, b = a.toarray(), b.toarray()
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_each_graph_has_the_bits_of_its_prompt_alone(sweep, tmp_path):
    assert run(sweep, tmp_path).finished == 2
    found = list(sweep.graphs(tmp_path))
    assert [prompt.id for prompt, _ in found] == ["first", "second", "2"]
    for prompt, graph in found:
        alone = attribute(sweep.model, sweep.transcoders, prompt.tokens, targets=prompt.targets, plan=PLAN)
        assert_equal(graph, alone)
        assert len(graph.features) == 40
        assert graph.scores() == alone.scores()


def test_a_stopped_run_goes_on_with_the_same_bytes(sweep, contents, tmp_path):
    run(sweep, tmp_path / "whole")
    stopped = run_sweep(Store(tmp_path / "parts", sweep.plan), sweep.unit, limit=1)
    assert (stopped.finished, stopped.stopped) == (1, "limit")
    assert run(sweep, tmp_path / "parts").computed == 1
    whole, parts = (contents(Store(tmp_path / name, sweep.plan)) for name in ("whole", "parts"))
    assert whole == parts


def test_other_budgets_are_another_plan(sweep, tmp_path, refuses):
    sweep.plan.bind(tmp_path)
    other = dataclasses.replace(sweep, settings=dataclasses.replace(PLAN, max_feature_nodes=41))
    with refuses("max_feature_nodes: 40 in the workdir, 41 now"):
        run(other, tmp_path)


def test_a_moved_model_goes_on_and_dictionaries_are_hashed_once(sweep, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(sweep_module, "dictionary_digest", lambda dictionary: calls.append(dictionary) or "0" * 64)
    sweep.plan.bind(tmp_path)
    moved = dataclasses.replace(sweep, model=dataclasses.replace(sweep.model, name="elsewhere"))
    moved.plan.bind(tmp_path)
    assert list(moved.graphs(tmp_path)) == list(moved.graphs(tmp_path)) == []
    assert len(calls) == 2


def test_a_graph_is_a_row_and_back(model, transcoders):
    for targets in (None, (5, 7)):
        graph = attribute(model, transcoders, [3, 1, 4, 1, 5], targets=targets, plan=PLAN)
        schema = pa.schema([field for field in graph_schema("float32") if field.name in graph_row(graph)])
        table = pa.Table.from_pydict({name: [value] for name, value in graph_row(graph).items()}, schema=schema)
        assert_equal(row_graph(table, 0), graph)


def test_a_pair_of_answers_is_told_apart_where_they_part(model):
    prompt = pair_prompt(model, LINES[1])
    assert prompt.tokens == (*model.tokens("abcabcabc"), 23)
    assert prompt.answers == (24, 25)
    assert dict(prompt.targets[0].weights) == {24: 1.0, 25: -1.0}
    # Counted from the prompt's own end, without the token that the answers share.
    assert prompt.roles == {"subject": 7}
    assert pair_prompt(model, LINES[0]).roles == {"subject": 4, "verb": 0}


def test_a_counterfactual_of_the_same_length_goes_with_its_prompt(model):
    """With the token that the answers share; one of another length cannot stand beside the prompt."""
    for text, expected in (("abcabcabd", (*model.tokens("abcabcabd"), 23)), ("abc", None), ("abcabcabc", None)):
        line = dataclasses.replace(LINES[1], counterfactual=text)
        assert pair_prompt(model, line).counterfactual == expected


def test_named_targets_are_single_tokens(model, refuses):
    assert token_prompt(model, "abc", ["d", "id:30"]).targets == (3, 30)
    assert token_prompt(model, "abc", []).targets is None
    for text, message in (("de", "'de' is 2 tokens"), ("id:40", "outside the vocabulary"), ("", "is 0 tokens")):
        with refuses(message):
            token_prompt(model, "abc", [text])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": pair("", "l", "l").answers}, "never diverge"),
        ({"roles": {"subject": "q"}}, "'q', which is not in the prompt"),
        ({"roles": {"subject": 7}}, "position 7; the prompt has 7 tokens"),
    ],
)
def test_what_cannot_be_explained_is_refused(model, refuses, change, message):
    with refuses(message):
        pair_prompt(model, dataclasses.replace(LINES[0], **change))


def test_prompts_that_cannot_be_split_are_refused_first(sweep, refuses):
    sweep.check_held_out(0.0)
    with refuses("held_out: 1 prompts cannot be split"):
        sweep.check_held_out(0.5)


def test_runs_without_prompts_or_with_equal_ids_are_refused(sweep, refuses):
    for prompts in ((), sweep.prompts[:1] * 2):
        with refuses("prompts: .* distinct ids"):
            dataclasses.replace(sweep, prompts=prompts)
    one = CircuitPrompt("short", "sums", "train", (3,), None)
    with refuses(r"1 token; .*\(prompt short\)"):
        dataclasses.replace(sweep, prompts=(one,))

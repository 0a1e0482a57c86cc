"""Lines about a graph: measured effects are in the graph's own units, and say what the reader has to know."""

import numpy as np
import pytest

from causeway.engine.analyses.attribute.attribute import attribute
from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
from causeway.engine.analyses.attribute.prompts import CircuitPrompt
from causeway.engine.analyses.attribute.targets import logit_difference
from causeway.engine.analyses.intervene import graph_summary
from causeway.engine.analyses.intervene.clean_run import CleanRun
from causeway.engine.analyses.intervene.intervention_rows import feature_rows
from causeway.engine.intervention.operations import coefficients

TOKENS = (7, 31, 2, 19, 19, 0, 38)
PLAN = AttributionPlan(max_feature_nodes=None, rows=16)

pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture(scope="module")
def parts(double, tiny, cases):
    return cases.make_model(tiny, "llama"), cases.make_dictionary(tiny, "skip_mlp_in")


@pytest.mark.parametrize("targets", [None, (3, 5), (logit_difference(3, 9),), (logit_difference(1, 2), 6)])
def test_targets_as_weights_of_logits_are_what_direct_edges_move(parts, targets):
    model, transcoders = parts
    prompt = CircuitPrompt("one", "b", "all", TOKENS, targets)
    graph = attribute(model, transcoders, TOKENS, targets=targets, plan=PLAN)
    weights = graph_summary.target_weights(prompt, graph, model.config.vocab_size)
    run = CleanRun(model, transcoders, TOKENS)
    rows = feature_rows(run.transcoders, graph.features[:5], coefficients("zero", 0.0))
    fallen = (run.logits[-1] - run.last_logits(rows, "constrained", width=8)) @ weights
    direct = (graph.edges[len(graph.features) :].T @ graph.probabilities)[:5]
    np.testing.assert_allclose(fallen, direct, atol=1e-9)


def test_lines_name_targets_and_as_many_features_as_asked(parts):
    model, transcoders = parts
    prompt = CircuitPrompt("one", "b", "all", TOKENS, None)
    graph = attribute(model, transcoders, TOKENS, plan=PLAN)
    lines = graph_summary.prompt_lines(model, transcoders, prompt, graph, shown=3)
    assert lines[0].startswith("  explains the next token: ")
    assert sum("measured " in line for line in lines[2:]) == 3
    effects = np.abs(graph.total_effects()[: len(graph.features)])
    layer, position, feature = graph.features[effects.argmax()]
    assert f"layer {layer:>2} feature {feature:>6} at {position:>3}" in lines[2]

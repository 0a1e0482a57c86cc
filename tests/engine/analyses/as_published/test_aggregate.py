"""The documented aggregate of a run: of one behaviour and split, of the layers and prompts asked for."""

import numpy as np
import pytest

from causeway.engine.analyses.as_published.aggregate import documented_of_group
from causeway.engine.analyses.as_published.attribution import documented_aggregate, documented_attribution
from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
from causeway.engine.analyses.attribute.graph_sweep import GraphSweep
from causeway.engine.analyses.attribute.prompts import pair_prompt
from causeway.engine.analyses.prompts.prompt import BehaviourPrompt
from causeway.engine.devices import local_parallel

TEXTS = ("hfcttam", "abcabca", "zyxwvut")


@pytest.fixture(scope="module")
def sweep(model, transcoders):
    lines = [BehaviourPrompt(text, "l", "z", "sums", "test" if i == 1 else "train") for i, text in enumerate(TEXTS)]
    prompts = tuple(pair_prompt(model, line, i) for i, line in enumerate(lines))
    return GraphSweep(model, transcoders, prompts, AttributionPlan(), local_parallel(1))


def test_only_the_group_counts(sweep):
    found = documented_of_group(sweep, ("sums", "train"))
    pairs = [
        tuple(documented_attribution(sweep.model, sweep.transcoders, sweep.prompts[i].tokens, t) for t in (11, 25))
        for i in (0, 2)
    ]
    expected = documented_aggregate(pairs, (0, 1, 2))
    assert found.prompts == 2
    np.testing.assert_array_equal(found.feature, expected.feature)
    np.testing.assert_allclose(found.correct, expected.correct)


def test_layers_prompts_and_thresholds_of_a_configuration(sweep, refuses):
    found = documented_of_group(sweep, ("sums", "train"), {"layers": (1, 30), "prompts": 1, "top_k": 2})
    assert found.prompts == 1
    assert set(found.layer) <= {1}
    assert len(found.layer) <= 2
    with refuses(r"layers: got \(30,\); needs some of"):
        documented_of_group(sweep, ("sums", "train"), {"layers": (30,)})

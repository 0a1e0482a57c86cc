"""The published aggregate of a run: of one behaviour and split, of the layers and prompts asked for."""

import numpy as np
import pytest

from causeway.engine.analyses.as_published.aggregate import published_of_group
from causeway.engine.analyses.as_published.attribution import published_aggregate, published_attribution
from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
from causeway.engine.analyses.attribute.graph_sweep import GraphSweep
from causeway.engine.analyses.attribute.prompts import pair_prompt
from causeway.engine.devices import local_parallel
from causeway.engine.prompt_record import pair

TEXTS = ("hfcttam", "abcabca", "zyxwvut")


@pytest.fixture(scope="module")
def sweep(model, transcoders):
    lines = [pair(text, "l", "z", "sums", "test" if i == 1 else "train", id=str(i)) for i, text in enumerate(TEXTS)]
    prompts = tuple(pair_prompt(model, line) for line in lines)
    return GraphSweep(model, transcoders, prompts, AttributionPlan(), local_parallel(1))


def test_only_the_group_counts(sweep):
    found = published_of_group(sweep, ("sums", "train"))
    pairs = [
        tuple(published_attribution(sweep.model, sweep.transcoders, sweep.prompts[i].tokens, t) for t in (11, 25))
        for i in (0, 2)
    ]
    expected = published_aggregate(pairs, (0, 1, 2))
    assert found.prompts == 2
    np.testing.assert_array_equal(found.feature, expected.feature)
    np.testing.assert_allclose(found.correct, expected.correct)


def test_layers_prompts_and_thresholds_of_a_configuration(sweep, refuses):
    found = published_of_group(sweep, ("sums", "train"), {"layers": (1, 30), "prompts": 1, "top_k": 2})
    assert found.prompts == 1
    assert set(found.layer) <= {1}
    assert len(found.layer) <= 2
    with refuses(r"layers: got \(30,\); needs some of"):
        published_of_group(sweep, ("sums", "train"), {"layers": (30,)})

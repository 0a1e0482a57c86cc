"""Edges split by heads: the parts sum to the edge, and each is what the head alone carries."""

import dataclasses

import jax
import numpy as np
import pytest

from causeway.engine.analyses.attribute.attribute import attribute
from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
from causeway.engine.analyses.attribute.heads import EdgeSplitter
from causeway.engine.analyses.attribute.targets import logit_difference

FAST = [("llama", "sae_cut_some"), ("gpt2", "cross_layer_skip")]
SLOW = [
    ("llama", "skip_shuffled"), ("llama", "jumprelu"), ("llama", "sae"), ("gpt_neox", "skip_mlp_in"),
    ("gemma2", "gated"), ("qwen3", "sae_cut"),
]  # fmt: skip
CASES = [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]
LOGITS = (5, logit_difference(9, 30))
LAYERS = 3

pytestmark = pytest.mark.usefixtures("double")


def edges_of(graph, rng, count):
    """(target, source, weight) of the largest edges, of some random ones, and of all kinds into the logits."""
    n, length, dense = len(graph.features), len(graph.tokens), graph.edges.toarray()
    names = [
        *map(tuple, graph.features.tolist()),
        *(("error", layer, position) for layer in range(LAYERS) for position in range(length)),
        *(("token", position) for position in range(length)),
    ]  # fmt: skip
    targets = [*names[:n], *LOGITS]
    largest = np.argsort(-abs(dense).ravel())[:count]
    drawn = rng.choice(np.flatnonzero(dense), count, replace=False)
    ends = [row * dense.shape[1] + column for row in (n, n + 1) for column in (0, n + 2, n + length + 1, -2)]
    for place in {*largest, *drawn, *ends}:
        row, column = divmod(int(place), dense.shape[1])
        yield targets[row], names[column], dense[row, column]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "kind"), CASES)
def test_parts_sum_to_the_edge(tiny, cases, family, kind):
    model, dictionary = cases.make_model(tiny, family), cases.make_dictionary(tiny, kind)
    plan = AttributionPlan(max_feature_nodes=None, cut=kind.startswith("sae_cut"))
    graph = attribute(model, dictionary, cases.PROMPT, targets=LOGITS, plan=plan)
    splitter, moved = EdgeSplitter(model, dictionary, cases.PROMPT, plan), 0
    for target, source, weight in edges_of(graph, np.random.default_rng(0), 12):
        parts = splitter.split(target, source)
        assert parts.heads.shape == (LAYERS, 4)
        assert parts.edge == pytest.approx(weight, abs=1e-9)
        moved += (abs(parts.heads) > 1e-6).any()
        if isinstance(target, tuple) and source[-2 if len(source) == 3 and source[0] != "error" else -1] != target[1]:
            assert parts.direct == 0
    assert moved


def test_a_head_without_weights_has_no_part_and_takes_none_of_the_direct_one(tiny, cases):
    """Of the last layer no path goes through a later head: with that head silenced only its part is gone."""
    model, dictionary = cases.make_model(tiny), cases.make_dictionary(tiny, "relu")
    splitter = EdgeSplitter(model, dictionary, cases.PROMPT)
    source = next(tuple(map(int, node)) for node in splitter.active.nodes if node[0] == 1 and node[1] == 2)
    before = splitter.split(5, source)
    assert not before.heads[:2].any()
    silenced = jax.tree.map(lambda a: a, splitter.frozen.transformer)
    silenced.blocks.attention.output[...] = silenced.blocks.attention.output[...].at[2, 1].set(0)
    splitter.frozen = dataclasses.replace(splitter.frozen, transformer=silenced)
    after = splitter.split(5, source)
    np.testing.assert_allclose(after.heads[2, [0, 2, 3]], before.heads[2, [0, 2, 3]], atol=1e-12)
    assert after.heads[2, 1] == 0 != before.heads[2, 1]
    assert after.direct == pytest.approx(before.direct)


def test_what_is_not_on_the_prompt_is_refused(tiny, cases, refuses):
    splitter = EdgeSplitter(cases.make_model(tiny), cases.make_dictionary(tiny, "relu"), cases.PROMPT)
    for source in (("token", 7), ("error", 0, -1)):
        with refuses("the prompt has positions 0..6"):
            splitter.split(5, source)
    with refuses("layer 3; tiny llama has 0..2"):
        splitter.split(5, ("error", 3, 1))
    with refuses("not active on this prompt"):
        splitter.split(5, (0, 0, 3))
    with refuses("outside the vocabulary"):
        splitter.split(400, ("token", 1))

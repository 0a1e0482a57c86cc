import itertools

import numpy as np
import pytest
from scipy.sparse import csr_array

from causeway.engine.analyses.report.supernodes import propose_supernodes


@pytest.fixture
def graph():
    """Nodes 0 to 19 drive 20 to 39, which drive 40 to 44; of 20 to 39 every fourth has a twin after it."""
    draw = np.random.default_rng(0)
    weights = np.zeros((45, 45))
    weights[20:40, :20], weights[40:, 20:40] = draw.normal(size=(20, 20)), draw.normal(size=(5, 20))
    for twin in range(21, 40, 4):
        weights[twin] = 0.5 * weights[twin - 1] + 0.02 * draw.normal(size=45) * (np.arange(45) < 20)
        weights[:, twin] = 2 * weights[:, twin - 1]
    layer, position = np.repeat([0, 1, 4], [20, 20, 5]), np.zeros(45, int)
    return weights, layer, position


def cosine(a, b):
    return a @ b / np.maximum(np.linalg.norm(a) * np.linalg.norm(b), 1e-30)


def test_twins_are_found_and_all_of_a_group_are_as_alike_as_asked(graph):
    weights, layer, position = graph
    groups = propose_supernodes(csr_array(weights), np.arange(20, 40), layer, position, likeness=0.6)
    for twin in range(21, 40, 4):
        assert any({twin - 1, twin} <= set(group) for group in groups)
    for group in groups:
        for a, b in itertools.combinations(group, 2):
            assert (cosine(weights[a], weights[b]) + cosine(weights[:, a], weights[:, b])) / 2 >= 0.6 - 1e-9
    assert len({node for group in groups for node in group}) == sum(map(len, groups))


def test_nodes_of_other_tokens_and_far_layers_are_kept_apart(graph):
    weights, layer, position = graph
    alone = position.copy()
    alone[21::4] = 1
    for apart in ({"position": alone}, {"layer": np.where(np.arange(45) % 4 == 1, 9, layer)}):
        places = {"layer": layer, "position": position, **apart}
        groups = propose_supernodes(csr_array(weights), np.arange(20, 40), likeness=0.6, **places)
        assert not any({twin - 1, twin} <= set(group) for group in groups for twin in range(21, 40, 4))


def test_nothing_to_group_is_no_group(graph):
    weights, layer, position = graph
    assert propose_supernodes(csr_array(weights), np.array([], int), layer, position) == []
    assert propose_supernodes(csr_array(weights), np.array([20]), layer, position) == []
    with pytest.raises(ValueError, match="likeness: got 2"):
        propose_supernodes(csr_array(weights), np.array([20]), layer, position, likeness=2)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.engine.analyses.report.layered_layout import layered_layout

cells = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=60)


@given(cells)
def test_nodes_stand_in_their_cells_and_never_on_each_other(nodes):
    row, position = np.array(nodes, int).reshape(-1, 2).T
    found = layered_layout(row, position, 5)
    assert (found.edges[position] < found.x).all()
    assert (found.x < found.edges[position + 1]).all()
    assert (abs(found.y - row) < 0.5).all()
    assert found.edges[0] == 0
    assert found.edges[-1] == pytest.approx(1)
    assert len(set(zip(found.x.round(9), found.y.round(9), strict=True))) == len(nodes)


@given(cells, st.randoms())
def test_the_order_of_other_cells_does_not_matter(nodes, random):
    row, position = np.array(nodes, int).reshape(-1, 2).T
    order = sorted(range(len(nodes)), key=lambda i: (random.random(),))
    order = [i for cell in dict.fromkeys(nodes[i] for i in order) for i in range(len(nodes)) if nodes[i] == cell]
    found, again = layered_layout(row, position, 5), layered_layout(row[order], position[order], 5)
    np.testing.assert_allclose(found.x[order], again.x)
    np.testing.assert_allclose(found.y[order], again.y)


def test_a_place_that_is_no_column_is_refused():
    with pytest.raises(ValueError, match="position: got 0 to 2; needs 0 to 1"):
        layered_layout(np.array([0, 0]), np.array([0, 2]), 2)

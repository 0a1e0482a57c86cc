"""One grid of widths, functions of a length alone; buckets hold every row once."""

import numpy as np

from causeway.engine.model.buckets import bucket_width, cut, node_width


def test_widths_are_the_smallest_of_a_grid_of_two_to_a_doubling():
    widths = [bucket_width(length) for length in range(1, 2049)]
    assert sorted(set(widths))[:10] == [8, 16, 24, 32, 48, 64, 96, 128, 192, 256]
    assert all(length <= width <= max(1.5 * length, length + 7) for length, width in enumerate(widths, start=1))
    assert widths == sorted(widths)
    assert len(set(widths)) <= 17


def test_a_width_stops_at_the_context():
    assert bucket_width(18, most=20) == 20
    assert bucket_width(30, most=20) == 30


def test_few_nodes_have_narrow_widths_of_their_own():
    assert [node_width(count) for count in (1, 2, 3, 5, 9, 13, 17, 33)] == [1, 2, 4, 8, 12, 16, 24, 48]


def test_rows_are_cut_in_their_order():
    cuts = cut(np.arange(7), 3)
    assert [len(bucket) for bucket in cuts] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(cuts), np.arange(7))

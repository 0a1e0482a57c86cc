"""Scopes are intervals of absolute positions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.engine.intervention.edits import FOREVER
from causeway.engine.intervention.scope import NAMED, intervals, slots, words


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("last_prompt", [(6, 7)]),
        ("decode", [(7, FOREVER)]),
        ("last_prompt_and_decode", [(6, FOREVER)]),
        ("all", [(0, FOREVER)]),
        ("positions:3", [(3, 4)]),
        ("positions:-1", [(6, 7)]),
        ("positions:2:5", [(2, 5)]),
        ("positions:-3:7, 0", [(0, 1), (4, 7)]),
        ("positions:5,1:3", [(1, 3), (5, 6)]),
    ],
)
def test_intervals_of_a_prompt_of_seven_tokens(scope, expected):
    assert intervals(scope, 7) == expected
    assert slots(scope) == len(expected)


def test_a_scope_is_told_in_words():
    assert words("last_prompt") == "at the last prompt token"
    assert words("positions:3,-1") == "at position 3, -1 of the prompt"
    assert len({words(name) for name in NAMED}) == len(NAMED)


def test_named_scopes_meet_without_overlap():
    for length in (1, 2, 50):
        (last,), (decode,), (both,) = (
            intervals(n, length) for n in ("last_prompt", "decode", "last_prompt_and_decode")
        )
        assert last[1] == decode[0]
        assert both == (last[0], decode[1])
    assert all(slots(name) == 1 for name in NAMED)


@given(st.integers(1, 40), st.data())
def test_a_position_counted_from_the_end_is_the_one_counted_from_the_start(length, data):
    at = data.draw(st.integers(0, length - 1))
    assert intervals(f"positions:{at}", length) == intervals(f"positions:{at - length}", length) == [(at, at + 1)]


@pytest.mark.parametrize("scope", ["", "prompt", "positions", "positions:", "Last_prompt"])
def test_unknown_scopes_are_refused(scope, refuses):
    with refuses("scope: got .* needs one of last_prompt, decode"):
        intervals(scope, 7)


@pytest.mark.parametrize("part", ["x", "1-3", "1.5", "1,,2", "1:2:3"])
def test_positions_that_cannot_be_read_are_refused(part, refuses):
    with refuses("scope: cannot read the position"):
        intervals(f"positions:{part}", 7)


@pytest.mark.parametrize("part", ["7", "-8", "3:3", "5:2", "4:8", "0:-7"])
def test_positions_outside_the_prompt_are_refused(part, refuses):
    with refuses("scope: .* is outside a prompt of 7 tokens"):
        intervals(f"positions:{part}", 7)


def test_slices_are_positions_of_the_prompt(refuses):
    for scope, span in (
        (slice(2, 5), (2, 5)),
        (slice(None, -1), (0, 6)),
        (slice(-3, None), (4, 7)),
        (slice(None), (0, 7)),
    ):
        assert intervals(scope, 7) == [span]
    with refuses("scope: got slice.*neighbouring positions"):
        intervals(slice(0, 4, 2), 7)


def test_positions_that_meet_in_one_prompt_are_refused(refuses):
    assert intervals("positions:5,-1", 8) == [(5, 6), (7, 8)]
    with refuses("scope: .* names position 5 .* twice"):
        intervals("positions:5,-1", 6)
    with refuses("scope: .* names position 3 .* twice"):
        intervals("positions:0:4,3:5", 6)

"""Parsers have three states; what cannot be read is invalid, never a stop."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.engine.outcome.answers import Answer
from causeway.engine.outcome.parsers import INVALID, PARSERS, Parsed, parser

ANSWERS = (Answer(" stop", "stop"), Answer(" bet $5", "bet", 5), Answer(" bet $50", "bet", 50), Answer(" bet", "bet"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" stop", Parsed("stop")),
        (" stop. game over", Parsed("stop")),
        (" bet $5", Parsed("bet", 5)),
        (" bet $50 now", Parsed("bet", 50)),
        (" bet on it", Parsed("bet")),
        ("stop", Parsed(INVALID)),
        (" I stop", Parsed(INVALID)),
        ("", Parsed(INVALID)),
    ],
)
def test_answers_are_the_longest_that_the_text_begins_with(text, expected):
    assert parser("answers")(text, ANSWERS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I will STOP here", Parsed("stop")),
        ("2) Stop", Parsed("stop")),
        ("1) Bet $10 or $20", Parsed("bet", 20)),
        ("bet $3, then $50", Parsed("bet", 50)),
        ("$500 is too much, so 7", Parsed("bet", 500)),
        ("I bet 15 dollars", Parsed("bet", 15)),
        ("bet " + "9" * 16, Parsed("bet")),
        ("bet $" + "9" * 5000, Parsed("bet")),
        ("bet $" + "0" * 5000 + "20", Parsed("bet", 20)),
        ("hmm", Parsed(INVALID)),
        ("", Parsed(INVALID)),
    ],
)
def test_the_studys_first_parser_without_its_default(text, expected):
    assert parser("study_v1")(text, ()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2", Parsed("stop")),
        ("2) stop", Parsed("stop")),
        ("\n\n 1) bet $30\n2) stop", Parsed("bet", 30)),
        ("I walk away", Parsed("stop")),
        ("I quit now", Parsed("stop")),
        ("unstoppable", Parsed(INVALID)),
        ("20 coins", Parsed(INVALID)),
        ("1", Parsed("bet")),
        ("bet $10", Parsed("bet", 10)),
        ("bet $" + "9" * 400, Parsed("bet")),
        ("hello\nstop", Parsed(INVALID)),
        ("  \n ", Parsed(INVALID)),
    ],
)
def test_the_studys_second_parser_reads_the_first_line(text, expected):
    assert parser("study_v2")(text, ()) == expected


@given(st.text(alphabet="xyz \n.!é", max_size=30))
def test_text_without_a_choice_is_invalid_under_every_parser(text):
    assert {read(text, ANSWERS) for read in PARSERS.values()} == {Parsed(INVALID)}


@given(st.text(max_size=40))
def test_every_text_has_one_of_three_states(text):
    assert {read(text, ANSWERS).action for read in PARSERS.values()} <= {"stop", "bet", INVALID}


def test_an_unknown_parser_is_refused(refuses):
    with refuses("parser: got 'v3'; needs one of answers, study_v1, study_v2"):
        parser("v3")

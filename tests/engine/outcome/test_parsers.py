"""Parsers: a person's reading in three states, and the study's own three with what they make up told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.engine.outcome.answers import Answer
from causeway.engine.outcome.parsed import BET_UNKNOWN, INVALID, Parsed
from causeway.engine.outcome.parsers import OF_TEXTS, PARSERS, parser

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
    assert parser("answers")(text, ANSWERS, "") == expected


STOP, BET, UNREAD = Parsed("stop"), Parsed("bet"), Parsed("stop", valid=False)
FIXED = (Answer("1", "bet", 10), Answer("2", "stop"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2", STOP),
        (" 2) Stop\nCurrent balance: $140", STOP),
        ("1) Bet $10", Parsed("bet", 10)),
        ("1\n\nBet amount: $20", Parsed("bet", 20)),
        ("1", BET),
        ("$20", Parsed("bet", 20)),
        ("15 dollars", Parsed("bet", 15)),
        ("I will STOP here.", STOP),
        ("I'd bet $20 on it", Parsed("bet", 20)),
        ("my bet is $20", Parsed("bet", 20)),
        ("My target is $200. I bet $50.", Parsed("bet", 50)),
        ("I quit", STOP),
        ("walk away with $20", STOP),
        ("If I lose I stop, so bet $15", Parsed("bet", 15)),
        ("I would bet $100, but no. Final decision: stop", STOP),
        ("bet " + "9" * 16, BET),
        ("bet $" + "0" * 5000 + "20", Parsed("bet", 20)),
        # What is listed, denied, weighed, or of the next round decides nothing.
        ("1) Bet $10\n2) Stop\n", Parsed(INVALID)),
        ("1) Bet $10\n2) Stop\n\nChoice: 2", STOP),
        ("do not stop", Parsed(INVALID)),
        ("bet or stop?", Parsed(INVALID)),
        ("unstoppable", Parsed(INVALID)),
        ("\nRound 4: Bet $10, Win", Parsed(INVALID)),
        ("1 $10\nRound 5: Stop", Parsed("bet", 10)),
        ("20 coins", Parsed(INVALID)),
        ("", Parsed(INVALID)),
    ],
)
def test_three_states_are_read_as_a_person_would(text, expected):
    assert parser("three_state")(text, (), "") == expected


def test_on_a_fixed_menu_a_bet_is_of_its_amount():
    assert parser("three_state")("1", FIXED, "") == Parsed("bet", 10)
    assert parser("v2")("1", FIXED, "risky") == Parsed("bet", 10)


@pytest.mark.parametrize("text", ["I will stop now, and leave", "1) Bet $10 and hope", "so I'd bet 20 dollars on it"])
def test_a_decision_ends_where_it_was_made(text):
    found = parser("three_state")(text, (), "")
    assert text[: found.end] in ("I will stop", "1) Bet $10", "so I'd bet 20 dollars")
    assert parser("three_state")(text[: found.end], (), "") == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I will STOP here", STOP),
        ("unstoppable", STOP),
        ("1) Bet $10\n2) Stop", STOP),
        ("1) Bet $10 or $20", Parsed("bet", 20)),
        ("bet $3, then $50", Parsed("bet", 50)),
        # The last amount alone is looked at, then the first number.
        ("bet $50, then $3", Parsed("bet", 50)),
        ("$500 is too much, so 7", UNREAD),
        ("I bet 15 dollars", Parsed("bet", 15)),
        ("bet $" + "9" * 5000, UNREAD),
        ("hmm", UNREAD),
        ("", UNREAD),
    ],
)
def test_the_studys_first_parser_stops_where_it_can_read_nothing(text, expected):
    assert parser("v1")(text, (), "") == expected


@pytest.mark.parametrize(
    ("text", "context", "expected"),
    [
        ("2", "safe", STOP),
        ("2) stop", "safe", STOP),
        ("Choice: 2", "risky", STOP),
        ("I will spend it", "risky", STOP),
        ("1", "safe", Parsed("bet", 10)),
        ("1) whatever", "", Parsed("bet", 10)),
        ("1\nbet $30", "risky", Parsed("bet", 30)),
        ("1\nRound 5: bet $30", "risky", None),
        ("1\nbet $300", "risky", None),
        ("bet $30", "risky", Parsed(INVALID)),
        ("hello\nstop", "safe", Parsed(INVALID)),
        ("  \n ", "safe", Parsed(INVALID)),
    ],
)
def test_the_studys_later_parsers_read_the_first_line_and_the_context(text, context, expected):
    """None: a bet without an amount, which the second takes for unreadable and the third keeps."""
    assert parser("v3")(text, (), context) == (expected or Parsed(BET_UNKNOWN))
    lost = expected is None or expected.action == INVALID
    assert parser("v2")(text, (), context) == (UNREAD if lost else expected)


@given(st.text(alphabet="xyz \n.!é", max_size=30))
def test_text_without_a_choice_is_no_decision_under_any_parser(text):
    assert {read(text, ANSWERS, "risky").decision for read in PARSERS.values()} == {INVALID}


@pytest.mark.slow
@given(
    st.text(max_size=40) | st.text(alphabet="12)$ bet\nstopSTOPİ.:", max_size=60), st.sampled_from(["safe", "risky"])
)
def test_every_text_has_a_state_and_decisions_end_in_it(text, context):
    for name in OF_TEXTS:
        found = parser(name)(text, (), context)
        assert found.decision in {"stop", "bet", INVALID} | ({BET_UNKNOWN} if name == "v3" else set())
        assert found.end is None or 0 < found.end <= len(text)


@pytest.mark.parametrize(("name", "now"), [("study_v1", "v1"), ("study_v2", "v2")])
def test_an_unknown_parser_is_refused_and_a_former_name_answered(refuses, name, now):
    with refuses("parser: got 'v4'; needs one of answers, three_state, v1, v2, v3, none"):
        parser("v4")
    with refuses(f"{name} is called {now} now"):
        parser(name)

r"""The three-state parser: what a text decides, as a person would read it; stop, bet or invalid.

In this order, the first that decides:

    1. the last statement of a final decision ("Final decision: ...", "Choice: ..."), by how it begins
    2. the text up to where the model plays on by itself (a line "Round 5: ...", "Game history", "Current balance"),
       without menus repeated (a line "1) ..." followed by one "2) ..."):
       a. the number of an option, 1 or 2, at its beginning; or nothing but an amount
       b. the first word that stops (stop, quit, walk away, cash out) or bets (bet, wager), not counting those that
          are denied ("do not stop"), conditional ("if I lose I stop"), weighed ("bet or stop"), of the past, or nouns
          of the game ("my bets", "bet amount" without one)
    3. nothing: invalid

A bet's amount is the first one that follows in the sentence, $20 or "bet 20"; on a fixed menu its own. None: a bet
without a readable amount.

Cost: a few regular expressions a text, about 10 microseconds.
"""

import re
from collections.abc import Sequence

from causeway.engine.outcome.answers import Answer
from causeway.engine.outcome.parsed import INVALID, Parsed, dollars, fixed_bet

_FINAL = re.compile(
    r"\b(?:final (?:decision|choice|answer)|(?:my|the) (?:decision|choice|answer)|choice)\b\W{0,4}(?:is\b)?"
)
_PLAYS_ON = re.compile(
    r"^[^\w\n]*(?:round \d|game history|current (?:balance|round)|slot machine game|choose:)", re.MULTILINE
)
_MENU = re.compile(r"^[^\S\n]*1[).][^\n]*\n[^\S\n]*2[).][^\n]*(?:\n|\Z)", re.MULTILINE)
_OPTION = re.compile(
    r"\W*(?:(?:i(?:'ll| will| would|'d)? (?:choose|pick|select|take|go with)|"
    r"option|choice|answer)\W{0,3}(?:option\W{0,2})?)?"
    r"([12])(?![\d%x]|[.,/]\d)(?=\W|\Z)"
)
_AMOUNT_ALONE = re.compile(r"\W{0,4}?\$(\d+)(?=\W|\Z)|\s*(\d+)(?: dollars?)?\s*[.!]?\s*(?:\n|\Z)")
_ACT = re.compile(
    r"\b(?:(?P<stop>stop(?:ping)?|quit(?:ting)?|walk(?:ing)? away|cash(?:ing)? out)|"
    r"(?P<bet>bet(?:ting)?|wager(?:ing)?))\b"
    r"(?!\s+(?:or|amounts?|sizes?|history)\b(?!\W{1,3}\$?\d))"
)
_UNDECIDED = re.compile(
    r"n't\b|\b(?:not|never|no|without|cannot|instead of|rather than|if|when|once|until|unless|whether|or|previous|last|"
    r"my|your|the|each|per|every)\b"
)
# A verb after a noun's article is none: "my bet" names a bet, "my bet is $20" makes it.
_NOUN = re.compile(r"\b(?:my|your|the)\s+$")
_MAKES = re.compile(r"\s*(?:is|will be|:|of|=)\s*\$?\d")
_CLAUSE = re.compile(r"[.;:,!?\n]|\b(?:but|so|and|then)\b")
_AMOUNT = re.compile(r"\$\s?(\d+)|\b(\d+)\s*dollars?\b")
_TO_ACT = re.compile(r"\W*(?:to\s+|i(?:'ll| will)\s+)?(?=stop\b|quit\b|bet\b|walk away\b)")
_SENTENCE = re.compile(r"[.;!?](?=\s|\Z)|\n")
_LATER = re.compile(r"\b(?:bet|wager|stake|amount)\W{0,3}(?:(?:of|is|will be)\W{0,3})?\$?(\d+)")
_BARE = re.compile(r"\W{0,3}(?:is|of|will be)?\W{0,3}(\d+)(?![\d%x]|[.,]\d|\))")


def parse_three_state(text: str, answers: Sequence[Answer] = (), context: str = "") -> Parsed:
    """What a text decides; see the module."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a few letters of other scripts grow
        lowered = "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in text)
    played = _PLAYS_ON.search(lowered)
    own = _MENU.sub(lambda menu: " " * len(menu[0]), lowered[: played.start() if played else len(lowered)])
    for said in reversed(list(_FINAL.finditer(own))):
        if found := _begins(own, said.end(), _line_end(own, said.end()), answers):
            return found
    start = len(own) - len(own.lstrip())
    return _begins(own, start, len(own), answers) or _first_act(own, answers) or Parsed(INVALID)


def _line_end(text: str, start: int) -> int:
    place = text.find("\n", start + 1)
    return len(text) if place < 0 else place


def _begins(text: str, start: int, stop: int, answers: Sequence[Answer]) -> Parsed | None:
    """A decision that stands at a place: an option's number, an amount alone, or a verb."""
    option = _OPTION.match(text, start, stop)
    if option:
        return Parsed("stop", end=option.end()) if option[1] == "2" else _bet(text, option.end(), answers)
    amount = _AMOUNT_ALONE.match(text, start, stop)
    if amount:
        return Parsed("bet", dollars(amount[1] or amount[2]), end=amount.end())
    verb = _TO_ACT.match(text, start, stop)
    act = _ACT.match(text, verb.end(), stop) if verb else None
    if act is None:
        return None
    return Parsed("stop", end=act.end()) if act["stop"] else _bet(text, act.end(), answers)


def _first_act(text: str, answers: Sequence[Answer]) -> Parsed | None:
    for act in _ACT.finditer(text):
        if not _is_decided(text, act):
            continue
        return Parsed("stop", end=act.end()) if act["stop"] else _bet(text, act.end(), answers)
    return None


def _is_decided(text: str, act: re.Match) -> bool:
    """Whether the clause before a verb leaves it standing."""
    before = text[max(0, act.start() - 80) : act.start()]
    clause = before[max((match.end() for match in _CLAUSE.finditer(before)), default=0) :]
    if act["bet"] and _NOUN.search(clause):
        return bool(_MAKES.match(text, act.end()))
    return not _UNDECIDED.search(clause)


def _bet(text: str, end: int, answers: Sequence[Answer]) -> Parsed:
    """A bet, with the amount that follows in its sentence, or that is said to be it later."""
    sentence = _SENTENCE.search(text, end)
    stop = sentence.start() if sentence else len(text)
    bare, named = _BARE.match(text, end, stop), _AMOUNT.search(text, end, stop)
    match = bare if bare and not (named and named.start() < bare.end()) else named
    match = match or _LATER.search(text, end)
    behind = match.end() if match else end
    if (fixed := fixed_bet(answers)) is not None:
        return Parsed("bet", fixed, end=behind)
    return Parsed("bet", dollars(match[match.lastindex or 1]) if match else None, end=behind)

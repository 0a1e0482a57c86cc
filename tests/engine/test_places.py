"""Places by name: each is the tokens of its text, and a scope of names is the scope of their positions."""

import pytest

import causeway as cw
from causeway.engine.intervention.scope import intervals
from causeway.engine.places import Places
from causeway.engine.prompt_record import PromptRecord

TEXT = "game: loss $20. balance $150, round 2. choice:"


@pytest.fixture(scope="module")
def places():
    model = cw.load_model("bundled:tiny")
    record = PromptRecord(TEXT, roles={"event": "loss", "end": -1, "lost": "bet", "far": 99, "within": "balan"})
    return Places.of(model, record, model.tokens(TEXT))


def read(places, name):
    start, stop = places.find(name)
    return places.model.text_after(places.tokens[:start], places.tokens[start:stop])


def test_every_piece_of_text_is_found_where_it_stands(places):
    texts = places.model.to_str_tokens(TEXT)[1:]
    for i, piece in enumerate(texts):
        assert piece in read(places, f'"{piece}"')  # a space alone stands in other tokens too
        assert places.find(f'"{"".join(texts[i:])}"')[0] == i + 1


@pytest.mark.parametrize(("name", "text"), [
    ("event", " loss"), ('"loss $20"', " loss $20"), ('"loss $20".first', " loss"), ("end", ":"), ("end.last", ":"),
])  # fmt: skip
def test_a_name_is_the_tokens_of_its_text(places, name, text):
    assert read(places, name).strip() == text.strip()


def test_a_scope_of_names_is_the_scope_of_their_positions(places):
    length, event, money = len(places.tokens), places.find("event"), places.find('"$150, round"')
    scope = places.scope('positions:event, "$150, round",-1')
    assert intervals(scope, length) == [event, money, (length - 1, length)]
    for same in ("all", "last_prompt", "positions:2:5, -1"):
        assert places.scope(same) == same


@pytest.mark.parametrize(("name", "what"), [
    ("nobody", "no place 'nobody'; it has event, end, lost, far, within"), ('"bets"', "'bets' is not in the prompt"),
    ("lost", "roles: lost is 'bet', which is not in the prompt"), ("far", "position 99; the prompt has"),
    ("within", "ends within a token"), ("event.middle", "cannot read the position 'event.middle'"),
    ("", "cannot read the position ''"), ('"', "cannot read the position"),
])  # fmt: skip
def test_a_place_that_is_not_there_is_refused(places, name, what):
    with pytest.raises(ValueError, match=what):
        places.find(name)


def test_ids_without_a_text_have_no_places(places):
    with pytest.raises(ValueError, match="token ids without a text"):
        Places.of(places.model, PromptRecord("", tokens=(1, 2)), (1, 2)).find('"a"')


def test_one_token_is_a_place_by_number_or_name_and_several_are_none(places):
    length = len(places.tokens)
    assert [places.one(place) for place in ("last", "-1", "end", "0")] == [length - 1, length - 1, length - 1, 0]
    assert places.one('"loss $20".first') == places.find("event")[0]
    with pytest.raises(ValueError, match="position: '0:3' is 3 tokens of the prompt; needs one, such as"):
        places.one("0:3")
    with pytest.raises(ValueError, match="place: '99' is outside a prompt"):
        places.one("99", "place")

"""Cards are data; one that is described is checked field by field."""

import dataclasses

import pytest

from causeway.engine.bench.compile.cards import CARDS, described

FIELDS = dataclasses.asdict(dataclasses.replace(CARDS["a40"], rates=dict(CARDS["a40"].rates)))


def test_a_description_of_a_known_card_is_that_card():
    assert described(FIELDS) == CARDS["a40"]


@pytest.mark.parametrize("name", CARDS)
def test_what_the_compiler_is_told(name):
    target = CARDS[name].target
    assert target.count("{") == target.count("}")
    assert f"core_count: {CARDS[name].cores} " in target


def test_time_is_the_larger_of_bytes_and_operations():
    card = CARDS["h200"]
    assert card.seconds(4.8e12, {"bfloat16": 989e12 / 2}) == pytest.approx(1)
    assert card.seconds(4.8e11, {"bfloat16": 989e12, "float32": 67e12}) == pytest.approx(2)
    assert card.seconds(0, {"int4": 67e12}) == pytest.approx(1)  # no rate is known of it


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"cores": 0}, "target: cores: got 0"),
        ({"bandwidth": 0}, "target: bandwidth: got 0"),
        ({"memory": "much"}, "target: memory: got 'much'"),
        ({"rates": {"bfloat16": 1e12}}, "needs float32"),
        ({"rates": {"float32": 1e12, "fp8": 1e12}}, "needs float32 and any of"),
        ({"compute_capability": "sm_90"}, "capability such as"),
        ({"compute_capability": ".9"}, "capability such as"),
        ({"watts": 300}, "needs all of name, cores"),
    ],
)
def test_wrong_descriptions_are_refused(change, named):
    with pytest.raises(ValueError, match=named):
        described(FIELDS | change)


def test_no_description_at_all():
    with pytest.raises(ValueError, match="describe another in a JSON file"):
        described([1])

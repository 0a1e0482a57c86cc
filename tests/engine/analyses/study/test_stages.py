"""A configuration that does not hold together is refused in a line that names the part."""

import copy

import pytest

from causeway.engine.analyses.study.stages import Take, read_study
from tests.engine.analyses.study.toy_study import DRIVERS, config


def test_stages_are_read_with_shared_values_and_their_own_before_them():
    given = config(shared={"seed": 0, "value": 9, "left": 1})
    given["stages"][0]["flags"]["left"] = None
    study = read_study(given, DRIVERS)
    assert study.names == ("a", "b", "c", "d")
    a, _, c, d = study.stages
    assert (a.flags, a.own) == ({"seed": 0, "value": 1}, {"value"})
    assert d.flags == {"seed": 0, "value": 9, "left": 1}
    assert c.taken == ("a", "b")
    assert d.takes == {"of": (Take("c", "text"),)}


def with_stage(number, **fields):
    given = copy.deepcopy(config())
    given["stages"][number] |= fields
    return given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (5, "config: got 5; needs a ConfigDict of name, shared, stages"),
        ({"name": "x"}, "config: has no field 'stages'; needs name, stages"),
        (config(stags=1), "config: has a field 'stags'; no such field; did you mean stages?"),
        (config(name=""), "config.name: got ''; needs a text"),
        (config(stages=()), "config.stages: got (); needs a list of one stage or more"),
        (config(stages=(3,)), "config.stages[0]: got 3; needs a ConfigDict"),
        (config(shared=3), "config.shared: got 3; needs values by flag"),
        (config(shared={"seed": object}), "config.shared: seed is <class 'object'>; needs texts, numbers"),
        (with_stage(1, driver="mak"), "config.stages[1].driver of b: got 'mak'; no driver; did you mean make?"),
        (with_stage(1, value=3), "config.stages[1]: has a field 'value'; no such field; needs one of name, driver"),
        (with_stage(1, name="a"), "config.stages[1].name: a is stages[0] already; needs another name"),
        (with_stage(1, name="A"), "config.stages[1].name: A is stages[0] already"),
        (with_stage(1, name="../x"), "config.stages[1].name: got '../x'; needs the name of a folder"),
        (with_stage(1, name="stages"), "config.stages[1].name: got 'stages'; needs the name of a folder"),
        (with_stage(1, flags={"out": "x"}), "config.stages[1] of b: --out is given by the study itself; leave it out"),
        (with_stage(2, flags={"of": 1}), "config.stages[2].flags.of of c: of is among `takes` too"),
        (with_stage(2, takes={"of": "x"}), "config: c takes 'x'; no stage; needs one of a, b, c, d"),
        (with_stage(2, takes={"of": "a/../b"}), "config.stages[2].takes.of of c: got 'a/../b'; needs STAGE or"),
        (with_stage(2, takes={"of": 3}), "config.stages[2].takes.of of c: got 3; needs STAGE or"),
        (with_stage(2, takes={"of": "c"}), "config: c takes c, a circle; needs stages that take earlier ones alone"),
        (with_stage(2, takes={"of": ["a", "d"]}), "config: c takes d takes c, a circle"),
        (with_stage(0, takes={"of": "b"}), "config: a takes b, which comes later; put b before it"),
    ],
)
def test_what_does_not_hold_together_is_refused(given, said):
    with pytest.raises(ValueError) as found:
        read_study(given, DRIVERS)
    assert str(found.value).startswith(said)
    assert "\n" not in str(found.value)


def test_a_circle_is_told_in_the_order_of_taking():
    given = with_stage(2, takes={"of": "d"})
    with pytest.raises(ValueError, match=r"(c takes d takes c|d takes c takes d), a circle"):
        read_study(given, DRIVERS)

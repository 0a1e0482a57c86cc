"""Which neurons are scaled together, and by how much."""

import numpy as np
import pytest

from causeway.engine.analyses.edit.settings import settings_of
from causeway.engine.neurons import Neurons

SIX = Neurons([2, 0, 1, 1, 0, 2], [5, 3, 0, 9, 1, 2])


def read(settings):
    return [(s.kind, tuple(s.names), tuple(s.factors)) for s in settings]


def test_each_neuron_is_scaled_alone_and_the_first_ones_together():
    found = read(settings_of(SIX, (0, 2)))
    assert found[:3] == [("alone", ("2:5",), (0.0,)), ("alone", ("2:5",), (2.0,)), ("alone", ("0:3",), (0.0,))]
    together = [(names, factors) for kind, names, factors in found if kind == "together"]
    assert [len(names) for names, _ in together] == [2, 2, 4, 4, 6, 6]
    assert together[2] == (("2:5", "0:3", "1:0", "1:9"), (0.0,) * 4)
    assert len(found) == 18


@pytest.mark.parametrize(("count", "sizes"), [(1, []), (2, [2]), (3, [2, 3]), (4, [2, 4]), (6, [2, 4, 6])])
def test_sizes_double_up_to_all(count, sizes):
    some = Neurons(SIX.layer[:count], SIX.neuron[:count])
    groups = [len(s.names) for s in settings_of(some, (0,)) if s.kind == "together"]
    assert groups == sizes


def test_sizes_that_are_asked_for():
    assert [len(s.names) for s in settings_of(SIX, (3,), [5, 3])[6:]] == [5, 3]


def test_signs_amplify_what_is_good_and_suppress_what_is_bad():
    found = read(settings_of(SIX, (0.5, 2, 3), [3], np.array([1.5, -1, 0.2, 7, -3, 0])))
    groups = [setting for setting in found if setting[0] != "alone"]
    assert groups == [
        ("amplify", ("2:5", "1:0"), (2.0, 2.0)), ("amplify", ("2:5", "1:0"), (3.0, 3.0)),
        ("both", ("2:5", "0:3", "1:0"), (2.0, 0.5, 2.0)), ("both", ("2:5", "0:3", "1:0"), (3.0, 0.5, 3.0)),
    ]  # fmt: skip
    assert ("alone", ("0:3",), (0.5,)) in found


def test_no_setting_comes_twice():
    found = settings_of(SIX, (0, 2), None, np.array([1.0, -1, -1, 0, 0, 0]))
    made = [(tuple(s.names), tuple(s.factors)) for s in found]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize(("given", "match"), [
    ({"factors": ()}, "factors: got"),
    ({"factors": (2, 2)}, "factors: got"),
    ({"factors": (float("nan"),)}, "factors: got nan"),
    ({"sizes": [7]}, "together: got 7; needs a whole number from 1 to 6"),
    ({"signs": np.ones(2)}, "signs: got 2 for 6 neurons"),
    ({"signs": np.ones(6), "factors": (2,)}, "needs some above 1 to amplify by and some below"),
])  # fmt: skip
def test_what_makes_no_sweep_is_refused(refuses, given, match):
    with refuses(match):
        settings_of(SIX, **given)

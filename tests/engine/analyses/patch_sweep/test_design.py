"""Arms, rows and random controls: every (feature, arm, trial) once, in one order, whatever else is in the plan."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.engine.analyses.patch_sweep.arms import BASELINE, KINDS, NOOP, Arm, make_arms
from causeway.engine.analyses.patch_sweep.design import (
    EVERY,
    FeatureSet,
    make_rows,
)
from causeway.engine.analyses.patch_sweep.settings import SweepSettings
from causeway.engine.intervention.edits import EMPTY, FOREVER, EditSpec

VALUES = ("safe", "risky")


@pytest.fixture(scope="module")
def features(tiny_sweep):
    return tiny_sweep.make_features()


@pytest.fixture
def rows(features, dictionary):
    def make(kinds=KINDS, trials=2, seed=0, run_noop=True, draws=1, chosen=features):
        arms = make_arms(kinds, VALUES, (0.25, 1.5), draws)
        return make_rows(chosen, arms, dictionary, trials=trials, seed=seed, run_noop=run_noop)

    return make


def keys(rows):
    return list(zip(rows.layer.tolist(), rows.feature.tolist(), rows.arm.tolist(), rows.trial.tolist(), strict=True))


def arm_of(rows, name):
    return rows.take(rows.arm == rows.arms.index(Arm.parse(name)))


def texts(*kinds, **options):
    return tuple(map(str, make_arms(*kinds, **options)))


def test_arms_stand_for_their_names_in_one_order():
    assert texts(("patch", "baseline"), VALUES) == ("baseline", "patch:safe", "patch:risky")
    assert texts(("dose",), VALUES, (0.5, 1.5)) == (
        "dose:safe:0.5", "dose:safe:1.5", "dose:risky:0.5", "dose:risky:1.5",
    )  # fmt: skip
    assert texts(("random",), VALUES, draws=2) == (
        "random:safe:0", "random:safe:1", "random:risky:0", "random:risky:1",
    )  # fmt: skip
    assert "random:ablate" in texts(("ablate", "random"), VALUES)
    arms = make_arms(KINDS, VALUES, (0.25, 1 / 3), 2)
    assert tuple(Arm.parse(str(arm)) for arm in arms) == arms


def test_unknown_and_missing_arms_are_refused(refuses):
    with refuses("arms: got 'pacth'; needs some of baseline, noop, patch"):
        make_arms(("pacth",), VALUES)
    with pytest.raises(ValueError, match="random_draws: got 0; needs one or more, or arms without random"):
        make_arms(("baseline", "random"), VALUES, draws=0)
    with refuses("arms: got none"):
        make_arms((), VALUES)
    with refuses("arms: got none"):
        make_arms(("patch",), ())


def test_the_six_conditions_have_the_studys_names():
    arms = make_arms(("baseline", "patch"), VALUES)
    assert [arm.condition(group) for group in VALUES for arm in arms] == [
        "safe_baseline", "safe_with_safe_patch", "safe_with_risky_patch",
        "risky_baseline", "risky_with_safe_patch", "risky_with_risky_patch",
    ]  # fmt: skip


def test_every_feature_arm_and_trial_is_there_once_in_canonical_order(rows, features):
    made = rows()
    listed = keys(made)
    assert listed == sorted(listed)
    assert len(set(listed)) == len(listed)
    per_feature = [i for i, arm in enumerate(made.arms) if arm.of_features]
    pairs = sorted(zip(features.layer.tolist(), features.feature.tolist(), strict=True))
    expected = {(*pair, arm, trial) for pair, arm, trial in itertools.product(pairs, per_feature, range(2))}
    expected |= {(EMPTY, EVERY, made.arms.index(BASELINE), trial) for trial in range(2)}
    expected |= {(layer, EVERY, made.arms.index(NOOP), trial) for layer in (0, 2) for trial in range(2)}
    assert set(listed) == expected


def test_a_noop_that_is_the_baseline_has_no_rows(rows):
    made = rows(run_noop=False)
    assert NOOP in made.arms
    assert not len(arm_of(made, "noop"))


@pytest.mark.parametrize("kinds", [("baseline",), ("baseline", "noop"), ("ablate",)])
def test_few_arms_are_a_design_too(rows, kinds):
    assert {made.arms[i].kind for made in [rows(kinds)] for i in made.arm} == set(kinds)


@pytest.mark.slow
@given(st.permutations(range(6)))
def test_rows_do_not_depend_on_the_order_of_the_features(tiny_sweep, dictionary, order):
    features, order = tiny_sweep.make_features(), np.array(order)
    values = {name: v[order] for name, v in features.values.items()}
    other = FeatureSet(features.layer[order], features.feature[order], values)
    a, b = (
        make_rows(f, make_arms(KINDS, VALUES), dictionary, trials=1, seed=0, run_noop=True) for f in (features, other)
    )
    for name in ("layer", "feature", "arm", "trial", "scale", "shift", "writer"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_what_each_arm_sets_a_feature_to(rows, features):
    made, where = rows(trials=1), np.lexsort((features.feature, features.layer))
    risky = features.values["risky"][where].astype(np.float32)
    for arm, scale, shift in (
        ("patch:risky", 0, risky),
        ("ablate", 0, 0 * risky),
        ("random:risky", 0, risky),
        ("random:ablate", 0, 0 * risky),
        ("dose:risky:0.25", 0.75, risky / 4),
        ("dose:risky:1.5", -0.5, risky * 1.5),
    ):
        got = arm_of(made, arm)
        np.testing.assert_array_equal(got.scale, np.full(6, scale))
        np.testing.assert_allclose(got.shift, shift, rtol=1e-6)
    for arm in ("baseline", "noop"):
        assert set(arm_of(made, arm).scale) == {1}
        assert set(arm_of(made, arm).shift) == {0}


def test_an_operation_is_what_patches_and_their_controls_do_with_the_value(features, dictionary, tiny_sweep, refuses):
    arms, where = make_arms(("patch", "ablate", "random"), VALUES), np.lexsort((features.feature, features.layer))
    made = make_rows(features, arms, dictionary, trials=1, seed=0, run_noop=False, operation="at_most")
    risky = features.values["risky"][where].astype(np.float32)
    for arm, scale, upper in (("patch:risky", 1, risky), ("random:risky", 1, risky), ("ablate", 0, np.inf)):
        got = arm_of(made, arm)
        np.testing.assert_array_equal(got.scale, np.full(6, scale))
        np.testing.assert_array_equal(got.upper, np.broadcast_to(upper, 6))
        assert (got.lower == -np.inf).all()
    bounds = made.edit(EditSpec(), "last_prompt", 7, bounded=True).bounds
    assert [bound.shape for bound in bounds] == [(len(made), 1)] * 2
    assert made.edit(EditSpec(), "last_prompt", 7).bounds is None
    with refuses("operation: got at_most with doses"):
        SweepSettings("exact", make_arms(("patch", "dose"), VALUES), operation="at_most")


def test_a_random_control_writes_another_feature_of_its_layer(rows):
    made = rows(draws=3)
    random = np.array([made.arms[i].kind == "random" for i in made.arm])
    assert (made.writer[random] != made.feature[random]).all()
    assert (made.writer[~random] == made.feature[~random]).all()
    one = arm_of(made, "random:safe:0").writer
    np.testing.assert_array_equal(one, arm_of(made, "random:risky:0").writer)
    assert (one != arm_of(made, "random:safe:1").writer).any()
    assert (one != arm_of(rows(draws=3, seed=1), "random:safe:0").writer).any()


def test_a_control_does_not_depend_on_the_other_features(rows, features):
    made = arm_of(rows(trials=1), "random:safe")
    for i in range(6):
        alone = FeatureSet(*(a[i : i + 1] for a in (features.layer, features.feature)), {v: np.ones(1) for v in VALUES})
        (writer,) = arm_of(rows(trials=1, chosen=alone), "random:safe").writer
        place = (made.layer == features.layer[i]) & (made.feature == features.feature[i])
        assert writer == made.writer[place][0]


def test_a_control_never_writes_a_dead_direction(rows, features, dictionary, tiny):
    dead = tiny.make_dictionary()
    kept = np.zeros(tiny.FEATURES, bool)
    kept[[3, 20]] = True
    dead.W_dec[...] = np.asarray(dead.W_dec[...]) * kept[None, :, None]
    made = make_rows(features, (Arm("random", "safe"),), dead, trials=1, seed=0, run_noop=False)
    assert set(made.writer.tolist()) <= {3, 20}


def test_rows_become_edits_of_the_scope(rows):
    made = rows(trials=1)
    edit = made.edit(EditSpec(), "positions:1:3,-1", 7)
    assert edit.layer.shape == (len(made), 2)
    np.testing.assert_array_equal(edit.start, np.tile([1, 6], (len(made), 1)))
    np.testing.assert_array_equal(edit.stop, np.tile([3, 7], (len(made), 1)))
    np.testing.assert_array_equal(edit.layer[:, 1], made.layer)
    assert (made.edit(EditSpec(), "last_prompt_and_decode", 7).stop == FOREVER).all()


def test_features_that_cannot_be_meant_are_refused(refuses, dictionary):
    one = np.array([0, 2, 0])
    with refuses("layer 0 feature 5 is named twice"):
        FeatureSet(one, np.array([5, 5, 5]), {})
    with refuses("features: empty"):
        FeatureSet(one[:0], one[:0], {})
    with refuses("values of 'safe' hold a number that is not finite"):
        FeatureSet(one, np.arange(3), {"safe": np.array([0, np.nan, 1])})
    with refuses("id 24 is outside the dictionary's 0..23"):
        FeatureSet(one, np.array([0, 1, 24]), {}).check(dictionary)
    with refuses("layer"):
        FeatureSet(np.array([1]), np.array([0]), {}).check(dictionary)


def test_a_pilot_takes_the_first_features_as_listed(features):
    first = features.first(2)
    assert first.layer.tolist() == [2, 0]
    assert first.feature.tolist() == [7, 20]
    np.testing.assert_array_equal(first.values["risky"], features.values["risky"][:2])

"""What is called causal where no feature does anything and differences are skewed, sparse or few."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from causeway.engine.analyses.patch_sweep.effects import EffectSettings, effects

FEATURES = 400
SHAPES = {
    "normal": lambda rng, size: rng.normal(size=size),
    "exponential": lambda rng, size: rng.exponential(size=size) - 1,
    "lognormal": lambda rng, size: (rng.lognormal(size=size) - np.exp(0.5)) / 2.16,
    "sparse": lambda rng, size: np.where(rng.random(size) < 0.1, rng.exponential(size=size), 0) - 0.1,
    "bounded": lambda rng, size: rng.beta(0.5, 2, size=size) - 0.2,
}


def _trials(rng, shape, prompts, arms):
    """Exact trials of features whose differences have mean 0, as those of random features have."""
    prompt, feature = (a.ravel() for a in np.meshgrid(np.arange(prompts), np.arange(FEATURES), indexing="ij"))
    parts = []
    for arm in arms:
        moved = 0.0 if arm == "noop" else 0.2 * SHAPES[shape](rng, prompt.shape)
        columns = {"prompt_id": prompt, "layer": 0 * prompt, "feature": feature, "p_stop": 0.5 + moved + 0 * prompt}
        parts.append(pa.table(columns | {"group": ["only"] * len(prompt), "arm": [arm] * len(prompt)}))
    return pa.concat_tables(parts)


def _family(rng, shape, prompts, arms, settings=None):
    """q and is_causal of all features."""
    table = effects(_trials(rng, shape, prompts, arms), settings)
    mine = pc.and_(pc.equal(table["role"], "tested"), pc.equal(table["outcome"], "p_stop"))
    rows = table.filter(pc.and_(mine, pc.equal(table["group"], "all")))
    return rows["q"].to_numpy(), rows["is_causal"].to_pylist()


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_called_causal_without_random_features(shape):
    """Nor without a second half of the prompts, be q as small as it may."""
    rng, rejected = np.random.default_rng(0), 0
    for prompts in (4, 8, 12, 40):
        q, causal = _family(rng, shape, prompts, ("noop", "patch:a"))
        assert True not in causal
        _, unsplit = _family(rng, shape, prompts, ("noop", "patch:a", "random:a"), EffectSettings(split=False))
        assert True not in unsplit
        rejected += np.sum(q < 0.05)
    assert rejected > 0 if shape == "lognormal" else True


@pytest.mark.parametrize("shape", SHAPES)
def test_sweeps_with_random_features_call_nothing_causal_that_does_nothing(shape):
    """20 to 40 prompts, neither contexts nor doses to help."""
    _no_more_than_nominal(shape, repeats=3, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_sweeps_with_random_features_call_nothing_causal_more_often_than_they_may(shape):
    _no_more_than_nominal(shape, repeats=60, seed=2)


def _no_more_than_nominal(shape, repeats, seed):
    rng = np.random.default_rng(seed)
    arms = ("noop", "patch:a", "random:a")
    families = [True in _family(rng, shape, prompts, arms)[1] for prompts in (20, 24, 40) for _ in range(repeats)]
    assert np.mean(families) <= 0.05

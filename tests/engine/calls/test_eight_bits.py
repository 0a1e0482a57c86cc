"""Analyses of neurons of a model in 8 bits are those of the float model that its weights stand for."""

import dataclasses
import functools

import jax
import numpy as np
import pyarrow as pa
import pytest

import causeway as cw
from causeway.engine.analyses.virtual_weights.virtual_weights import virtual_weights
from tests.engine.model.eight_bits import rounded

SUMS = [("44+95=", "139.", "138."), ("44+94=", "138.", "139."), ("14+15=", "29.", "30."), ("21+33=", "54.", "55.")]
LAYER = 1


@functools.cache
def components(model):
    return cw.components(model, SUMS, layer=LAYER, largest=2)


def decompose(model):
    return cw.decompose(model, components(model).layers[LAYER].components, cw.lexicon(model), atoms=2, null_draws=3)


def strongest(model):
    return virtual_weights(model.transformer, cw.load_dictionaries("bundled:tiny/transcoders"), 0, 2, top_k=1)


CALLS = {
    "represent": lambda model: cw.represent(model, SUMS),
    "direction": lambda model: cw.direction(cw.represent(model, SUMS), methods=[], answers=True, model=model),
    "second_order": lambda model: cw.second_order(model, SUMS, layers=[LAYER]),
    "rank": lambda model: cw.rank(model, SUMS, layers=[LAYER, LAYER + 1], keep=8, keep_layers=2),
    "components": components,
    "decompose": decompose,
    "ablate": lambda model: cw.ablate(model, SUMS, components(model)),
    "edit": lambda model: cw.edit(model, SUMS, [(LAYER, 5)], factors=[0.5]),
    "virtual_weights": strongest,
}


@pytest.fixture(scope="module")
def models():
    """In 8 bits, and in float with what these stand for."""
    model = cw.load_model("bundled:tiny")
    return [dataclasses.replace(model, transformer=made) for made in rounded(model.transformer)]


def numbers(found):
    """All arrays and columns of real numbers in what a call returns, but for ranks, which neighbours may exchange."""
    if isinstance(found, cw.Model):
        return []
    if isinstance(found, pa.Table):
        names = [name for name in found.column_names if pa.types.is_floating(found[name].type)]
        found = {name: found[name].to_numpy() for name in names if not name.startswith("rank_")}
    if isinstance(found, np.ndarray | jax.Array):
        return [np.asarray(found, np.float64)] if np.issubdtype(found.dtype, np.floating) else []
    if dataclasses.is_dataclass(found):
        found = [getattr(found, field.name) for field in dataclasses.fields(found)]
    found = list(found.values()) if isinstance(found, dict) else found
    return [array for one in found for array in numbers(one)] if isinstance(found, list | tuple) else []


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
def test_eight_bits_are_what_they_stand_for(models, call):
    ours, expected = (numbers(CALLS[call](model)) for model in models)
    assert len(ours) == len(expected) > 0
    for array, other in zip(ours, expected, strict=True):
        largest = np.nanmax(np.abs(other), initial=0)
        np.testing.assert_allclose(array, other, rtol=0, atol=1e-4 * largest + 1e-6)

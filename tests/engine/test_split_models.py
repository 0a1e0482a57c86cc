"""A model and dictionaries split along `model`, rows along `data`: the numbers of one device, but for rounding.

Sums over heads, neurons and features are of partial sums there, so that they round otherwise: within 1e-4 of the
largest number in float32. What is chosen, ids of features and greedy tokens, is the same.
"""

import numpy as np
import pytest

import causeway as cw
from causeway.engine.dictionary.placement import Replicated, Sharded

PROMPTS = ["game: loss $20. balance $150.", "game: win $10. balance $30.", "game: win $10."]
GROUPS = {"a": PROMPTS[:2], "b": ["game: loss $50. balance $100.", "game: loss $5. balance $130."]}
EDIT = cw.FeatureEdit(2, 121, 14.0, scope="last_prompt")
FEATURES = [{"layer": 2, "feature": 121, "value_a": 9.0}, {"layer": 0, "feature": 11, "value_a": 3.0}]


def _run(model, saes, _):
    taps = [cw.Tap("resid_post", reader="top_k", width=5), cw.Tap("attn_pattern")]
    out = cw.run(model, PROMPTS, dictionary=saes, edits=[EDIT], taps=taps)
    return [*out.logits, *(record.values for prompt in out.records for record in prompt)]


def _generate(model, saes, _):
    (out,) = cw.generate(
        model, PROMPTS[0], dictionary=saes, arms=[[], [EDIT]], taps=[cw.Tap("resid_post", reader="all")],
        temperature=0.0, max_new_tokens=6, trials=3, rows=4,
    ).prompts  # fmt: skip
    return [out.generation.tokens, *(record.values for record in out.generation.records)]


def _features(model, saes, _):
    return _columns(cw.features(model, PROMPTS, dictionary=saes))


def _screen(model, saes, _):
    return _columns(cw.screen(model, GROUPS, dictionary=saes))


def _exact(model, saes, _):
    answers = {"nine": "9", "eight": "8"}
    found = cw.patch_sweep(model, GROUPS, dictionary=saes, features=FEATURES, answers=answers)
    return [np.nan_to_num(found[name].to_numpy().astype(float)) for name in ("layer", "feature", "effect")]


def _attribute(model, _, transcoders):
    graph = cw.attribute(model, PROMPTS[0], dictionary=transcoders, max_feature_nodes=30)
    return [graph.dense()]


def _columns(table):
    """Numbers of a table: of p and q, which jump where two numbers are equal but for rounding, none."""
    kinds = {name: table[name].to_numpy() for name in table.column_names if name[0] not in "pq"}
    return [np.nan_to_num(values.astype(float)) for values in kinds.values() if values.dtype.kind in "iuf"]


SPINE = {
    "run": _run, "generate": _generate, "features": _features, "screen": _screen, "patch_sweep": _exact,
    "attribute": _attribute,
}  # fmt: skip


@pytest.fixture(scope="module")
def placed():
    """The bundled model with its dictionaries, on one device and on a mesh of two by two."""

    def on(mesh):
        placement = Replicated() if mesh is None else Sharded(mesh)
        model = cw.load_model("bundled:tiny", sharding=mesh)
        kinds = ("bundled:tiny", "bundled:tiny/transcoders")
        return model, *(cw.load_dictionaries(kind, for_model=model, placement=placement) for kind in kinds)

    return on(None), on(cw.make_mesh(2, 2))


@pytest.mark.slow
@pytest.mark.parametrize("name", SPINE)
def test_a_split_model_gives_the_numbers_of_one_device(placed, name):
    whole, split = placed
    for one, other in zip(SPINE[name](*whole), SPINE[name](*split), strict=True):
        scale = max(np.abs(np.asarray(one, np.float64)).max(), 1e-30)
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4 * scale)

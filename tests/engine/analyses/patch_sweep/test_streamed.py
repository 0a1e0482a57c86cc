"""Sweeps of streamed dictionaries: the chosen features alone are in memory, and no bit is another one."""

import jax
import numpy as np
import pytest

from causeway.engine.analyses.patch_sweep.exact_units import exact_unit
from causeway.engine.analyses.patch_sweep.sampled_units import sampled_unit
from causeway.engine.dictionary.placement import StreamedDictionaries


def streamed(stack):
    return StreamedDictionaries([stack.layer(layer).config for layer in stack.config.layers], stack.layer, 1)


@pytest.mark.parametrize(("outcome", "unit", "more"), [
    ("exact", exact_unit, {}), pytest.param("sampled", sampled_unit, {"trials": 2}, marks=pytest.mark.slow),
])  # fmt: skip
def test_streamed_dictionaries_give_the_same_bits_and_the_same_plan(
    tiny_sweep, transformer, dictionary, outcome, unit, more
):
    whole, other = (
        tiny_sweep.make_sweep(transformer, d, outcome, prompts=tiny_sweep.make_prompts(2), **more)
        for d in (dictionary, streamed(dictionary))
    )
    assert other.stack.num_features < dictionary.num_features
    assert other.plan == whole.plan
    assert tiny_sweep.same_bits(tiny_sweep.stacked(whole, unit), tiny_sweep.stacked(other, unit))


def test_skip_connections_of_layers_without_a_patch_pass_changes_on(tiny, cases, tiny_sweep, transformer):

    stack = jax.tree.map(lambda a: a.astype(np.float32), cases.make_dictionary(tiny, "skip_mlp_in"))
    features = tiny_sweep.make_features().take(np.array([1, 2]))
    whole, other = (
        tiny_sweep.make_sweep(
            transformer, d, kinds=("patch",), prompts=tiny_sweep.make_prompts(1), features=features, holds="constrained"
        )
        for d in (stack, streamed(stack))
    )
    assert other.stack.config.layers == (0, 1, 2)
    assert tiny_sweep.same_bits(tiny_sweep.stacked(whole, exact_unit), tiny_sweep.stacked(other, exact_unit))


def test_what_reads_every_feature_is_refused(tiny, cases, tiny_sweep, transformer, dictionary, refuses):
    for change, what in (({"form": "replace"}, "form replace"), ({"holds": "features.0"}, "a hold of features")):
        with refuses(f"streamed, but {what} reads every feature"):
            tiny_sweep.make_sweep(transformer, streamed(dictionary), **change)
    with refuses("streamed, but record_features"):
        tiny_sweep.make_sweep(transformer, streamed(dictionary), "sampled", record="all")
    with refuses("streamed, but a topk dictionary"):
        tiny_sweep.make_sweep(transformer, streamed(cases.make_dictionary(tiny, "sae_cut")))

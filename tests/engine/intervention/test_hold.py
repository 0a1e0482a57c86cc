"""Holds: nothing without an edit, the clean stream where one is held, the same in `run` as in `intervene`."""

import dataclasses

import jax
import numpy as np
import pytest

from causeway.engine.analyses.intervene.intervene import intervene
from causeway.engine.calls.generate import generate
from causeway.engine.calls.run import run
from causeway.engine.intervention.hold import HOLDABLE, NAMED, Hold
from causeway.engine.intervention.requests import FeatureEdit, SwapEdit
from causeway.engine.intervention.sites import Place, own_place
from causeway.engine.intervention.tap_requests import Tap

PROMPTS = ([7, 31, 2, 19, 19, 0, 38], [3, 3, 8])
EDITS = [FeatureEdit(0, 5, 2.5, scope=[3, 4]), FeatureEdit(1, 7, -1.0, scope=-1), FeatureEdit(2, 3, 4.0, scope="all")]

pytestmark = pytest.mark.usefixtures("double")


def streams_of(model):
    """Streams that can be held and that this decoder has under that name."""
    config = model.config
    kept = [stream for stream in HOLDABLE if stream != "features"]
    return [s for s in kept if s not in config.unformed_streams and config.own_name(s) == s]


@pytest.mark.parametrize("family", ["gemma2", *(pytest.param(f, marks=pytest.mark.slow) for f in ("gpt_neox", "gpt2"))])
def test_without_an_edit_nothing_changes_and_with_one_the_held_stream_is_the_clean_one(tiny, cases, family):
    model = cases.make_model(tiny, family)
    every = [Hold(stream, layers=(1, 2)) for stream in streams_of(model)]
    clean = run(model, PROMPTS[0], holds=[*every, "constrained"]).logits[0]
    np.testing.assert_allclose(clean, run(model, PROMPTS[0]).logits[0], atol=1e-12)
    vector = np.random.default_rng(0).standard_normal(model.config.d_model)
    push = SwapEdit(0, vector, scope=2, stream="resid_pre")
    for stream in ("attn_pattern", "attn_out", "mlp_out"):
        tap = Tap(stream, layers=(1, 2))
        before, held, free = (
            run(model, PROMPTS[0], edits=edits, holds=holds, taps=[tap]).records[0][0].values
            for edits, holds in (([], "open"), ([push], Hold(stream, -2)), ([push], "open"))
        )
        np.testing.assert_array_equal(held[0], before[0])
        assert np.abs(held[1] - before[1]).max() > 1e-6
        assert np.abs(free[0] - before[0]).max() > 1e-6


@pytest.mark.parametrize(("family", "kind"), [
    ("llama", "skip_mlp_in"), *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        ("llama", "sae_cut"),
        ("gemma2", "relu"), ("qwen3", "skip_resid_mid"), ("gpt_neox", "gated"), ("llama", "sae"), ("gpt2", "jumprelu"),
    )),
])  # fmt: skip
@pytest.mark.parametrize("holds", [*NAMED, (Hold("attn_pattern", 0), Hold("norm", (1, 2)), Hold("mlp_out", -1))])
def test_run_is_intervene_with_the_same_holds(tiny, cases, family, kind, holds):
    """Which is held to the plain decoder with its own hooks."""
    model, dictionary = cases.make_model(tiny, family), cases.make_dictionary(tiny, kind)
    edits = [edit for edit in EDITS if edit.layer in dictionary.config.layers]
    edits = edits[:1] if dictionary.config.ranked else edits
    out = run(model, PROMPTS[0], dictionary=dictionary, edits=edits, holds=holds).logits[0]
    np.testing.assert_allclose(out, intervene(model, PROMPTS[0], dictionary, edits, holds).logits, atol=1e-10)


def test_neighbours_and_padding_change_nothing(tiny, cases):
    model, dictionary = cases.make_model(tiny), cases.make_dictionary(tiny, "skip_mlp_in")
    edits = EDITS[2:]
    both = run(model, PROMPTS, dictionary=dictionary, edits=edits, holds="constrained", batch_rows=2)
    for prompt, logits in zip(PROMPTS, both.logits, strict=True):
        alone = run(model, prompt, dictionary=dictionary, edits=edits, holds="constrained", batch_rows=2)
        np.testing.assert_array_equal(alone.logits[0], logits)


@pytest.mark.parametrize("holds", [
    "constrained", pytest.param((Hold("attn_pattern"), Hold("norm", 1)), marks=pytest.mark.slow),
])  # fmt: skip
def test_exact_outcomes_and_generation_hold_what_run_holds(tiny, cases, expect_answers_of, holds):
    model, dictionary = cases.make_model(tiny, "gemma2"), cases.make_dictionary(tiny, "skip_mlp_in")
    prompt, edits = PROMPTS[0], [FeatureEdit(1, 5, 6.0, scope=[3, 6])]

    def run_held(tokens):
        return jax.nn.log_softmax(run(model, tokens, dictionary=dictionary, edits=edits, holds=holds).logits[0])

    expect_answers_of(run_held, model, dictionary, prompt, edits, holds)
    at = len(prompt) - 1

    taps = [Tap("logits", "raw")]
    options = {"max_new_tokens": 2, "temperature": 0, "rows": 2, "stop": ()}
    made = generate(model, prompt, dictionary=dictionary, edits=edits, holds=holds, taps=taps, **options)[0]
    first = np.asarray(made.generation.records[0].values).reshape(-1, 40)[0]
    np.testing.assert_allclose(jax.nn.log_softmax(first), run_held(prompt)[at], atol=1e-9)


@pytest.mark.parametrize(("holds", "what"), [
    ("closed", "needs one of open"), (Hold("norm", 3), "Hold.layers: got 3"), ([1], "holds: got .1.; needs"),
    (Hold("attn_raw"), "has no norm"),
])  # fmt: skip
def test_what_cannot_be_held_is_refused(tiny, cases, refuses, holds, what):
    with refuses(what):
        run(cases.make_model(tiny), PROMPTS[0], holds=holds)


PLACES = {"blocks.1.hook_z": Place("head_out", 1), "hook_v": Place("value"), "blocks.7.hook_z": Place("head_out", 7)}


def reading_hooks(model):
    """The model with names that a loader would give it."""
    return dataclasses.replace(model, read_place=lambda name: PLACES.get(name) or own_place(name))


@pytest.mark.parametrize(("named", "own"), [
    ("blocks.1.hook_z", Hold("head_out", 1)), (["norm", Hold("hook_v", 2)], ["norm", "value.2"]),
    (Hold("attn_out.-1"), "attn_out.2"),
])  # fmt: skip
def test_names_of_other_libraries_hold_what_the_engines_own_hold(tiny, cases, named, own):
    model, dictionary = reading_hooks(cases.make_model(tiny)), cases.make_dictionary(tiny, "skip_mlp_in")
    push = [SwapEdit(0, np.ones(model.config.d_model), scope=2, stream="resid_pre")]
    for call in (run, lambda *given, **further: intervene(*given, dictionary, **further)):
        first, second = (call(model, PROMPTS[0], edits=push, holds=holds).logits for holds in (named, own))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("holds", "what"), [
    ("blocks.7.hook_z", "holds: layer of .* got 7"), (Hold("hook_rot_q"), "Hold.stream: cannot read"),
    (Hold("blocks.1.hook_z", 2), "Hold.layers: got .2., but .* is of layer 1"), ("lm_head.3", "holds: cannot read"),
])  # fmt: skip
def test_names_of_places_that_cannot_be_held_are_refused(tiny, cases, refuses, holds, what):
    with refuses(what):
        run(reading_hooks(cases.make_model(tiny)), PROMPTS[0], holds=holds)


def test_a_hold_says_what_it_needs(refuses):
    for stream, layers, what in (("logits", None, "Hold.stream"), ("norm", (), "got none"), ("norm", 0.5, "Hold.lay")):
        with refuses(what):
            Hold(stream, layers)

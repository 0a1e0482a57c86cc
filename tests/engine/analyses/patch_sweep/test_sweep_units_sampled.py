"""Sampled units: the rollouts of a direct call, parsed; shared noise; what was set and what is read back."""

import dataclasses

import jax
import numpy as np
import pytest

from causeway.engine.analyses.patch_sweep.arms import Arm
from causeway.engine.analyses.patch_sweep.sampled_units import sampled_unit
from causeway.engine.intervention.apply import bind
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.forward import run
from causeway.engine.model.generate import generate_rows
from causeway.engine.model.segments import Layout
from causeway.engine.outcome.parsed import INVALID
from causeway.engine.outcome.parsers import parse_answers

STEPS = 4


@pytest.fixture(scope="module")
def computed(tiny_sweep, transformer, dictionary):
    """A sweep that records what it patched and the largest logits, and its columns and arrays; by form."""
    made = {}

    def compute(form="delta"):
        if form not in made:
            kinds = ("baseline", "noop", "patch", "ablate")
            sweep = tiny_sweep.make_sweep(
                transformer, dictionary, "sampled", kinds, form=form, record="patched", top_logits=2, trials=3,
                prompts=tiny_sweep.make_prompts(2),
            )  # fmt: skip
            made[form] = (sweep, *tiny_sweep.stacked(sweep, sampled_unit))
        return made[form]

    return compute


def tokens_of(columns, number):
    """[rows, steps] of one prompt, -1 behind a row's end."""
    return np.array([[*ids, *[-1] * (STEPS - len(ids))] for ids in columns["tokens"][columns["prompt_id"] == number]])


class Letters:
    vocab_size, bos_id, eos_id, fingerprint = 40, None, None, "letters"

    def decode(self, ids):
        return "".join(chr(97 + i) for i in ids)


def test_stop_texts_end_rollouts_and_are_part_of_the_plan(tiny_sweep, transformer, dictionary):
    def make(**settings):
        sweep = tiny_sweep.make_sweep(
            transformer, dictionary, "sampled", ("baseline", "patch"), trials=3, prompts=tiny_sweep.make_prompts(1),
            **settings,
        )  # fmt: skip
        return dataclasses.replace(sweep, model=dataclasses.replace(sweep.model, tokenizer=Letters()))

    free = make()
    texts = tiny_sweep.stacked(free, sampled_unit)[0]["response"]
    stop = next(text for text in texts if len(text) == STEPS)[1:3]
    stopped = make(stop_texts=(stop,))
    found = tiny_sweep.stacked(stopped, sampled_unit)[0]
    assert list(found["response"]) == [t if stop not in t else t[: t.index(stop) + 2] for t in texts]
    assert list(found["response"]) != list(texts)
    assert stopped.plan.fingerprint != free.plan.fingerprint
    sampling = dataclasses.replace(free.settings.sampling, stop_tokens=(1,))
    assert make(sampling=sampling).plan.fingerprint != free.plan.fingerprint


@pytest.mark.slow
def test_a_unit_is_what_a_direct_call_draws(computed):
    sweep, columns, arrays = computed()
    prompt, s = sweep.prompts[0], sweep.settings
    direct = generate_rows(
        sweep.model.transformer, prompt.tokens, trials=sweep.rows.trial, layout=Layout(s.rows, s.segments),
        sampling=s.sampling, seed=s.seed, prompt_id=prompt.number,
        edits=sweep.edits(prompt, sweep.rows), dictionary=sweep.dictionary,
        taps=s.recording.taps(sweep.dictionary, 3),
    )  # fmt: skip
    np.testing.assert_array_equal(tokens_of(columns, prompt.number), direct.tokens)
    count, (features, logits) = len(sweep.rows), direct.records
    real = s.recording.ids >= 0
    for name, values in (
        ("values", np.where(real, features.values, 0)), ("valid", features.valid),
        ("top_logits", logits.values[:, :, 0]), ("top_tokens", logits.ids[:, :, 0]),
    ):  # fmt: skip
        np.testing.assert_array_equal(arrays[name][:count], values, err_msg=name)
    np.testing.assert_array_equal(columns["edits_applied"][:count], direct.applied[0].sum((1, 2)))


def test_arms_that_change_nothing_draw_the_baselines_tokens(computed):
    """Ablating a feature that is off does nothing; arms share their noise, so the tokens are the same."""
    sweep, columns, _ = computed()
    for prompt in sweep.prompts:
        mine = columns["prompt_id"] == prompt.number
        calm = mine & (columns["arm"] == "baseline")
        base = dict(zip(columns["trial"][calm], columns["tokens"][calm], strict=True))
        assert len({tuple(ids) for ids in base.values()}) > 1, "trials differ"
        off = mine & (columns["arm"] == "ablate") & (columns["value_before"] == 0)
        alike = [base[t] == ids for t, ids in zip(columns["trial"][off], columns["tokens"][off], strict=True)]
        # A feature that is off at the first token may come on later.
        assert np.mean(alike) > 0.5
    assert not np.array_equal(tokens_of(columns, 10)[:3], tokens_of(columns, 11)[:3])


@pytest.mark.slow
def test_a_noop_in_delta_form_is_the_baseline_and_has_no_rows(computed):
    assert "noop" not in set(computed()[1]["arm"])
    replaced = computed("replace")[1]
    assert set(replaced["layer"][replaced["arm"] == "noop"]) == {0, 2}


def test_actions_are_read_with_three_states(computed):
    sweep, columns, _ = computed()
    for action, amount, text in zip(*(columns[n] for n in ("action", "amount", "response")), strict=True):
        parsed = parse_answers(text, sweep.prompts[0].record.answers)
        assert (action, amount) == (parsed.action, parsed.amount)
    assert set(columns["action"]) <= {"stop", "bet", INVALID}
    assert INVALID in columns["action"]


def test_rows_end_with_the_stop_token_and_records_with_them(computed, tiny_sweep):
    sweep, columns, arrays = computed()
    lengths = np.array([len(ids) for ids in columns["tokens"]])
    assert 0 < (lengths < STEPS).sum() < len(lengths)
    for ids in columns["tokens"][lengths < STEPS]:
        assert ids[-1] == tiny_sweep.STOP
        assert tiny_sweep.STOP not in ids[:-1]
    np.testing.assert_array_equal(arrays["valid"], np.arange(STEPS) < lengths[:, None])
    for name in ("values", "top_logits", "top_tokens"):
        assert not arrays[name][~arrays["valid"]].any()
    patched = columns["arm"] == "patch:risky"
    assert columns["edits_applied"][patched].tolist() == lengths[patched].tolist()
    assert not columns["edits_applied"][columns["arm"] == "baseline"].any()
    assert len(sweep.rows) * 2 == len(lengths)


@pytest.mark.parametrize("form", ["delta", "replace"])
def test_a_patched_site_is_read_re_encoded_and_the_set_value_stands_beside_it(computed, form):
    """Whole passes over prompt and drawn tokens, the stream tapped raw and encoded by hand."""
    sweep, columns, arrays = computed(form)
    prompt, last = sweep.prompts[0], len(sweep.prompts[0].tokens) - 1
    chosen = np.flatnonzero(
        (sweep.rows.layer == 0)
        & (sweep.rows.arm == sweep.rows.arms.index(Arm("patch", "risky")))
        & (sweep.rows.trial == 0)
    )
    drawn = np.maximum(tokens_of(columns, prompt.number)[chosen], 0)
    tokens = np.concatenate([np.tile(prompt.tokens, (len(chosen), 1)), drawn[:, :-1]], axis=1)
    bound = bind(sweep.edits(prompt, sweep.rows.take(chosen))[0], sweep.dictionary)
    tap = bind_tap(TapSpec("resid_post", "raw", (0, 2)), None)
    stream = run(sweep.model.transformer, tokens, Instruments((bound,), (tap,))).records[0].values[:, :, last:]
    for place in (0, 1):
        one = jax.tree.map(lambda a, place=place: a[place], sweep.dictionary)
        features = np.asarray(one.encode(stream[place]))[:, :, sweep.settings.recording.ids[place]]
        valid = arrays["valid"][chosen][..., None]
        np.testing.assert_allclose(arrays["values"][chosen][:, :, place], np.where(valid, features, 0), atol=2e-5)
    own = list(sweep.settings.recording.ids[0])
    read = np.array([arrays["values"][row, 0, 0, own.index(sweep.rows.feature[row])] for row in chosen])
    set_to = columns["value_set"][chosen].astype(float)
    np.testing.assert_allclose(set_to, sweep.rows.shift[chosen], rtol=1e-6)
    assert np.abs(read - set_to).max() > 1e-2, "re-encoded, not echoed"


def test_recomputed_rows_differ_from_cached_ones_after_the_first_token_alone(tiny_sweep, make_sweep, computed):
    _, cached, _ = computed()
    sweep = make_sweep(
        "sampled", ("baseline", "patch"), trials=3, semantics="recomputed", prompts=tiny_sweep.make_prompts(2)
    )
    columns, _ = tiny_sweep.stacked(sweep, sampled_unit)
    a, b = (
        tokens_of({n: v[np.char.startswith(c["arm"].astype(str), ("baseline"))] for n, v in c.items()}, 10)
        for c in (columns, cached)
    )
    np.testing.assert_array_equal(a, b)
    first = [[ids[0] for ids in c["tokens"][c["arm"] == "patch:risky"]] for c in (columns, cached)]
    assert first[0] == first[1]

"""Exact units against whole teacher-forced passes, arm by arm; what the arms promise of each other."""

import jax
import numpy as np
import pytest

from causeway.engine.analyses.patch_sweep.arms import Arm
from causeway.engine.analyses.patch_sweep.exact_units import exact_unit
from causeway.engine.frozen.record import held_of
from causeway.engine.intervention.apply import bind_all
from causeway.engine.intervention.edits import EMPTY
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.forward import run
from causeway.engine.outcome.parsed import INVALID

WIDTH, ROWS = 10, 36


def passes(sweep, prompt, answer, rows, taps=()):
    """Rows of one layer's edits over a prompt with an answer behind it, as one batch padded both ways."""
    tokens = [*prompt.tokens, *prompt.answer_tokens[answer]]
    padded = np.tile(np.pad(tokens, (0, WIDTH - len(tokens))), (ROWS, 1))
    edits = sweep.edits(prompt, rows.take(np.resize(np.arange(len(rows)), ROWS)))
    lengths = np.full(ROWS, WIDTH)
    held = held_of(sweep.model.transformer, padded, lengths, sweep.held, sweep.dictionary)
    return run(
        sweep.model.transformer, padded, Instruments(bind_all(edits, sweep.dictionary), taps, held=held), lengths
    )


def log_probability(sweep, prompt, answer, rows):
    """[rows]: of one answer, token by token."""
    logits = np.asarray(passes(sweep, prompt, answer, rows).logits, np.float64)[: len(rows)]
    p = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    last = len(prompt.tokens) - 1
    return sum(p[:, last + i, token] for i, token in enumerate(prompt.answer_tokens[answer]))


def expected(sweep, prompt):
    """Columns of outcome by the slow way."""
    p = np.zeros((len(sweep.rows), len(prompt.record.answers)))
    for layer in np.unique(sweep.rows.layer):
        mine = np.flatnonzero(sweep.rows.layer == layer)
        for answer in range(len(prompt.record.answers)):
            p[mine, answer] = np.exp(log_probability(sweep, prompt, answer, sweep.rows.take(mine)))
    label = np.array([a.label for a in prompt.record.answers])
    columns = {f"p_{name}": p[:, label == name].sum(1) for name in sweep.labels}
    amounts = np.array([a.amount or 0 for a in prompt.record.answers])
    return columns | {"p_other": 1 - p.sum(1), "expected_amount": p @ amounts / p.sum(1)}


@pytest.fixture(scope="module")
def computed(tiny_sweep, transformer, dictionary):
    """A sweep and its table, by form."""
    made = {}

    def compute(form="delta"):
        if form not in made:
            sweep = tiny_sweep.make_sweep(transformer, dictionary, form=form, prompts=tiny_sweep.make_prompts(2))
            made[form] = (sweep, tiny_sweep.stacked(sweep, exact_unit)[0])
        return made[form]

    return compute


@pytest.mark.parametrize("form", ["delta", "replace"])
def test_every_row_equals_teacher_forced_passes(computed, form):
    sweep, columns = computed(form)
    for i, prompt in enumerate(sweep.prompts):
        mine = slice(i * len(sweep.rows), (i + 1) * len(sweep.rows))
        for name, values in expected(sweep, prompt).items():
            np.testing.assert_allclose(columns[name][mine].astype(float), values, atol=2e-5, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(("scope", "holds"), [
    ("last_prompt", "open"), ("decode", "open"), ("positions:1:3,-1", "open"),
    ("positions:1:3,-1", ("freeze_attention", "norm.-1", "mlp_out.1")),
    ("positions:1:3,-1", ("features.2", "features.0.3", "attn_pattern.1")),
])  # fmt: skip
def test_every_scope_equals_teacher_forced_passes(tiny_sweep, make_sweep, scope, holds):
    sweep = make_sweep("exact", ("patch",), scope=scope, holds=holds, prompts=tiny_sweep.make_prompts(1))
    columns, _ = tiny_sweep.stacked(sweep, exact_unit)
    values = expected(sweep, sweep.prompts[0])
    np.testing.assert_allclose(columns["p_stop"].astype(float), values["p_stop"], atol=2e-5)
    assert np.ptp(values["p_stop"]) > 1e-4


def of_arm(columns, arm, prompt):
    chosen = (columns["arm"] == arm) & (columns["prompt_id"] == prompt)
    return {name: values[chosen] for name, values in columns.items()}


def test_a_noop_is_the_baseline_in_delta_form(computed):
    _, columns = computed()
    for prompt in (10, 11):
        base = of_arm(columns, "baseline", prompt)["p_stop"]
        noop = of_arm(columns, "noop", prompt)
        assert noop["layer"].tolist() == [0, 2]
        np.testing.assert_allclose(noop["p_stop"].astype(float), base.astype(float).repeat(2), atol=1e-6)
        assert (noop["edits_applied"] > 0).all()
        assert noop["value_before"].tolist() == noop["value_set"].tolist()


def test_a_replacing_noop_is_the_dictionary_spliced_in(computed, plain):
    sweep, columns = computed("replace")
    prompt, dictionary = sweep.prompts[0], sweep.dictionary
    last, noop = len(prompt.tokens) - 1, of_arm(columns, "noop", 10)
    for row, layer in enumerate((0, 2)):
        one = jax.tree.map(lambda a, row=row: np.asarray(a[row], np.float64), dictionary)

        def splice(stream, at, x, layer=layer, one=one):
            if (stream, at) == ("resid_post", layer):
                x = np.concatenate([x[:last], one.decode(one.encode(x[last:]))])
            return x

        stop = 0.0
        for answer in (0, 1):
            logits = plain.logits(sweep.model.transformer, [*prompt.tokens, *prompt.answer_tokens[answer]], splice)
            steps = [plain.softmax(logits[last + i])[t] for i, t in enumerate(prompt.answer_tokens[answer])]
            stop += np.prod(steps)
        np.testing.assert_allclose(float(noop["p_stop"][row]), stop, atol=2e-5)
    base = of_arm(columns, "baseline", 10)["p_stop"].astype(float)
    assert np.abs(noop["p_stop"].astype(float) - base).max() > 1e-3, "the dictionary's error is not nothing"


def test_what_was_done_stands_beside_the_outcome(computed):
    sweep, columns = computed()
    patched = of_arm(columns, "patch:risky", 10)
    where = np.lexsort((sweep.features.feature, sweep.features.layer))
    values = sweep.features.values["risky"][where]
    np.testing.assert_allclose(patched["value_set"].astype(float), values, rtol=1e-6)
    ablated, dosed = of_arm(columns, "ablate", 10), of_arm(columns, "dose:risky:0.5", 10)
    assert set(ablated["value_set"]) == {0}
    assert ablated["value_before"].tolist() == patched["value_before"].tolist()
    assert (patched["value_before"] > 0).any()
    middle = (patched["value_before"] + patched["value_set"]) / 2
    np.testing.assert_allclose(dosed["value_set"].astype(float), middle.astype(float), rtol=1e-6)
    base = of_arm(columns, "baseline", 10)
    assert base["edits_applied"].tolist() == [0]
    assert (base["layer"].tolist(), base["feature"].tolist()) == ([EMPTY], [-1])


def test_the_pushes_of_a_random_control_have_equal_norms(computed):
    sweep, _ = computed()
    prompt, last = sweep.prompts[0], len(sweep.prompts[0].tokens) - 1
    for place, layer in enumerate((0, 2)):
        tap = (bind_tap(TapSpec("resid_post", "raw", (layer,)), None),)
        arms = [np.flatnonzero((sweep.rows.layer == layer) & (sweep.rows.arm == sweep.rows.arms.index(Arm.parse(arm))))
                for arm in ("noop", "patch:risky", "random:risky")]  # fmt: skip
        rows = sweep.rows.take(np.concatenate(arms))
        stream = np.asarray(passes(sweep, prompt, 2, rows, tap).records[0].values)[0, : len(rows), last]
        own, random = np.split(stream[1:] - stream[0], 2)
        np.testing.assert_allclose(np.linalg.norm(own, axis=1), np.linalg.norm(random, axis=1), rtol=1e-4)
        written = np.asarray(sweep.dictionary.W_dec[...])[place, rows.writer[4:]]
        cosine = (random * written).sum(1) / np.linalg.norm(random, axis=1) / np.linalg.norm(written, axis=1)
        np.testing.assert_allclose(np.abs(cosine), 1, rtol=1e-4)


def test_the_six_conditions_are_named(computed):
    _, columns = computed()
    six = {"safe_baseline", "safe_with_safe_patch", "safe_with_risky_patch",
           "risky_baseline", "risky_with_safe_patch", "risky_with_risky_patch"}  # fmt: skip
    assert six <= set(columns["condition"])
    assert set(columns["group"][columns["prompt_id"] == 10]) == {"safe"}


def test_labels_stand_for_themselves_whatever_order_a_prompt_lists_them_in(tiny_sweep, make_sweep):
    one, two = tiny_sweep.make_prompts(2)
    turned = tiny_sweep.changed(
        two, {"answers": one.record.answers[::-1]}, tokens=one.tokens, answer_tokens=one.answer_tokens[::-1]
    )
    columns, _ = tiny_sweep.stacked(make_sweep("exact", ("baseline",), prompts=(one, turned)), exact_unit)
    for name in ("p_stop", "p_bet", "p_other", "expected_amount"):
        np.testing.assert_allclose(*columns[name].astype(float), rtol=1e-5)
    assert INVALID not in columns["condition"]
    assert columns["p_stop"][0] != columns["p_bet"][0]

"""One pass and one back against a pass for every ablation, neuron by neuron and prompt by prompt, in float64."""

import numpy as np
import pytest

import causeway as cw
from causeway.engine.analyses.rank.ablation import Ablations, arms_of
from causeway.engine.analyses.rank.neurons import summed
from causeway.engine.analyses.rank.questions import Question, answers_of
from causeway.engine.analyses.rank.rank import Settings, _gathered, _Work
from causeway.engine.analyses.rank.readings import MODES, SCOPES, FrozenEffects, NeuronSums
from causeway.engine.calls.run import run
from causeway.engine.frozen.gradients import Aim, gradients

pytestmark = pytest.mark.usefixtures("double")
# Two widths, and a pass that is not full.
ASKED = [
    Question((7, 31, 2, 19, 19, 0, 38), (5, 11), "p0"), Question((5, 11, 8, 20, 3), (2, 7), "p1"),
    Question(tuple(range(2, 13)), (19, 4), "p2"), Question((9, 9, 30, 1, 14), (0, 39), "p3"),
    Question((1, 2), (8, 3), "p4"),
]  # fmt: skip
WRITTEN = ("mlp_out", "attn_out")
FAMILIES = [
    "gpt2", "gemma2",
    *(pytest.param(f, marks=pytest.mark.slow(together=f"rank readings of {f}"))
      for f in ("llama", "qwen3", "gpt_neox", "gemma3", "olmo2", "qwen2", "bare")),
]  # fmt: skip
NEURONS = np.array([[0, 0, 1, 2, 2], [3, 17, 5, 0, 23]], np.int32)


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, double, tiny, cases):
    return cases.make_model(tiny, request.param)


def work(model, first=1, rows=2):
    return _Work(model, Settings(attention=True, first=first, batch_rows=rows), None, None)


def outcome(logits, question):
    right, wrong = question.answers
    return logits[..., right] - logits[..., wrong]


def clean_streams(model, question):
    streams = ("mlp_act", *WRITTEN)
    out = run(model, [list(question.tokens)], taps=streams)
    return {name: np.float64(out[name][0]) for name in streams}, np.float64(out.logits[0])


@pytest.fixture(scope="module")
def clean(model):
    return [clean_streams(model, question) for question in ASKED]


@pytest.fixture(scope="module")
def sums(model):
    return summed(work(model).read("", NeuronSums, ASKED, (answers_of(ASKED),)), len(ASKED))


@pytest.fixture(scope="module")
def frozen(model, sums):
    data = answers_of(ASKED), sums.means, NEURONS
    return _gathered(work(model).read("", FrozenEffects, ASKED, data), len(ASKED))


def before_cap(model, question, **given):
    """The answers' difference from the stream after the final norm."""
    transformer = model.transformer
    matrix = transformer.embedding[...].T if model.config.tied_embeddings else transformer.unembedding[...]
    final = run(model, [list(question.tokens)], taps="final_norm", **given)["final_norm"][0][-1]
    return outcome(np.float64(final) @ np.float64(matrix), question)


def test_activity_and_means_are_those_of_all_tokens_but_the_first_and_of_the_last(clean, sums):
    for scope, end in ((slice(1, None), ""), (slice(-1, None), "_last")):
        values = np.concatenate([streams["mlp_act"][:, scope] for streams, _ in clean], axis=1)
        np.testing.assert_allclose(sums.scores[f"mean_abs{end}"], np.abs(values).mean(axis=1), rtol=1e-10)
        np.testing.assert_allclose(sums.scores[f"variance{end}"], values.var(axis=1, ddof=1), rtol=1e-9, atol=1e-15)
        for number, stream in enumerate(WRITTEN):
            mean = np.concatenate([streams[stream][:, scope] for streams, _ in clean], axis=1).mean(axis=1)
            np.testing.assert_allclose(sums.means[number, :, SCOPES.index("last_prompt" if end else "all")], mean,
                                       rtol=1e-6, atol=1e-7)  # fmt: skip
    np.testing.assert_allclose(
        sums.clean, [outcome(logits[-1], q) for (_, logits), q in zip(clean, ASKED, strict=True)]
    )


@pytest.mark.slow
def test_saliency_is_activation_times_the_gradient_of_the_outcome(model, clean, sums):
    found = {"": [], "_last": []}
    for question, (streams, _) in zip(ASKED, clean, strict=True):
        vector = np.zeros(model.config.vocab_size)
        vector[list(question.answers)] = 1, -1
        aim = Aim(0, len(question.tokens) - 1, vector, "logits")
        slope = gradients(model.transformer, list(question.tokens), aim, ("mlp_act",), "full").gradients["mlp_act"]
        size = np.abs(streams["mlp_act"] * slope)
        found[""].append(size[:, 1:])
        found["_last"].append(size[:, -1:])
    for end, values in found.items():
        expected = np.concatenate(values, axis=1).mean(axis=1)
        np.testing.assert_allclose(sums.scores[f"saliency{end}"], expected, rtol=1e-9, atol=1e-14)


def test_the_gradient_is_the_difference_quotient(model, clean, sums):
    step, expected = 1e-5, []
    for question, (streams, _) in zip(ASKED, clean, strict=True):
        arms = [cw.UnitEdit(1, 5, sign * step, "add", "last_prompt", "mlp_act") for sign in (-1, 1)]
        below, above = outcome(np.float64(run(model, [list(question.tokens)], arms=[[a] for a in arms]).logits[0]),
                               question)[:, -1]  # fmt: skip
        expected.append(abs(streams["mlp_act"][1, -1, 5] * (above - below) / (2 * np.float64(np.float32(step)))))
    np.testing.assert_allclose(sums.scores["saliency_last"][1, 5], np.mean(expected), rtol=1e-5, atol=1e-9)


@pytest.mark.slow
def test_a_neurons_direct_effect_is_what_ablating_it_changes_with_all_else_held(model, sums, frozen):
    assert np.abs(frozen["neurons"]).max() > 1e-4
    for row, question in enumerate(ASKED):
        whole = before_cap(model, question)
        for column, (layer, neuron) in enumerate(NEURONS.T.tolist()):
            others = [other for other in range(3) if other != layer]
            holds = [cw.Hold("attn_out"), cw.Hold("norm"), cw.Hold("mlp_out", others)]
            edit = cw.UnitEdit(layer, neuron, scope="last_prompt", stream="mlp_act")
            left = before_cap(model, question, edits=[edit], holds=holds)
            np.testing.assert_allclose(frozen["neurons"][row, column], whole - left, rtol=1e-9, atol=1e-11)
    layer, neuron = NEURONS
    np.testing.assert_allclose(sums.scores["direct_effect"][layer, neuron], frozen["neurons"].mean(axis=0), atol=1e-12)
    size = np.abs(frozen["neurons"]).mean(axis=0)
    np.testing.assert_allclose(sums.scores["direct_effect_abs"][layer, neuron], size, atol=1e-12)


@pytest.mark.slow
def test_frozen_and_direct_ablations_are_those_of_passes_that_hold(model, sums, frozen):
    arms = arms_of(range(3), WRITTEN)
    job = Ablations(model, ASKED, arms, WRITTEN, sums.means, 1)
    edits = [[job._edit(arm)] for arm in arms]
    held = {"frozen": "constrained", "direct": [cw.Hold("attn_out"), cw.Hold("mlp_out"), cw.Hold("norm")]}
    total = job.run(ASKED)
    for row, question in enumerate(ASKED):
        tokens = [list(question.tokens)]
        clean = outcome(np.float64(run(model, tokens).logits[0]), question)[-1]
        np.testing.assert_allclose(frozen["clean"][row], clean)
        moved = outcome(np.float64(run(model, tokens, arms=edits).logits[0]), question)[:, -1] - clean
        np.testing.assert_allclose(total.changes[row], moved, atol=1e-10)
        for paths, holds in held.items():
            after = outcome(np.float64(run(model, tokens, arms=edits, holds=holds).logits[0]), question)[:, -1]
            for arm, value in zip(arms, after - clean, strict=True):
                if paths == "direct" and arm.scope == "all":
                    continue
                at = row, WRITTEN.index(arm.stream), arm.layer, MODES.index(arm.mode)
                at = (*at, SCOPES.index(arm.scope)) if paths == "frozen" else at
                np.testing.assert_allclose(frozen[paths][at], value, rtol=1e-9, atol=1e-10, err_msg=f"{paths} {arm}")


@pytest.mark.slow
def test_how_prompts_are_dealt_and_whether_position_0_counts_decide_what_they_say(model, sums):
    alone = summed(work(model, rows=1).read("", NeuronSums, ASKED, (answers_of(ASKED),)), len(ASKED))
    whole = summed(work(model, first=0, rows=4).read("", NeuronSums, ASKED, (answers_of(ASKED),)), len(ASKED))
    for name, values in sums.scores.items():
        np.testing.assert_allclose(alone.scores[name], values, rtol=1e-10, atol=1e-13, err_msg=name)
        same = name.endswith("_last") or name.startswith("direct")
        assert np.allclose(whole.scores[name], values, rtol=1e-10, atol=1e-13) == same, name

"""`cw.effects`: rows that start from clean passes, held against `cw.run` of every arm from the bottom."""

import numpy as np
import pytest

import causeway as cw
from causeway.engine.calls.run import run
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.outcome import from_clean
from causeway.engine.stats.paired import paired_mean

pytestmark = pytest.mark.usefixtures("double")
RNG = np.random.default_rng(5)
WIDE = RNG.standard_normal(16)
# Two buckets; the first prompt is shorter than the tokens of some batches.
PROMPTS = [[7, 31, 2, 19, 19, 0, 38], [5, 11, 8, 20, 3], list(range(2, 13)), [9, 9, 30, 1, 14]]
TARGETS = [cw.logit_difference(5, 11), cw.logit_difference(2, 7), 19, cw.logit_difference(0, 39)]
ARMS = [
    [],
    [cw.UnitEdit(1, 2, scope="last_prompt")],
    [cw.UnitEdit(0, 3)],
    [cw.UnitEdit(2, 1, 2.5, "scale", [2, -1])],
    [cw.UnitEdit(1, 1, scope=2, stream="key"), cw.UnitEdit(2, 0, scope=[1, -1], stream="value")],
    [cw.UnitEdit(1, 11, 2.0, "set", stream="mlp_act", scope=3)],
    [cw.PatternEdit(1, 2, -1, 1)],
    [cw.PatternEdit(2, 1, slice(3, None), [0, 2], "scale", 0.5), cw.UnitEdit(2, 3, scope="last_prompt")],
    [cw.VectorEdit(0, WIDE, 0.7, "add", 1, "resid_post"), cw.SwapEdit(1, WIDE, "last_prompt", "mlp_out")],
    [cw.VectorEdit(0, WIDE, 0.8, "add", 3, "embed")],
    [cw.SwapEdit(1, WIDE, -2)],
]


@pytest.fixture(scope="module")
def model(double, tiny, cases):
    return cases.make_model(tiny, "llama")


def plainly(model, prompts, targets, arms, **given):
    """Every arm of every prompt from the bottom up, as `run` has it, and all its logits."""
    rows = []
    for number, (ids, target) in enumerate(zip(prompts, targets, strict=True)):
        own = arms[number] if isinstance(arms[0], list) and arms[0] and isinstance(arms[0][0], list) else arms
        logits = run(model, [ids], arms=own, **given).logits[0][:, -1]
        if isinstance(target, int):
            rows.append(logits[:, target] - logits.mean(axis=1))
        else:
            rows.append(sum(weight * logits[:, token] for token, weight in target.weights.items()))
    return np.stack(rows)


@pytest.mark.parametrize(
    "family", ["gemma2", *(pytest.param(f, marks=pytest.mark.slow) for f in ("llama", "gpt2", "gpt_neox", "olmo2"))]
)
def test_every_arm_is_what_a_whole_pass_makes_of_it(family, tiny, cases):
    model = cases.make_model(tiny, family)
    out = cw.effects(model, PROMPTS, TARGETS, ARMS)
    np.testing.assert_allclose(out.values, plainly(model, PROMPTS, TARGETS, ARMS), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(out.values[:, 0], out.clean)
    np.testing.assert_allclose(out.changes, out.values - out.clean[:, None])
    assert (np.abs(out.changes[:, 1:]).max(axis=0) > 1e-4).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "holds", ["constrained", ["head_out", "mlp_out.1"], ["norm", "attn_pattern.2", "query.1"]], ids=str
)
def test_holds_keep_what_the_clean_pass_of_the_prompt_had(model, holds):
    arms = [arm for arm in ARMS if not any(isinstance(edit, cw.PatternEdit) for edit in arm)][:4]
    arms += [[cw.VectorEdit(0, WIDE, 0.8, "add", scope, "resid_post")] for scope in ("last_prompt", 1, "all")]
    out = cw.effects(model, PROMPTS, TARGETS, arms, holds=holds)
    expected = plainly(model, PROMPTS, TARGETS, arms, holds=holds)
    np.testing.assert_allclose(out.values, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sae", "sae_cut", "skip_mlp_in", "cross_layer_skip"])
def test_features_of_all_kinds_of_dictionaries(model, tiny, cases, name):
    dictionary = cases.make_dictionary(tiny, name)
    arms = [
        [cw.FeatureEdit(0, 5, 2.0, scope="last_prompt")], [cw.FeatureEdit(2, 7, 3.0, "add", 1)],
        [cw.FeatureEdit(2, 9, scope="all")], [cw.UnitEdit(1, 2)],
    ]  # fmt: skip
    for holds in ("open", ["features.2"]):
        given = {"dictionary": dictionary, "holds": holds}
        arms = arms if holds == "open" else [arms[0], arms[3]]
        out = cw.effects(model, PROMPTS, TARGETS, arms, **given)
        np.testing.assert_allclose(
            out.values, plainly(model, PROMPTS, TARGETS, arms, **given), rtol=1e-9, atol=1e-9
        )  # fmt: skip


@pytest.mark.slow
def test_edits_of_logits_and_arms_of_each_prompts_own(model):
    arms = [
        [[cw.VectorEdit(3, np.eye(40)[number], 2.0, "add", stream="logits")], [cw.UnitEdit(number % 3, number)]]
        for number in (1, 2, 3, 0)
    ]
    out = cw.effects(model, PROMPTS, TARGETS[2], arms)
    np.testing.assert_allclose(out.values, plainly(model, PROMPTS, [19] * 4, arms), rtol=1e-9, atol=1e-9)
    asked = run(model, PROMPTS, arms=arms, logits="last")
    assert [logits.shape for logits in asked.logits] == [(2, 40)] * 4


def test_a_rows_bits_are_its_own(model):
    together = cw.effects(model, PROMPTS, TARGETS, ARMS)
    for prompt, arm in ((0, 1), (1, 4), (2, 7), (3, 8), (2, 2)):
        alone = cw.effects(model, PROMPTS[prompt], TARGETS[prompt], [ARMS[arm]])
        assert alone.values[0, 0].tobytes() == together.values[prompt, arm].tobytes()
        assert alone.clean.tobytes() == together.clean[prompt].tobytes()


def test_a_row_runs_its_own_tokens_from_its_own_layer_on(model, monkeypatch):
    ran, made = [], from_clean._own

    def watched(batch, numbers, prompts, lengths, tokens, tops):
        own = made(batch, numbers, prompts, lengths, tokens, tops)
        ran.append((int(own.first), tokens, len(own.prompts)))
        return own

    monkeypatch.setattr(from_clean, "_own", watched)
    long = list(range(1, 15))
    arms = [[], *([cw.UnitEdit(layer, 1, scope=scope)] for layer in (1, 2) for scope in ("last_prompt", -3, "all"))]
    cw.effects(model, [long], TARGETS[0], arms)
    assert sorted(ran) == [(layer, tokens, 128 // tokens) for layer in (1, 2) for tokens in (1, 4, 16)]


def test_many_heads_of_many_prompts_are_few_programs(model, compilations):
    heads = [[cw.UnitEdit(layer, head, scope="last_prompt")] for layer in range(3) for head in range(4)]
    cw.effects(model, PROMPTS[:2], TARGETS[0], heads[:1])
    with compilations() as programs:
        cw.effects(model, PROMPTS[:2] * 5, TARGETS[0], heads)
    assert not [name for name in programs if "edited_lasts" in name]


def test_prompts_are_kept_in_groups_that_memory_has_room_for(model, monkeypatch):
    whole = cw.effects(model, PROMPTS, TARGETS, ARMS)
    monkeypatch.setattr("causeway.engine.outcome.clean_passes.STORE_BYTES", 1)
    np.testing.assert_array_equal(cw.effects(model, PROMPTS, TARGETS, ARMS).values, whole.values)


def test_the_table_has_intervals_over_prompts_and_rates_over_arms():
    changes = RNG.normal([1.0, 0.0, -0.5], size=(40, 3))
    out = cw.Effects(changes + 2.0, np.full(40, 2.0))
    found, expected = out.table(slice(0, None, 2)).to_pydict(), paired_mean(changes[::2].T)
    for name in ("effect", "low", "high", "p", "prompts"):
        np.testing.assert_allclose(found[name], getattr(expected, name))
    order = np.argsort(found["p"])
    assert np.isclose(found["q"][order[0]], min(found["p"][order[0]] * 3, found["q"][order[1]]))
    shares = out.table(np.arange(40) % 2 == 0, share=True).to_pydict()
    np.testing.assert_allclose(shares["low"], expected.low / 2)
    assert "Effects(40 prompts, 3 arms; clean 2.000; most: arm 0" in repr(out)
    few = out.table(range(5)).to_pydict()
    assert np.isnan(few["q"]).all()
    assert np.isfinite(few["effect"]).all()


def test_what_cannot_be_meant_is_refused(model, refuses):
    calls = {
        "target: got 2 targets for 4 prompts": (PROMPTS, TARGETS[:2], ARMS),
        "arms: an edit acts at no token of a prompt of 7": (PROMPTS, TARGETS, [[cw.UnitEdit(1, 2, scope="decode")]]),
        "arms: got 2 lists of 1 arms for 4 prompts": (PROMPTS, TARGETS, [[[]], [[]]]),
        "arms: got 4 lists of 1, 2 arms for 4 prompts": (PROMPTS, TARGETS, [[[]], [[], []], [[]], [[]]]),
        "outside the vocabulary": (PROMPTS, 40, ARMS),
    }
    for message, given in calls.items():
        with refuses(message):
            cw.effects(model, *given)
    for wrong in (40, [], "some", [True]):
        with refuses(r"prompts: got .*; needs some of the numbers 0\.\.39, or a mask"):
            cw.Effects(np.zeros((40, 2)), np.zeros(40)).table(wrong)


@pytest.mark.slow
def test_what_is_not_finite_names_prompt_and_arm(transformer, tiny):
    model = cw.Model(transformer, None, "tiny", "of the tests")
    huge = cw.VectorEdit(1, np.ones(16), 3e38, "add", "last_prompt", "mlp_out")
    with pytest.raises(NotFiniteError, match=r"prompt 1, arm 1: layer 1 mlp_out .*the edit there makes it so"):
        cw.effects(model, PROMPTS[:2], TARGETS[0], [[[], []], [[], [huge]]])
    transformer = tiny.make_transformer()
    transformer.embedding.value = transformer.embedding[...].at[9].set(np.nan)
    model = cw.Model(transformer, None, "tiny", "of the tests")
    with pytest.raises(NotFiniteError, match="prompt 3: "):
        cw.effects(model, PROMPTS, cw.logit_difference(5, 11), ARMS)

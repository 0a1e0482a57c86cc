"""Directions are judged on prompts they were not fitted on, and what cannot be fitted or judged is said in a line."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import stats

import causeway as cw
from causeway.engine import scalars
from causeway.engine.analyses.direction.direction import Settings, find_directions, projection_table, told_lines
from causeway.engine.analyses.direction.judge import threshold
from causeway.engine.analyses.direction.tokens import unembedding
from causeway.engine.prompt_record import pair
from causeway.engine.representations import Representations, joined

WIDTH = 8


def made(count, rng, strength=2.0, splits=("train", "test"), size=1, written=False):
    """Prompts whose margin is strength times the first coordinate, with noise; two of three are fitted on."""
    x = rng.normal(size=(count, WIDTH))
    margins = strength * x[:, 0] + rng.logistic(size=count)
    records = []
    for i, margin in enumerate(margins.tolist()):
        split = splits[min(int(i // size % 3 == 2), len(splits) - 1)]
        fields = {"margin": margin, "correct": margin > 0} | ({"generated_correct": margin > 0.5} if written else {})
        records.append(pair(f"p{i}", " a", " b", "set", split, id=f"p{i}", group=f"g{i // size}", fields=fields))
    return Representations(tuple(records), x.astype(np.float32), fingerprint="abc")


@pytest.fixture(scope="module")
def given():
    return made(240, np.random.default_rng(0))


def test_each_method_finds_the_direction_and_is_judged_near_what_can_be_known(given):
    found = cw.direction(given)
    assert (found.names, found.stream, found.fingerprint) == (("difference", "probe", "mass_mean"), "final_norm", "abc")
    about = found.about
    assert about["sides"] == "fitted on train, judged on test"
    assert (about["fit"]["prompts"], about["judge"]["prompts"], about["label_source"]) == (160, 80, "margin")
    oracle = stats.norm.cdf(2 / np.sqrt(2 + np.pi**2 / 3))
    for vector, figures in zip(found.vectors, about["directions"].values(), strict=True):
        assert vector[0] > 0.85
        assert figures["auc_low"] < oracle < figures["auc_high"]
        assert figures["accuracy_low"] < figures["accuracy"] < figures["accuracy_high"]
        assert figures["p"] <= figures["q"] < 0.01
        assert figures["scale"] == "length 1"
    assert json.loads(json.dumps(scalars.without_nan(dict(about)))) is not None


def test_the_probes_intercept_is_in_the_units_of_its_projections(given):
    found = cw.direction(given, methods=["probe"])
    figures = found.about["directions"]["probe"]
    projections = given.vectors @ found.vectors[0]
    fit = np.array([record.split == "train" for record in given.records])
    share = ((projections + figures["intercept"] > 0) == (given.margins > 0))[fit].mean()
    best = ((projections > figures["threshold"]) == (given.margins > 0))[fit].mean()
    assert best - 0.05 < share <= best


def test_graded_labels_find_the_direction_where_all_answers_are_right(given):
    easy = dataclasses.replace(given, records=tuple(
        dataclasses.replace(r, fields={"margin": r.fields["margin"] + 50, "correct": True}) for r in given.records
    ))  # fmt: skip
    with pytest.raises(ValueError, match=r"all 160 prompts that are fitted on are right, .*graded labels give one"):
        cw.direction(easy)
    found = cw.direction(easy, labels="margin")
    assert found.names == ("covariance", "ridge")
    assert (found.vectors[:, 0] > 0.95).all()
    assert found.about["classes"] == "median"
    assert found.about["cut"] > 40
    assert all(figures["spearman"] > 0.5 for figures in found.about["directions"].values())
    assert cw.direction(given, labels="margin").about["classes"] == "sign"


def test_labels_that_say_nothing_are_found_as_often_as_the_interval_says():
    rng, covered, p = np.random.default_rng(0), [], []
    for _ in range(60):
        given = made(60, rng, strength=0.0)
        figures = cw.direction(given, methods=["difference"]).about["directions"]["difference"]
        covered.append(figures["auc_low"] <= 0.5 <= figures["auc_high"])
        p.append(figures["p"])
        # On the prompts it was fitted on a direction always seems to know.
        assert figures["auc_fit"] > 0.6
    assert np.mean(covered) >= 0.9
    assert np.mean(np.array(p) < 0.1) <= 0.2


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_groups_are_never_on_both_sides(share):
    given = made(120, np.random.default_rng(0), splits=("all",), size=3)
    found = find_directions(given, Settings(held_out=share, seed=1))
    groups = np.array([record.cluster for record in given.records])
    assert not set(groups[found.sides.fit]) & set(groups[found.sides.judge])
    assert (found.sides.fit ^ found.sides.judge).all()
    assert len(set(groups[found.sides.judge])) == round(40 * (share or 0.25))
    assert found.directions.about["sides"] == f"{share or 0.25:.0%} of 40 groups held out"


def test_what_is_judged_on_has_no_say_in_what_is_fitted(given):
    judged = np.array([record.split == "test" for record in given.records])
    other = dataclasses.replace(given, vectors=np.where(judged[:, None], 9 - given.vectors, given.vectors))
    one, two = cw.direction(given), cw.direction(other)
    np.testing.assert_array_equal(one.vectors, two.vectors)
    for name, figures in one.about["directions"].items():
        assert two.about["directions"][name]["threshold"] == figures["threshold"]
        assert two.about["directions"][name]["auc"] == pytest.approx(1 - figures["auc"])


def test_the_source_of_labels_is_named_and_chosen():
    given = made(120, np.random.default_rng(0), written=True)
    assert cw.direction(given, methods=["difference"]).about["label_source"] == "generated"
    other = cw.direction(given, methods=["difference"], label_source="margin")
    assert other.about["label_source"] == "margin"
    right = sum(record.fields["margin"] > 0 for record in given.records if record.split == "train")
    assert other.about["fit"]["right"] == right
    records = [dataclasses.replace(r, fields={"margin": r.fields["margin"]}) for r in given.records[:3]]
    mixed = dataclasses.replace(given, records=(*records, *given.records[3:]))
    assert cw.direction(mixed, methods=["difference"]).about["label_source"] == "margin"


def test_prompts_without_labels_are_left_out_but_projected(given):
    records = (*given.records[:-30], *(dataclasses.replace(r, fields={}) for r in given.records[-30:]))
    found = find_directions(dataclasses.replace(given, records=records), Settings(methods=("difference",)))
    counts = found.directions.about
    assert counts["fit"]["prompts"] + counts["judge"]["prompts"] == 210
    table = projection_table(given, found)
    assert table.column_names == ["id", "behaviour", "split", "side", "group", "label", "margin", "difference"]
    assert table["label"].null_count == 30
    expected = given.vectors @ found.directions.vectors[0]
    np.testing.assert_allclose(table["difference"].to_numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_right_most_often(seed):
    rng = np.random.default_rng(seed)
    projections, right = np.round(rng.normal(size=15), 1), rng.random(15) < 0.5
    share = [((projections > cut) == right).mean() for cut in np.linspace(-5, 5, 1001)]
    assert ((projections > threshold(projections, right)) == right).mean() == pytest.approx(max(share))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": "phase1"}, "labels: got 'phase1'; needs one of correct, margin"),
        ({"methods": ["ridge"]}, "methods: got 'ridge'; labels correct have difference, probe, mass_mean, each once"),
        ({"methods": ["probe", "probe"]}, "methods: got .*; labels correct have"),
        ({"methods": []}, "methods: got none; needs one, or tokens"),
        ({"methods": "probe"}, "methods: got 'probe'; needs a list of texts"),
        ({"label_source": "generated"}, "label_source: no prompt is labelled by generated; needs prompts with"),
        ({"label_source": "guess"}, "label_source: got 'guess'; needs one of generated, margin"),
        ({"labels": "margin", "label_source": "generated"}, "label_source: got 'generated'; graded labels are margins"),
        ({"fit_split": "dev"}, "fit_split: no prompt of split 'dev'; there are test, train"),
        ({"judge_split": "train"}, "fit_split, judge_split: both 'train'; needs two splits"),
        ({"held_out": 1.0}, r"held_out: got 1\.0; needs a share of the prompts"),
        ({"tokens": [" a"]}, "model: got nothing; directions of tokens need the model"),
        ({"representations": [1]}, "representations: got .1.; needs what cw.represent returns"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(given, changed, message):
    with pytest.raises(ValueError, match=message):
        cw.direction(**{"representations": given} | changed)


def test_few_prompts_and_groups_on_both_sides_are_refused(given):
    def few(chosen):
        return dataclasses.replace(
            given, records=tuple(given.records[i] for i in chosen), vectors=given.vectors[list(chosen)]
        )

    wrong = np.flatnonzero((given.margins <= 0) & [r.split == "train" for r in given.records])[3:]
    with pytest.raises(ValueError, match="labels: 3 groups with wrong answers; needs 4 or more, or labels margin"):
        cw.direction(few([i for i in range(240) if i not in wrong]))
    with pytest.raises(ValueError, match=r"labels: 6 groups with margins from .*; graded labels need 8 groups or more"):
        cw.direction(few(range(9)), labels="margin")
    crossed = tuple(dataclasses.replace(record, group="same") for record in given.records)
    with pytest.raises(ValueError, match="1 groups have prompts in both, 'same' among them; needs each"):
        cw.direction(dataclasses.replace(given, records=crossed))
    with pytest.raises(ValueError, match="held_out: all 240 prompts are of one group"):
        cw.direction(dataclasses.replace(given, records=crossed), held_out=0.5)
    judged = np.array([r.split == "test" for r in given.records])
    all_right = few(np.flatnonzero(~judged | (given.margins > 0)))
    found = cw.direction(all_right, methods=["difference"])
    assert np.isnan(found.about["directions"]["difference"]["auc"])
    assert "cannot tell: all" in told_lines(found)[0]
    blank = [dataclasses.replace(r, fields={}) if r.split == "train" else r for r in given.records]
    with pytest.raises(ValueError, match="none of 160 prompts that are fitted on has a label"):
        cw.direction(dataclasses.replace(given, records=tuple(blank)))


def test_sets_of_prompts_are_joined_where_they_are_of_one_place(given):
    whole = joined([given, given])
    assert (len(whole.records), whole.vectors.shape) == (480, (480, WIDTH))
    for other in (
        dataclasses.replace(given, fingerprint="xyz"), dataclasses.replace(given, stream="resid_post", layer=1),
        dataclasses.replace(given, vectors=given.vectors[:, :5]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"representations: of final_norm, .*; needs one place of one model"):
            joined([given, other])


# Of tokens.


@pytest.fixture(scope="module")
def bundled():
    return cw.load_model("bundled:tiny")


@pytest.fixture(scope="module")
def answered(bundled):
    triples = [(f"44+9{n}=13", str(n + 4), str(n + 3)) for n in range(6)]
    return cw.represent(bundled, triples)


def test_a_tokens_direction_gives_its_logit_above_the_mean(bundled, answered):
    found = cw.direction(answered, methods=[], tokens=["9", "8", "id:73"], model=bundled)
    assert found.names == ("token:9", "token:8", "token:id:73")
    nine, eight = (bundled.answer_token("44+95=13", text) for text in ("9", "8"))
    logits = np.array([cw.run(bundled, r.text, logits="last").logits[0] for r in answered.records], np.float64)
    expected = (logits - logits.mean(axis=1, keepdims=True))[:, [nine, eight, 73]]
    np.testing.assert_allclose(answered.vectors @ found.vectors.T, expected, atol=1e-3)
    assert {figures["scale"] for figures in found.about["directions"].values()} == {"logits"}
    assert found.about["directions"]["token:9"]["auc"] is not None
    columns = unembedding(bundled.transformer, np.arange(bundled.config.vocab_size))
    np.testing.assert_allclose(columns.mean(axis=0), 0, atol=1e-6)


def test_the_answers_direction_is_the_mean_logit_difference(bundled, answered):
    found = cw.direction(answered, methods=[], answers=True, model=bundled, held_out=0.2, seed=3)
    fit = find_directions(answered, Settings(methods=(), answers=True, held_out=0.2, seed=3), bundled).sides.fit
    logits = np.array([cw.run(bundled, r.text, logits="last").logits[0] for r in answered.records], np.float64)
    pairs = [[bundled.answer_token(r.text, text) for text in (r.correct, r.incorrect)] for r in answered.records]
    own = [pair for pair, on in zip(pairs, fit, strict=True) if on]
    expected = np.mean([logits[:, right] - logits[:, wrong] for right, wrong in own], axis=0)
    np.testing.assert_allclose(answered.vectors @ found.vectors[0], expected, atol=1e-3)


def test_directions_of_tokens_need_their_model_and_single_tokens(bundled, answered):
    for representations, texts, message in (
        (answered, ["139"], r"token_directions: '139' is 3 tokens of bundled:tiny \(.*\); needs one, such as id:"),
        (answered, ["id:9999"], "token_directions: id: got 9999; needs a whole number from 0"),
        (answered, ["9", "9"], "needs each token once"),
        (dataclasses.replace(answered, fingerprint="abc"), ["9"], "representations: made on weights abc, but bundled"),
        (dataclasses.replace(answered, stream="resid_post", layer=1), ["9"], "logits are inner products with"),
    ):
        with pytest.raises(ValueError, match=message):
            cw.direction(representations, methods=[], tokens=texts, model=bundled)


def test_answers_that_cancel_and_prompts_without_answers_have_no_direction(bundled):
    turned = [("44+95=13", "9", "8"), ("44+94=13", "8", "9")] * 2
    found = cw.represent(bundled, turned)
    places = [("train", "a"), ("train", "a"), ("test", "b"), ("test", "b")]
    records = [
        dataclasses.replace(record, split=split, group=group)
        for record, (split, group) in zip(found.records, places, strict=True)
    ]
    crossed = dataclasses.replace(found, records=tuple(records))
    with pytest.raises(ValueError, match="answers_direction: the differences of right and wrong answers cancel"):
        cw.direction(crossed, methods=[], answers=True, model=bundled)
    plain = cw.represent(bundled, ["44+95=", "44+94="])
    with pytest.raises(ValueError, match="answers_direction: no prompt that is fitted on has"):
        cw.direction(plain, methods=[], answers=True, model=bundled)
    assert told_lines(cw.direction(plain, methods=[], tokens=["9"], model=bundled)) == [
        "token:9: no labels to judge it by"
    ]

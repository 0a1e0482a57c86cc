"""`cw.rank`: what is chosen on some prompts and estimated on others, ranks by hand, resuming, and refusals."""

import jax.numpy as jnp
import numpy as np
import pytest

import causeway as cw
from causeway.engine.analyses.evaluate.teacher_forcing import scorable
from causeway.engine.analyses.rank import rank as ranking
from causeway.engine.analyses.rank.neurons import CRITERIA, kept_neurons, ranks_of
from causeway.engine.analyses.rank.questions import Question, estimating, questions, sides
from causeway.engine.analyses.rank.rank import Settings, rank_prompts
from causeway.engine.devices import local_parallel
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.model.handle import Model
from causeway.engine.prompt_record import pair
from causeway.engine.reading.job import Kept
from causeway.engine.stats.multiple import adjust
from causeway.engine.stats.paired import paired_mean

PROMPTS = [(text, right, wrong) for text, right, wrong in zip(
    ("abcd", "hgfed", "bca", "klm", "dcb", "ponml", "fe", "gha", "bcdef", "ihg", "nop", "qrsa", "tu", "abx", "cgh",
     "mmn", "bb", "caa", "def", "ghj", "xtr", "slk", "wvu", "efa"),
    "abcdefghijklmnopqrstuvwx", "bcdefghijklmnopqrstuvwxa", strict=True)]  # fmt: skip


@pytest.fixture(scope="module")
def found(model):
    return cw.rank(model, PROMPTS, keep_layers=2, keep=5, attention=True, seed=3)


def rows_of(table, **where):
    return [row for row in table.to_pylist() if all(row[name] == value for name, value in where.items())]


def test_critical_layers_are_chosen_on_prompts_that_do_not_estimate_them(model, found):
    records = [pair(*texts, id=f"prompt {n}") for n, texts in enumerate(PROMPTS)]
    apart = estimating(records, 0.5, 3)
    assert apart.sum() == 12
    others = [texts for texts, out in zip(PROMPTS, apart, strict=True) if out]
    # Other answers on the prompts that estimate change the estimates and not what is chosen.
    turned = [(text, wrong, right) if out else (text, right, wrong)
              for (text, right, wrong), out in zip(PROMPTS, apart, strict=True)]  # fmt: skip
    records = [pair(*texts, id=f"prompt {n}") for n, texts in enumerate(turned)]
    assert (estimating(records, 0.5, 3) == apart).all()
    again = cw.rank(model, turned, keep_layers=2, keep=5, attention=True, seed=3)
    assert again.critical == found.critical
    assert again.all_neurons.equals(found.all_neurons)
    for name in ("layer", "neuron", "rank"):
        assert again.neurons[name].equals(found.neurons[name])
    np.testing.assert_allclose(again.neurons["direct_effect"], -found.neurons["direct_effect"].to_numpy(), atol=1e-6)
    rule = rows_of(found.layers, stream="mlp_out", mode="mean", scope="all", paths="total")
    strongest = sorted(rule, key=lambda row: -abs(row["choosing_effect"]))
    assert [row["layer"] for row in strongest[:2]] == list(found.critical)
    assert {row["layer"] for row in rows_of(found.layers, critical=True)} == set(found.critical)
    assert len(others) == found.about["estimating_prompts"] == rule[0]["prompts"]


def test_the_table_of_layers_is_the_statistics_of_cw_effects(model, found):
    records = [pair(*texts, id=f"prompt {n}") for n, texts in enumerate(PROMPTS)]
    apart = estimating(records, 0.5, 3)
    others = [texts for texts, out in zip(PROMPTS, apart, strict=True) if out]
    targets = [cw.logit_difference(*(model.tokens(t)[0] for t in answers)) for _, *answers in others]
    zero = [[cw.SwapEdit(layer, np.zeros(16), slice(1, None), "mlp_out")] for layer in range(3)]
    effects = cw.effects(model, [text for text, *_ in others], targets, zero)
    stats, clean = paired_mean(effects.changes.T), effects.clean
    rows = rows_of(found.layers, stream="mlp_out", mode="zero", scope="all", paths="total")
    for name, values in (("effect", stats.effect), ("low", stats.low), ("high", stats.high), ("p", stats.p)):
        np.testing.assert_allclose([row[name] for row in rows], values, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose([row["q"] for row in rows], adjust(stats.p).q, rtol=1e-5)
    accuracy = (effects.values > 0).mean(axis=0)
    np.testing.assert_allclose([row["accuracy"] for row in rows], accuracy)
    np.testing.assert_allclose([row["drop"] for row in rows], (clean > 0).mean() - accuracy)
    families = {(r["stream"], r["mode"], r["scope"], r["paths"]) for r in found.layers.to_pylist()}
    assert len(families) == 2 * 2 * 2 * 2 + 2 * 2
    assert found.layers.num_rows == 3 * len(families)
    assert found.about["accuracy"]["rate"] == (clean > 0).mean()


def test_ranks_are_those_of_each_layer_by_size_and_their_mean_decides():
    scores = {"mean_abs": np.array([[3.0, 1, 2, 2], [0, 0, 5, 1]]), "direct_effect": np.array([[0.1, -9, 3, 2]] * 2)}
    ranks, rank = ranks_of(scores, ("mean_abs", "direct_effect"))
    np.testing.assert_array_equal(ranks["mean_abs"], [[1, 4, 2.5, 2.5], [3.5, 3.5, 1, 2]])
    np.testing.assert_array_equal(ranks["direct_effect"], [[4, 1, 2, 3]] * 2)
    np.testing.assert_array_equal(rank, [[2, 3, 1, 4], [4, 2, 1, 3]])
    np.testing.assert_array_equal(kept_neurons(rank, (1, 0), 2), [[1, 1, 0, 0], [2, 1, 2, 0]])


def test_kept_neurons_come_strongest_first_and_are_those_marked(found):
    kept = found.neurons.to_pylist()
    assert [row["layer"] for row in kept] == [layer for layer in found.critical for _ in range(5)]
    assert [row["rank"] for row in kept] == [1, 2, 3, 4, 5] * 2
    marked = {(row["layer"], row["neuron"]) for row in rows_of(found.all_neurons, kept=True)}
    assert marked == {(row["layer"], row["neuron"]) for row in kept}
    assert found.all_neurons.num_rows == 3 * 24
    for row in kept:
        (same,) = rows_of(found.all_neurons, layer=row["layer"], neuron=row["neuron"])
        assert same.items() <= row.items()
    assert "critical layers" in repr(found)
    assert "\n" not in repr(found)


@pytest.mark.slow
@pytest.mark.parametrize("criterion", CRITERIA)
def test_one_criterion_alone_orders_a_layer_by_itself(model, criterion):
    found = cw.rank(model, PROMPTS, criteria=[criterion], layers=[-1], keep=24, held_out=0)
    column = f"choosing_{criterion}" if criterion.startswith("direct") else criterion
    values = np.abs(found.neurons[column].to_numpy())
    assert (np.diff(values) <= 0).all()
    assert set(found.all_neurons["layer"].to_pylist()) == {2} == set(found.layers["layer"].to_pylist())


def test_where_all_prompts_do_both_the_estimate_is_the_choosing_effect(model):
    found = cw.rank(model, PROMPTS, held_out=0, layers=[1, 2], keep=3)
    rows = rows_of(found.layers, mode="mean", scope="all", paths="total")
    np.testing.assert_allclose([r["effect"] for r in rows], [r["choosing_effect"] for r in rows], rtol=1e-6)
    np.testing.assert_allclose(found.neurons["direct_effect"], found.neurons["choosing_direct_effect"].to_numpy(),
                               rtol=1e-5, atol=1e-6)  # fmt: skip


def test_the_records_own_split_chooses_and_answers_part_after_what_they_share(model):
    records = [pair("abc", "d", "e", split=split, id=str(n)) for n, split in enumerate(["train", "test", "train"])]
    np.testing.assert_array_equal(estimating(records, 0.5, 0), [False, True, False])
    (asked,) = questions([scorable(model, pair("abc", "dea", "dfb", id="x"))], 1)
    assert asked == Question((0, 1, 2, 3), (4, 5), "x")
    assert sides([asked, asked], np.array([False, False])) == ([asked, asked],) * 2


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_tables(model, tmp_path, monkeypatch):
    records = [pair(*texts, id=f"prompt {n}") for n, texts in enumerate(PROMPTS)]
    asked, settings = questions([scorable(model, r) for r in records], 1), Settings(keep_layers=1, keep=4)
    choosing, others = sides(asked, estimating(records, 0.5, 0))
    plain = rank_prompts(model, choosing, others, settings)
    kept = Kept(tmp_path, model.fingerprint)
    with monkeypatch.context() as patched:
        patched.setattr(ranking, "_gathered", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            rank_prompts(model, choosing, others, settings, kept=kept)
    first = {path: path.stat().st_mtime_ns for path in tmp_path.glob("choosing*/units/*")}
    assert first
    again = rank_prompts(model, choosing, others, settings, kept=kept)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("choosing*/units/*")} == first
    for name in ("layers", "neurons", "all_neurons"):
        assert repr(getattr(again, name).to_pylist()) == repr(getattr(plain, name).to_pylist()), name
    with pytest.raises(ValueError, match="of another plan"):
        rank_prompts(model, choosing[:-1], others, settings, kept=kept)


@pytest.mark.slow
def test_rows_over_several_devices_give_the_same_ranking(model):
    asked = [Question((i % 7, 3, i % 5, 8), (i % 9, 20), f"p{i}") for i in range(9)]
    one, three = (
        rank_prompts(model, asked[:5], asked[5:], Settings(keep=4, batch_rows=2), parallel=local_parallel(count))
        for count in (1, 3)
    )
    assert one.critical == three.critical
    for name in ("neurons", "layers"):
        for column in getattr(one, name).column_names:
            if getattr(one, name)[column].type == "double":
                values = [getattr(found, name)[column].to_numpy() for found in (one, three)]
                np.testing.assert_allclose(*values, rtol=1e-4, atol=1e-6, err_msg=column)


@pytest.mark.slow
def test_what_is_no_number_is_named_before_anything_is_ranked(tiny, model):
    broken = tiny.make_transformer()
    down = broken.blocks.mlp.down
    down[...] = down[...].at[1, 3].set(jnp.nan)
    with pytest.raises(NotFiniteError, match=r"prompt .*layer 1"):
        cw.rank(Model(broken, model.tokenizer, "broken", "broken"), PROMPTS)


@pytest.mark.parametrize(("given", "match"), [
    ({"layers": [0, 3]}, "layers: got"), ({"layers": [1, 1]}, "each once"), ({"keep": 0}, "keep: got 0"),
    ({"keep_layers": 0}, "keep_layers: got 0"), ({"criteria": ["size"]}, "criteria: got"),
    ({"criteria": []}, "criteria"),
    ({"prompts": []}, "prompts: got"), ({"prompts": PROMPTS[:1]}, "prompts: got 1; means need 2"),
    ({"prompts": PROMPTS[:2]}, "1 of 2 would choose"), ({"prompts": [("ab", "c")]}, "needs .prompt, right answer"),
    ({"prompts": [("ab", "c", "c"), ("ab", "c", "d")]}, "needs two that differ"),
    ({"held_out": 1.0}, "held_out: got 1"),
    ({"prompts": [("a", "b", "c"), ("ab", "c", "d")]}, "position 0 and does not count"),
])  # fmt: skip
def test_what_cannot_be_ranked_is_refused_in_a_line_before_compiling(model, refuses, compilations, given, match):
    with compilations() as programs, refuses(match):
        cw.rank(**{"model": model, "prompts": PROMPTS} | given)
    assert not programs


@pytest.mark.slow
def test_position_0_counts_where_it_is_asked_for(model):
    short = [*PROMPTS, ("a", "b", "c"), ("d", "e", "f")]
    whole = cw.rank(model, short, include_first=True, keep_layers=1, keep=2)
    part = cw.rank(model, PROMPTS, keep_layers=1, keep=2)
    assert (whole.about["position_0"], part.about["position_0"]) == (True, False)
    assert whole.about["choosing_prompts"] + whole.about["estimating_prompts"] == len(short)

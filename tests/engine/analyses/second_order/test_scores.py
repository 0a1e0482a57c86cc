"""Second-order scores of many prompts: what the parts make up, whatever they are run with, interrupted or not."""

import dataclasses

import jax
import numpy as np
import pytest

import causeway as cw
from causeway.engine.analyses.second_order.aims import Aims
from causeway.engine.analyses.second_order.results import kept_layers, result_tables, summary
from causeway.engine.analyses.second_order.scores import ScoresJob
from causeway.engine.devices import local_parallel
from causeway.engine.frozen import job as frozen_job
from causeway.engine.frozen.batches import ReadPrompt
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.sweep import job
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store

LENGTHS = (5, 9, 6, 12, 7, 8, 10, 4, 9, 17, 20, 5)


@pytest.fixture(scope="module")
def prompts():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 40, n).tolist() for n in LENGTHS]


@pytest.fixture(scope="module")
def directions(model):
    vectors = np.random.default_rng(1).standard_normal((2, model.config.d_model)).astype(np.float32)
    return cw.Directions(("a", "b"), vectors, fingerprint=model.fingerprint)


@pytest.fixture(scope="module")
def scored(model, prompts, directions):
    return cw.second_order(model, prompts, directions=directions, orders=3)


@pytest.fixture(scope="module")
def scores_job(model, prompts, directions):
    read = tuple(ReadPrompt(tuple(ids), len(ids) - 1, f"prompt {i}") for i, ids in enumerate(prompts))
    return ScoresJob(model, read, Aims(directions.names, directions.vectors[None]), (0, 1, 2), 1)


def test_all_that_is_scored_makes_up_the_number(model, prompts, directions, scored):
    total = scored.scores.sum(axis=(1, 2, 4)) + scored.mlp_biases.sum(axis=(1, 2)) + scored.attention.sum(axis=(1, 2))
    np.testing.assert_allclose(total + scored.embedding.sum(axis=1), scored.value, rtol=1e-5, atol=1e-5)
    out = cw.run(model, prompts, taps=["final_norm"])
    wanted = [out["final_norm"][i][-1] @ directions.vectors.T for i in range(len(prompts))]
    np.testing.assert_allclose(scored.value, wanted, rtol=1e-5, atol=1e-5)


def test_a_prompts_scores_are_its_own(model, prompts, directions, scored):
    """Neither neighbours nor order change a bit."""
    some = [7, 0, 9, 3]
    found = cw.second_order(model, [prompts[i] for i in some], directions=directions, orders=3)
    np.testing.assert_array_equal(found.scores, scored.scores[some])


def test_fewer_layers_are_those_of_all(model, prompts, directions, scored):
    found = cw.second_order(model, prompts[:3], directions=directions, layers=[-2], orders=3)
    assert found.layers == (1,)
    np.testing.assert_array_equal(found.scores[:, 0], scored.scores[:3, 1])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["shard_map", "pmap"])
def test_devices_change_no_bit(scores_job, mode):
    one = scores_job.unit(0)
    four = dataclasses.replace(scores_job, parallel=local_parallel(4, mode)).unit(0)
    assert one.rows == four.rows
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, four.arrays[name])


def test_what_was_stopped_goes_on_to_the_same_files(scores_job, scored, contents, tmp_path, monkeypatch):
    monkeypatch.setattr(frozen_job, "UNIT_BATCHES", 1)
    fresh = type(scores_job)(scores_job.model, scores_job.prompts, scores_job.aims, (0, 1, 2), 1)
    assert fresh.plan.units > 1
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert not job.run(fresh, whole).stopped
    assert run_sweep(Store(parts, fresh.plan), fresh.unit, limit=1).stopped
    assert not job.run(fresh, parts).stopped
    assert contents(Store(whole, fresh.plan)) == contents(Store(parts, fresh.plan))
    for layer, found in kept_layers(fresh, whole):
        np.testing.assert_array_equal(found, scored.scores[:, layer, :2])
    neurons, layers = result_tables(fresh, whole, "bh")
    assert neurons["effect"].to_pylist() == pytest.approx(_first_two(scored).table["effect"].to_pylist())
    told = summary(fresh, whole, layers)["a"]
    parts_sum = sum(o["neurons"] + o["mlp_biases"] + o["attention_constants"] + o["embedding"] for o in told["orders"])
    third = scored.scores[:, :, 2:, 0].sum(axis=(1, 2, 3)).mean() + scored.embedding[:, 2:, 0].sum(axis=1).mean()
    third += scored.attention[:, :, 2:, 0].sum(axis=(1, 2)).mean() + scored.mlp_biases[:, :, 2:, 0].sum((1, 2)).mean()
    assert parts_sum + third == pytest.approx(told["mean"], abs=1e-4)


def _first_two(scored):
    return dataclasses.replace(
        scored, scores=scored.scores[:, :, :2], mlp_biases=scored.mlp_biases[:, :, :2],
        attention=scored.attention[:, :, :2], embedding=scored.embedding[:, :2],
    )  # fmt: skip


def test_heads_split_a_neurons_score(scored):
    chosen = cw.Neurons(np.array([1, 0, 0]), np.array([3, 5, 2]))
    rows = scored.heads(chosen).to_pylist()
    assert {row["head_layer"] for row in rows if row["layer"] == 1} == {2}
    for layer, neuron in ((1, 3), (0, 5), (0, 2)):
        for r, name in enumerate(("a", "b")):
            own = [row for row in rows if (row["layer"], row["neuron"], row["direction"]) == (layer, neuron, name)]
            wanted = scored.scores[:, layer, 1, r, neuron].mean()
            assert sum(row["effect"] for row in own) == pytest.approx(wanted, abs=1e-5)


def test_the_table_has_every_neuron_once_a_direction_the_strongest_first(scored):
    table = scored.table
    assert len(table) == 2 * 3 * scored.scores.shape[-1]
    for r, name in enumerate(("a", "b")):
        own = [row for row in table.to_pylist() if row["direction"] == name]
        assert len({(row["layer"], row["neuron"]) for row in own}) == len(own)
        effects = [abs(row["effect"]) for row in own]
        assert effects == sorted(effects, reverse=True)
        first = own[0]
        scores = scored.scores[:, first["layer"], 1, r, first["neuron"]]
        assert first["effect"] == pytest.approx(scores.mean())
        assert first["low"] < first["effect"] < first["high"]


def test_answers_are_read_where_they_part(model):
    found = cw.second_order(model, [("ab", "cd", "ce"), ("bb", "a", "b")])
    out = cw.run(model, ["abc", "bb"])
    wanted = [out.logits[0][-1], out.logits[1][-1]]
    pairs = [model.tokens("abcde")[-2:], model.tokens("ab")]
    expected = [logits[right] - logits[wrong] for logits, (right, wrong) in zip(wanted, pairs, strict=True)]
    np.testing.assert_allclose(found.value[:, 0], expected, rtol=1e-4, atol=1e-5)
    assert found.names == ("answers",)


@pytest.mark.slow
def test_a_direction_of_a_layer_is_read_there(model, prompts):
    vectors = np.random.default_rng(3).standard_normal((1, model.config.d_model))
    found = cw.second_order(model, prompts[:4], directions=cw.Directions(("x",), vectors, "resid_post", 1), orders=2)
    out = cw.run(model, prompts[:4], taps=["resid_post"])
    wanted = [out["resid_post", 1][i][-1] @ vectors[0] for i in range(4)]
    np.testing.assert_allclose(found.value[:, 0], wanted, rtol=1e-4, atol=1e-5)
    assert not found.scores[:, 2].any()
    heads = found.heads(cw.Neurons(np.array([0]), np.array([1]))).to_pylist()
    assert {row["head_layer"] for row in heads if row["effect"]} == {1}


@pytest.mark.parametrize(
    ("prompts", "changes", "message"),
    [
        ([], {}, r"prompts: got \[\]; needs a list"),
        (["ab"], {}, "answers: got none; needs correct_answer and incorrect_answer"),
        ([("ab", "c", "c")], {}, "both 'c'; needs two that differ"),
        (["ab", "ba"], {"directions": [1]}, "directions: got 1 targets for 2 prompts"),
        (["ab"], {"directions": 1.5}, "directions: got 1.5 for 1 prompts"),
        (["ab"], {"directions": 1, "layers": [3]}, "layers: got 3"),
        (["ab"], {"directions": 1, "orders": 0}, "orders: got 0; needs a whole number from 1"),
        (["ab"], {"directions": 1, "position": "-9"}, "-9"),
        (["ab"], {"directions": cw.Directions(("x",), np.ones((1, 16)), fingerprint="abc")}, "made on weights abc"),
    ],
)
def test_what_cannot_be_scored_is_refused(model, prompts, changes, message):
    with pytest.raises(ValueError, match=message):
        cw.second_order(model, prompts, **changes)


def test_neurons_that_no_head_reads_are_refused(scored):
    with pytest.raises(ValueError, match="neurons: none is of a layer below 2, the last whose heads can read them"):
        scored.heads(cw.Neurons(np.array([2]), np.array([1])))
    with pytest.raises(ValueError, match="neurons: got 0:99"):
        scored.heads(cw.Neurons(np.array([0]), np.array([99])))


def test_a_pass_that_gives_no_numbers_names_the_prompt(tiny, model, directions):
    broken = jax.tree.map(lambda a: a, model.transformer)
    broken.embedding[...] = broken.embedding[...].at[5].set(np.nan)
    with pytest.raises(NotFiniteError, match="prompt 1"):
        cw.second_order(
            cw.Model(broken, None, "broken", "broken"), [[1, 2], [3, 5]],
            directions=cw.Directions(("x",), directions.vectors[:1]),
        )  # fmt: skip

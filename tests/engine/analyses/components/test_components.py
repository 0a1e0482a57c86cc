"""Components of neurons are those of the explicit effects, whatever the batches, chunks and interruptions."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.analyses.components import neuron_components
from causeway.engine.analyses.components.code_sweep import CodeSweep, HeldCodes, StoredCodes, array_name
from causeway.engine.analyses.components.components import chosen_prompts, explicit_effects, found_layers
from causeway.engine.analyses.components.neuron_components import chunk_found, chunk_neurons, maps_of
from causeway.engine.analyses.components.request import components
from causeway.engine.bench.run import RunShape
from causeway.engine.devices import local_parallel
from causeway.engine.frozen import job
from causeway.engine.frozen.batches import ReadPrompt
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.model.handle import Model
from causeway.engine.neurons import Neurons
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store

pytestmark = pytest.mark.usefixtures("double")
NEURONS = Neurons(np.array([0, 0, 1]), np.array([3, 17, 5]))
CHOSEN = np.arange(12) % 3 != 0
K = 3


def drawn_prompts(count=12):
    rng = np.random.default_rng(2)
    return [rng.integers(0, 40, rng.integers(2, 12)).tolist() for _ in range(count)]


PROMPTS = drawn_prompts()


def made(tiny, family="llama", prompts=PROMPTS, neurons=NEURONS, **changes):
    transformer = tiny.make_transformer(tiny.DOUBLE, **tiny.FAMILIES[family] | changes)
    listed = tuple(ReadPrompt(tuple(p), len(p) - 1, f"prompt {n}") for n, p in enumerate(prompts))
    return CodeSweep(
        Model(transformer, None, f"tiny {family}", identity=family), listed, neurons, parallel=local_parallel(1)
    )


@functools.cache
def held(tiny):
    sweep = made(tiny)
    return sweep, HeldCodes.of_sweep(sweep)


def effects_by_hand(sweep, plain, plain_orders, layer, neuron):
    """[P, D]."""
    transformer, found = sweep.model.transformer, []
    for prompt in sweep.prompts:
        twin = plain_orders.Recorded(plain, transformer, np.array(prompt.tokens))
        passed = twin.orders(layer, twin.neuron(layer, neuron), 1)[1]
        found.append([twin.read(passed, unit) for unit in np.eye(transformer.config.d_model)])
    return np.array(found)


def judged(effects, component):
    """Shares of squared deviations along a direction, on prompts that choose and on those held out."""
    off = effects - effects[CHOSEN].mean(axis=0)
    return [((off[rows] @ component) ** 2).sum() / (off[rows] ** 2).sum() for rows in (CHOSEN, ~CHOSEN)]


@pytest.mark.parametrize("family", ["llama", "gpt2", pytest.param("gemma2", marks=pytest.mark.slow)])
def test_components_are_those_of_the_explicit_effects(tiny, plain, plain_orders, family):
    sweep = made(tiny, family)
    for found in found_layers(sweep, HeldCodes.of_sweep(sweep), CHOSEN, K):
        layer, rows = found.components.layer, found.table.to_pylist()
        for place, neuron in enumerate(found.components.neuron):
            effects = effects_by_hand(sweep, plain, plain_orders, layer, neuron)
            off = effects - effects[CHOSEN].mean(axis=0)
            values, vectors = np.linalg.eigh(np.cov(effects[CHOSEN].T))
            sizes = np.linalg.norm(off, axis=1)
            largest = np.argsort(-np.where(CHOSEN, sizes, -1))[:K]
            component = vectors[:, -1] * np.sign(2 * (off[largest] @ vectors[:, -1] > 0).sum() - K)
            np.testing.assert_allclose(found.components.mean[place], effects[CHOSEN].mean(axis=0), atol=1e-11)
            np.testing.assert_allclose(found.components.component[place], component, atol=1e-8)
            row = rows[place]
            shares = judged(effects, component)
            wanted = {
                "variance": values.sum(), "explained": shares[0], "explained_held_out": shares[1],
                "threshold": np.sort(sizes[CHOSEN])[-K], "mean_norm": np.linalg.norm(effects[CHOSEN].mean(axis=0)),
                "share_above": (sizes[~CHOSEN] > np.sort(sizes[CHOSEN])[-K]).mean(),
                "mass_top_10": sizes[~CHOSEN].max() / sizes[~CHOSEN].sum(),
            }  # fmt: skip
            for name, value in wanted.items():
                np.testing.assert_allclose(row[name], value, rtol=1e-8, err_msg=name)
            published = np.linalg.svd(off[largest])[2][0]
            np.testing.assert_allclose(abs(found.published[place] @ published), 1, atol=1e-9)
            np.testing.assert_allclose(row["published_held_out"], judged(effects, published)[1], rtol=1e-8)


def test_a_single_head_is_the_best_of_those_that_choose(tiny):
    sweep, codes = held(tiny)
    (found, _) = found_layers(sweep, codes, CHOSEN, K)
    maps = np.asarray(maps_of(sweep.model.transformer, 0, found.components.neuron))
    for place, row in enumerate(found.table.to_pylist()):
        effects = codes.layers[0][:, place] @ maps[place]
        shares = np.array([judged(effects, m / np.linalg.norm(m)) for m in maps[place]])
        best = shares[:, 0].argmax()
        np.testing.assert_allclose(row["single_head"], shares[best, 1], rtol=1e-9)
        assert (row["single_head_layer"], row["single_head_head"]) == (1 + best // 4, best % 4)
        np.testing.assert_allclose(row["random_direction"], 1 / np.linalg.matrix_rank(maps[place]))


def test_explicit_effects_are_the_product_of_codes_and_maps(tiny):
    sweep, codes = held(tiny)
    (_, effects) = next(explicit_effects(sweep, codes, 0))
    maps = np.asarray(maps_of(sweep.model.transformer, 0, NEURONS.of(0)))
    np.testing.assert_allclose(effects, np.einsum("pmk,mkd->pmd", codes.layers[0], maps), atol=1e-12)


def test_chunks_and_blocks_change_nothing(tiny, monkeypatch):
    sweep, codes = held(tiny)
    whole = list(found_layers(sweep, codes, CHOSEN, K))
    monkeypatch.setattr(neuron_components, "CHUNK_BYTES", 1)
    monkeypatch.setattr(neuron_components, "BLOCK_BYTES", 3000)
    for one, other in zip(whole, found_layers(sweep, codes, CHOSEN, K), strict=True):
        same_components(one, other)


def same_components(one, other):
    np.testing.assert_allclose(one.components.component, other.components.component, atol=1e-9)
    np.testing.assert_allclose(one.components.mean, other.components.mean, atol=1e-12)
    np.testing.assert_allclose(one.largest, other.largest, atol=1e-11)
    for name in one.table.column_names:
        np.testing.assert_allclose(one.table[name].to_pylist(), other.table[name].to_pylist(), atol=1e-9, err_msg=name)


def test_the_order_of_prompts_changes_no_bit_of_a_code(tiny):
    order = np.random.default_rng(0).permutation(len(PROMPTS))
    sweep, codes = held(tiny)
    other = HeldCodes.of_sweep(made(tiny, prompts=[PROMPTS[i] for i in order]))
    for layer, found in codes.layers.items():
        np.testing.assert_array_equal(found[order], other.layers[layer])
    for one, again in zip(
        found_layers(sweep, codes, CHOSEN, K), found_layers(sweep, other, CHOSEN[order], K), strict=True
    ):
        same_components(one, again)


def test_a_stopped_run_goes_on_to_the_same_bytes(tiny, tmp_path, monkeypatch, contents):
    monkeypatch.setattr(job, "UNIT_BYTES", 1)
    long = [(p * 12)[:20] for p in PROMPTS[:3]]  # another bucket
    sweep = made(tiny, prompts=[*PROMPTS, *long])
    assert sweep.plan.units > 1
    one, two = Store(tmp_path / "one", sweep.plan), Store(tmp_path / "two", sweep.plan)

    def compute(index):
        with jax.enable_x64(True):  # of a thread of its own
            return sweep.unit(index)

    assert run_sweep(one, compute).table
    assert run_sweep(two, compute, limit=1).stopped == "limit"
    assert run_sweep(two, compute).table
    assert contents(one) == contents(two)
    stored, in_memory = StoredCodes(sweep, tmp_path / "two"), HeldCodes.of_sweep(sweep)
    for layer in NEURONS.layers:
        np.testing.assert_array_equal(stored.of(layer, slice(0, 1)), in_memory.of(layer, slice(0, 1)))
    assert one.array(array_name(0)).shape[1:] == (2, 8)


def test_nothing_is_as_large_as_the_effects_of_all_neurons(monkeypatch):
    """Of GPT-2 small's layer 9 on 5,000 prompts, where the effects are 47 GB."""
    # Shapes are traced; the host's decomposition cannot be.
    monkeypatch.setattr("causeway.engine.sparse.gram_pca.eigenvectors", jnp.linalg.eigh)
    prompts, codes, width, k = 5000, 24, RunShape().d_model, 100
    m = chunk_neurons(prompts, codes, width, k, 4)
    rows = neuron_components.BLOCK_BYTES // (m * codes * 4)
    f = functools.partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    moments = neuron_components.CodeMoments(f(()), f((m, codes)), f((m, codes, codes)))
    largest = neuron_components.LargestRows(f((m, k)), f((m, k, codes)), jax.ShapeDtypeStruct((m, k), jnp.int32))
    gram, block = f((m, codes, codes)), f((rows, m, codes))
    numbers, there = jax.ShapeDtypeStruct((rows,), jnp.int32), jax.ShapeDtypeStruct((rows,), bool)
    programs = [
        (neuron_components._figures, (f((m, codes, width)), gram, moments, moments, largest)),
        (neuron_components._with_rows, (largest, block, numbers, f((m, codes)), gram, there)),
        (neuron_components._with_moments, (moments, block, there)),
        (neuron_components._norms, (block, f((m, codes)), gram)),
    ]
    sizes = [value.aval.size for program, args in programs for value in values_of(jax.make_jaxpr(program)(*args).jaxpr)]
    assert 4 * max(sizes) < neuron_components.CHUNK_BYTES
    assert m * prompts * codes * 4 < neuron_components.CHUNK_BYTES


def values_of(jaxpr):
    """Every array that a program makes, programs inside it included."""
    for equation in jaxpr.eqns:
        yield from equation.outvars
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from values_of(inner)


def test_neurons_whose_effect_does_not_vary_have_no_component(tiny):
    sweep, codes = held(tiny)
    maps = maps_of(sweep.model.transformer, 0, NEURONS.of(0))
    constant = codes.layers[0].copy()
    constant[:, 1] = constant[0, 1]
    found = chunk_found(maps, constant, CHOSEN, K)
    assert found.columns["varies"].tolist() == [True, False]
    assert not found.component[1].any()
    assert found.mean[1].any()
    assert np.isnan([found.columns[name][1] for name in ("explained", "explained_held_out", "gini")]).all()


def test_prompts_choose_by_their_split_or_a_share_of_their_groups(tiny):
    own = [PromptRecord("a", split="train"), PromptRecord("b", split="test"), PromptRecord("c", split="train")]
    assert chosen_prompts(own, 0.0, 0)[0].tolist() == [True, False, True]
    groups = [PromptRecord(f"{n}", group=f"{n // 2}", split="train") for n in range(20)]
    for share, count in ((0.0, 16), (0.5, 10)):
        chosen, _ = chosen_prompts(groups, share, 0)
        assert chosen.sum() == count
        assert (chosen[::2] == chosen[1::2]).all()


def test_the_call_gives_a_table_and_components(tiny):
    model = held(tiny)[0].model
    found = components(model, PROMPTS, layer=-2, largest=4, held_out=0.25)
    assert set(found.layers) == {1}
    assert found.layers[1].components.component.shape == (24, 16)
    assert (found.table["varies"].to_pylist(), found.chosen.sum()) == ([True] * 24, 9)
    assert (np.diff(found.table["variance"].to_numpy()) <= 0).all()


@pytest.mark.parametrize(
    ("message", "given"),
    [
        ("largest: got 20 largest effects of each neuron from 10 prompts", {"layer": 0, "largest": 20}),
        ("neurons: got 2:0; no attention is above layer 2", {"layer": 2, "largest": 2}),
        ("layer, neurons: needs one of them", {"largest": 2}),
        ("layer: got 7; needs a whole number from -3 to 2", {"layer": 7, "largest": 2}),
        ("the model has layers 0..2 of 24 neurons", {"neurons": Neurons(np.array([0]), np.array([99])), "largest": 2}),
        ("is outside a prompt of", {"layer": 0, "position": "-99", "largest": 2}),
        ("held_out: got 1.5", {"layer": 0, "held_out": 1.5}),
        ("prompts: got 'abc'", {"layer": 0, "prompts": "abc"}),
    ],
)
def test_what_cannot_be_done_is_refused(tiny, refuses, message, given):
    given = {"prompts": PROMPTS, **given}
    with refuses(message):
        components(held(tiny)[0].model, given.pop("prompts"), **given)


@pytest.mark.slow
def test_activations_that_are_no_numbers_are_refused(tiny):
    sweep = made(tiny)
    down = sweep.model.transformer.blocks.mlp.down
    down[...] = down[...].at[1, 3].set(jnp.nan)
    with pytest.raises(NotFiniteError, match=r"prompt \d+: layer 1 mlp_out is not finite"):
        dataclasses.replace(sweep).unit(0)

"""What a mesh may be, and which axis of an array lies along which of its axes."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, PartitionSpec

from causeway.engine.devices import local_parallel, parallel_of
from causeway.engine.mesh import RULES, lies_apart, make_mesh, mesh_sizes, split


@pytest.mark.parametrize(
    ("text", "sizes"),
    [("data:2,model:2", (2, 2)), ("model:4", (1, 4)), ("data:3", (3, 1)), ("model:2, data:1", (1, 2))],
)
def test_a_mesh_is_written_by_its_axes(text, sizes):
    assert mesh_sizes(text) == sizes


@pytest.mark.parametrize("text", ["", "2", "rows:2", "data:2,data:2", "data:0", "data:2,model:-1", "data:two"])
def test_what_is_no_mesh_is_refused(text, refuses):
    with refuses(f"mesh: got {text!r}; needs axes data and model with their sizes"):
        mesh_sizes(text)


def test_more_devices_than_there_are_and_meshes_that_do_not_multiply_out_are_refused(refuses):
    with refuses("mesh: data:3,model:2 takes 6 devices; this process has 4"):
        make_mesh(3, 2)
    with refuses("mesh: model:3 does not divide 4 devices"):
        local_parallel(4, model=3)
    with refuses("parallel: got pmap with model:2; pmap splits no weights, use shard_map"):
        local_parallel(4, "pmap", 2)


def test_a_mesh_of_some_devices_of_several_processes_is_refused(refuses, monkeypatch):
    own = jax.local_devices()
    others = [types.SimpleNamespace(process_index=1, id=device.id + 100) for device in own]
    monkeypatch.setattr(jax, "devices", lambda: [*others, *own])
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert not lies_apart(make_mesh(2, 2))
    with refuses("mesh: data:3,model:2 takes 6 devices; this process has 4 of the 8 of all; take its own or all"):
        make_mesh(3, 2)


def test_every_logical_axis_is_split_along_the_axis_that_its_rule_names():
    mesh = make_mesh(2, 2)
    for logical, axis in RULES.items():
        assert split(mesh, (3, 4), 1, logical, "x").spec == PartitionSpec(None, axis)
    assert split(mesh, (3, 4), None, "heads", "x").spec == PartitionSpec()
    assert split(mesh, (3, 7), 1, "vocabulary", "x").spec == PartitionSpec()  # as well whole


def test_sizes_that_would_divide_are_named(refuses):
    with refuses("mesh: model:4 does not divide the 6 heads of attention.output; sizes that do: 1, 2, 3, 6"):
        split(make_mesh(1, 4), (6, 8), 0, "heads", "attention.output")


def test_rows_go_where_arrays_lie(refuses):
    mesh = make_mesh(2, 2)
    whole, parts = jnp.zeros(4), jax.device_put(jnp.zeros(4), split(mesh, (4,), 0, "features", "x"))
    assert parallel_of(whole, None) == local_parallel(1)
    assert parallel_of(whole, parts) == local_parallel(4, model=2)
    assert parallel_of(jax.device_put(whole, split(make_mesh(2), (4,), None, "heads", "x"))) == local_parallel(2)
    other = jax.device_put(whole, split(make_mesh(4), (4,), None, "heads", "x"))
    with refuses("placement: the model and its dictionaries lie on different meshes; place both on one"):
        parallel_of(other, parts)


def test_what_is_split_along_model_stays_so_and_a_program_runs_along_both_axes():
    parallel = local_parallel(4, model=2)
    weight = np.arange(24, dtype=np.float32).reshape(4, 6)
    placed = parallel.replicate(jax.device_put(weight, split(parallel.mesh, (4, 6), 1, "neurons", "x")))
    assert placed.sharding.spec == PartitionSpec(None, "model")
    assert parallel.replicate(weight).sharding.is_fully_replicated
    rows = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    out = parallel.program(_product)(placed, parallel.split(rows))
    np.testing.assert_allclose(out, np.tanh(rows @ weight).sum(axis=-1), rtol=1e-6)
    elsewhere = Mesh(np.array(jax.devices()).reshape(1, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    moved = jax.device_put(np.zeros((4, 8)), split(elsewhere, (4, 8), 1, "neurons", "x"))
    assert parallel.replicate(moved).sharding.is_fully_replicated


def _product(weight, own):
    return jnp.tanh(own @ weight).sum(axis=-1)

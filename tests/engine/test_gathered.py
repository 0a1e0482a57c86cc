"""Arrays of one process are put and read as jax does it; those of several in `tests/drivers/test_processes.py`."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from causeway.engine import gathered
from causeway.engine.mesh import DATA, make_mesh


def test_arrays_of_one_process_are_read_where_they_lie():
    sharding = NamedSharding(make_mesh(2, 2), PartitionSpec(DATA))
    tree = {"rows": gathered.put(np.arange(4.0), sharding), "text": "as it is"}
    assert tree["rows"].sharding == sharding
    assert gathered.gathered(tree)["rows"] is tree["rows"]
    assert gathered.gathered(tree)["text"] == "as it is"
    np.testing.assert_array_equal(gathered.to_host(tree["rows"]), np.arange(4))


def test_what_all_processes_have_is_put_shard_by_shard_as_jax_puts_it():
    """As on a mesh of several processes, of whose devices each process fills its own."""
    sharding = NamedSharding(make_mesh(2, 2), PartitionSpec(DATA))
    for given in (np.arange(4.0), np.arange(4), jnp.arange(4.0), np.int32(3)):
        where = sharding if np.ndim(given) else NamedSharding(sharding.mesh, PartitionSpec())
        expected, found = jax.device_put(given, where), gathered._put(given, where)
        assert (found.dtype, found.sharding) == (expected.dtype, expected.sharding)
        np.testing.assert_array_equal(found, expected)

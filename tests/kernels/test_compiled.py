"""Every Pallas kernel compiles for a Hopper card at its real sizes, where XLA's compiler for GPUs is installed."""

import importlib.util
import os
import subprocess
import sys

import pytest

PROGRAM = """
from functools import partial
import jax
from jax.experimental import topologies
from jax.sharding import NamedSharding, PartitionSpec
from causeway.engine.bench.compile.cards import CARDS
from causeway.kernels.shapes import CASES

topology = topologies.get_topology_desc(platform="cuda", target_config=CARDS["h200"].target, topology="1x1x1")
whole = NamedSharding(topologies.make_mesh(topology, (1,), ("rows",)), PartitionSpec())
for sizes in CASES.values():
    for case in sizes.values():
        placed = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=whole), case.arguments)
        compiled = jax.jit(partial(case.operation, implementation="pallas")).lower(*placed).compile()
        assert "xla.gpu.triton" in compiled.as_text()
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax_plugins") is None, reason="needs the extra cuda")
def test_kernels_compile_for_a_card_that_is_not_there():
    settings = {
        "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",
        "CUDA_VISIBLE_DEVICES": "-1",
        "XLA_FLAGS": "--xla_gpu_autotune_level=0",
    }
    settings |= {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=os.environ | settings, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]

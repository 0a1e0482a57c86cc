"""The pathway stage is of the documents' size, and its programs are those that run."""

import jax
import numpy as np
import pytest

from causeway.engine.bench.compile.pathway_stage import parts, spread
from causeway.engine.bench.compile.workload import EXACT


def test_there_are_as_many_replays_as_the_documents_have():
    layers = tuple(range(1, 32))
    counts, blocks = spread(layers)
    assert counts.sum() == pytest.approx(38750)
    assert counts.argmax() == 0
    assert blocks.min() == 2
    runs = [np.mean([target - source + 1 for source in layers if source < target]) for target in layers[1:]]
    assert blocks @ counts / counts.sum() == pytest.approx(np.mean(runs))


def test_its_programs_are_well_formed_and_calls_count_layers():
    found = {part.name: part for part in parts(4, EXACT)}
    for part in found.values():
        jax.eval_shape(part.function, *part.arguments)
    assert found["passes"].calls == 3
    assert found["encoding"].calls == 2 * 3
    # Targets of layers 2 and 3, 28 or 22 at a time on either half; those of layer 2 read layer 1 alone.
    assert found["gradients"].calls == 8
    assert found["gradients"].trips == 0.5
    assert 0 < found["replays"].taken < 1

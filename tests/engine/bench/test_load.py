import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.bench import load
from causeway.engine.bench.load import STEPS, figures, measure_step


@pytest.mark.parametrize("step", STEPS)
def test_every_step_says_its_rate(tmp_path, monkeypatch, step):
    monkeypatch.setattr(load, "PAUSE_SECONDS", 0)
    file = tmp_path / "values"
    file.write_bytes(bytes(1 << 20))
    loads = []

    def loader():
        loads.append(1)
        return jnp.asarray(np.fromfile(file, np.float32))

    found = measure_step(step, loader, [file], 1 << 20)
    assert found["rate"] > 0
    assert found["cpu_rate"] > 0
    assert ("peak_over_resident" in found) == (step == "load") == bool(loads)


def test_figures_are_medians_of_rates_and_the_worst_of_memory():
    def runs(*rates):
        return [{"rate": rate * 1e9, "cpu_rate": 2e9, "peak_over_resident": rate} for rate in rates]

    found = figures({"load": runs(1.0, 2.0, 9.0), "read": runs(4.0, 1.0, 5.0), "reuse": runs(8.0, 8.0, 8.0)})
    assert found == {
        "gb": 2.0, "read_gb": 4.0, "reuse_gb": 8.0, "read_fraction": 0.5, "reuse_fraction": 0.25, "cpu_fraction": 1.0,
        "peak_over_resident": 9.0,
    }  # fmt: skip

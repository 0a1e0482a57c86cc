import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.bench import load
from causeway.engine.bench.load import measure_memory, measure_rates


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "values"
    path.write_bytes(bytes(1 << 20))
    return path


def test_the_first_turn_is_left_out_and_medians_of_the_others_are_compared(file, monkeypatch):
    loads, reads = iter([100.0, 1.0, 2.0, 9.0]), iter([0.1, 1.0, 4.0, 5.0])

    def seconds(work, given_back):
        assert given_back == 12
        if isinstance(work(), list):
            wall = next(reads)
        elif next(kinds) == "load":
            wall = next(loads)
        else:
            wall = 0.5
        return wall, wall / 2

    kinds = iter(["load", "reuse"] * 4)
    monkeypatch.setattr(load, "_seconds", seconds)
    found = measure_rates(lambda: jnp.zeros(3), [file], 3)
    gb = (1 << 20) / 1e9
    assert found == {
        "gb": gb / 2, "seconds": 2.0, "cpu_seconds": 1.0,
        "read_gb": gb / 4, "read_fraction": 2.0, "read_cpu_fraction": 2.0,
        "reuse_gb": gb / 0.5, "reuse_fraction": 0.25, "reuse_cpu_fraction": 0.25,
    }  # fmt: skip


def test_more_baselines(file):
    done = []
    found = measure_rates(lambda: jnp.zeros(3), [file], 2, {"other": lambda: done.append(sum(range(100_000)))})
    assert len(done) == 3
    assert found["other_gb"] == pytest.approx((1 << 20) / 1e9 / (found["other_fraction"] * found["seconds"]))
    assert found["other_cpu_fraction"] > 0


def test_figures_of_a_real_load(file):
    def loader():
        return jnp.asarray(np.fromfile(file, np.float32))

    assert all(value > 0 for value in measure_rates(loader, [file], 1).values())
    assert measure_memory(loader, [file], 1 << 20)["first_gb"] > 0


def test_a_loader_that_holds_everything_twice_shows(file, monkeypatch):
    peaks = iter([100, 100 + 4 * (1 << 20)])
    monkeypatch.setattr(load, "_resident", lambda: next(peaks))
    monkeypatch.setattr(load, "_peak", lambda: next(peaks))
    found = measure_memory(lambda: jnp.zeros(1 << 18, jnp.float32), [file], 1 << 20)
    assert found["peak_over_resident"] == 3.0
    assert found["peak_fraction"] == 4.0
    assert found["result_gb"] == (1 << 20) / 1e9

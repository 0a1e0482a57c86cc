"""The benchmark of kernels takes every operation at a laptop's size, in plain XLA, where there is no GPU."""

import pytest

from causeway.engine.bench import kernels
from causeway.kernels.shapes import CASES


def test_figures_are_of_every_operation(monkeypatch):
    ran = []
    rates = {"gemm_gflops": 50.0, "gemm_gflops_large": 100.0, "copy_gb_per_second": 10.0}
    monkeypatch.setattr(kernels, "measure_rates", lambda: rates)
    monkeypatch.setattr(
        kernels, "_seconds", lambda case, implementation, repeats: ran.append((case, implementation)) or 2.0
    )
    figures = kernels.measure_kernels(3)
    assert ran == [(CASES[name]["d512"], "xla") for name in CASES]
    encode = CASES["encode_top_k"]["d512"]
    assert figures["encode_top_k_d512.xla_gemm_fraction"] == pytest.approx(encode.operations / 100e9 / 2)
    assert figures["encode_top_k_d512.xla_copy_fraction"] == pytest.approx(encode.bytes / 10e9 / 2)
    assert not [name for name in figures if "pallas" in name]


def test_time_is_of_one_call():
    assert 0 < kernels._seconds(CASES["sparse_decode"]["d512"], "xla", 1) < 1

"""What got better and what got worse follows from the figures' names."""

import pytest

from causeway.engine.bench.comparison import compare, direction

WAYS = {
    "trials_per_cpu_second_selected": 1, "patch_sweep.gemm_fraction": 1, "speedup_over_materialising": 1,
    "gflops_selected": 1, "load.gb_model": 1, "read_gb_dictionary": 1, "decode_8b.tokens_per_second": 1,
    "second_order_4b.prompts_per_second": 1, "intervene_4b.interventions_per_second": 1,
    "cpu_seconds": -1, "run.run_over_batch": -1, "open_batch_passes": -1, "peak_rss_gb": -1, "peak_fraction_model": -1,
    "store_ms_per_trial": -1, "compile_seconds_selected": -1, "compilations": -1, "decode_8b.trip_gb": -1,
    "decode_8b.copied_gb shared.transformer.up": -1, "decode_8b.trip_ms": -1, "exact_8b.memory_fraction": -1,
    "gemm_gflops_selected": 0, "rates.copy_gb_per_second": 0, "needed_gb": 0, "needed_ms": 0, "prompts": 0, "layers": 0,
    "peers.hf_trials_per_cpu_second_batched": 0, "torch_batch_cpu_seconds": 0, "active_features": 0,
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_which_way_is_better(name):
    assert direction(name) == WAYS[name]


def test_changes_within_the_share_are_none():
    old = {"a_per_second": 100.0, "cpu_seconds": 10.0, "prompts": 3.0}
    verdicts = {one.name: one.verdict for one in compare(old, {k: 1.05 * v for k, v in old.items()}, 0.1)}
    assert verdicts == {"a_per_second": "same", "cpu_seconds": "same", "prompts": ""}
    verdicts = {one.name: one.verdict for one in compare(old, {k: 1.2 * v for k, v in old.items()}, 0.1)}
    assert verdicts == {"a_per_second": "better", "cpu_seconds": "worse", "prompts": ""}


def test_what_is_new_or_gone():
    old = {"heads.cpu_seconds": 1.0, "run.failed": 1.0, "exact_8b.copied_gb model.up": 0.2}
    new = {"run.cpu_seconds": 2.0, "heads.failed": 1.0, "exact_8b.copied_gb model.down": 0.2}
    found = {one.name: (one.old, one.new, one.ratio, one.verdict) for one in compare(old, new, 0.1)}
    assert found == {
        "heads.cpu_seconds": (1.0, None, None, "worse"), "run.failed": (1.0, None, None, "better"),
        "run.cpu_seconds": (None, 2.0, None, ""), "heads.failed": (None, 1.0, None, "worse"),
        "exact_8b.copied_gb model.up": (0.2, None, None, "better"),
        "exact_8b.copied_gb model.down": (None, 0.2, None, "worse"),
    }  # fmt: skip

"""`causeway bench` prints one JSON object, or a table, and refuses benchmarks it has not."""

import importlib.util
import json

import pytest

from tests.ports.models.gguf_writer import write_both


@pytest.mark.slow
def test_one_json_object(drive):
    (run,) = drive(
        "bench", ("patch_sweep", "--batch_rows=2", "--repeats=1", "--bench_layers=1", "--threads=0", "--json")
    )
    assert run["status"] == 0, run["err"]
    result = json.loads(run["out"])
    assert result.keys() == {"benchmark", "device", "versions", "figures"}
    assert result["benchmark"] == "patch_sweep"
    assert "jax" in result["versions"]
    assert all(isinstance(value, int | float) for value in result["figures"].values())
    assert result["figures"]["trials_per_cpu_second_all_features"] > 0


@pytest.mark.slow
def test_loading_needs_little_memory_beside_its_result(drive):
    """Speed depends on the machine and its neighbours; memory does not."""
    (run,) = drive("bench", ("load", "--load_layers=1", "--repeats=1", "--json"))
    assert run["status"] == 0, run["err"]
    figures = json.loads(run["out"])["figures"]
    assert 0 < figures["peak_over_resident"] <= 1.3
    assert figures["read_fraction"] > 0
    assert figures["read_fraction"] == min(figures["read_fraction_model"], figures["read_fraction_dictionary"])


@pytest.mark.slow
def test_heads_of_the_model_named(drive):
    few = ("--num_prompts=2", "--tokens=5", "--repeats=1", "--threads=0", "--json")
    run, other = drive("bench", ("heads", "--all_tokens", *few), ("heads", "--model=nowhere", *few))
    assert run["status"] == 0, run["err"]
    figures = json.loads(run["out"])["figures"]
    assert figures["rows"] == 2 * 16
    assert 0 < figures["gemm_fraction"] < 1
    assert figures.keys() >= {"last_token_cpu_seconds", "all_tokens_cpu_seconds", "run_cpu_seconds"}
    assert other["status"] == 2
    assert "--model" in other["err"]


@pytest.mark.slow
def test_loading_a_gguf_file_is_measured_against_the_library(drive, tmp_path):
    write_both("llama", tmp_path / "folder", tmp_path / "m.gguf", types={"blk.0.ffn_up.weight": "Q4_0"})
    file, folder, none = drive(
        "bench",
        ("load", f"--model={tmp_path / 'm.gguf'}", "--repeats=1", "--json"),
        ("load", f"--model={tmp_path / 'folder'}", "--repeats=1", "--json"),
        ("load", f"--model={tmp_path / 'none.gguf'}"),
    )
    of_file, of_folder = (json.loads(run["out"])["figures"] for run in (file, folder))
    for name in ("weights", "dequantise", "dequantise_reuse"):
        assert of_file[f"{name}_cpu_fraction"] > 0
        assert f"{name}_cpu_fraction" not in of_folder
    assert of_file["result_gb"] == of_folder["result_gb"] > 0
    assert none["status"] == 2
    assert none["err"].count("\n") == 1
    assert "none.gguf" in none["err"]


def test_benchmarks_are_listed_and_others_refused(drive):
    none, unknown, two, rows, layers = drive(
        "bench", (), ("patch_swepe",), ("patch_sweep", "exact"), ("patch_sweep", "--batch_rows=0"),
        ("load", "--model=m.gguf", "--load_layers=3"),
    )  # fmt: skip
    assert none["status"] == 0
    for name in (
        "patch_sweep",
        "load",
        "attribute",
        "intervene",
        "run",
        "heads",
        "second_order",
        "pathways",
        "compile",
    ):
        assert f"\n    {name} " in none["out"]
    for run, got in ((unknown, "got patch_swepe (did you mean patch_sweep?)"), (two, "got patch_sweep exact;")):
        assert run["status"] == 2
        assert run["err"].count("\n") == 1
        assert got in run["err"]
    assert rows["status"] == 2
    assert "--batch_rows: got '0'; needs a positive whole number" in rows["err"]
    assert layers["status"] == 2
    assert "--load_layers: without effect with --model; leave it out" in layers["err"]


@pytest.mark.slow
def test_all_is_one_result_and_results_are_compared(drive, tmp_path):
    """One that fails leaves a figure, and the command ends as it says."""
    (run,) = drive("bench", ("all", "--programs=rates", "--json"))
    assert run["status"] == 0, run["err"]
    result = json.loads(run["out"])
    assert result["benchmark"] == "all"
    assert result["figures"]["rates.gemm_gflops"] > 0
    assert result["figures"]["rates.copy_gb_per_second"] > 0
    old, new, other = tmp_path / "old.json", tmp_path / "new.json", tmp_path / "other.json"
    old.write_text(json.dumps(result | {"figures": {"run.cpu_seconds": 1.0, "run.prompts": 64}}))
    new.write_text(json.dumps(result | {"figures": {"run.cpu_seconds": 1.3, "run.prompts": 64}, "device": "H200"}))
    other.write_text(json.dumps({"figures": {"a": 1}}))
    same, worse, little, one, none, unknown = drive(
        "bench", ("compare", str(old), str(old)), ("compare", str(old), str(new)),
        ("compare", str(old), str(new), "--worse_by=0.5"), ("compare", str(old)), ("compare", str(old), str(other)),
        ("all", "--programs=compile"),
    )  # fmt: skip
    assert [run["status"] for run in (same, worse, little, one, none, unknown)] == [0, 1, 0, 2, 2, 2]
    assert "1 of 2 figures worse by more than 10%" in worse["out"]
    assert "device differ: cpu, 1 threads | H200" in worse["out"]
    assert "1.300 worse" in worse["out"]
    assert "got 1 files; needs two" in one["err"]
    assert "other.json is no result of a benchmark" in none["err"]
    assert "--programs: got 'compile'; needs some of rates" in unknown["err"]


def test_compiling_for_a_card_says_what_it_needs(drive, tmp_path):
    """Here the compiler for GPUs is not installed, which is said before anything is built."""
    (tmp_path / "card.json").write_text('{"name": "mine"}')
    unknown, file, here = drive(
        "bench", ("compile", "--target=h100"), ("compile", f"--target={tmp_path / 'card.json'}"),
        ("compile", "--target=a100", "--programs=exact_8b"),
    )  # fmt: skip
    for run, got in (
        (unknown, "--target: got 'h100', no card and no file; needs h200, a100, rtx4090, a40, or describe another"),
        (file, "--target: got 'name'; needs all of name, cores"),
    ):
        assert run["status"] == 2
        assert run["err"].count("\n") == 1
        assert got in run["err"]
    if importlib.util.find_spec("jax_plugins") is None:
        assert here["status"] == 2
        assert "pip install 'causeway[cuda]'" in here["err"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax_plugins") is None, reason="needs the extra cuda")
def test_a_program_compiled_for_a_card(drive):
    (run,) = drive("bench", ("compile", "--target=a100", "--programs=exact_8b", "--compile_layers=2", "--json"))
    assert run["status"] == 0, run["err"]
    result = json.loads(run["out"])
    figures = result["figures"]
    assert result["device"].startswith("NVIDIA A100, compiled for and not run")
    # What the mathematics needs is the least that is moved and computed.
    assert figures["exact_8b.trip_gb"] > figures["exact_8b.needed_gb"] > 0.4
    assert figures["exact_8b.trip_tflop"] == pytest.approx(figures["exact_8b.needed_tflop"], rel=0.01)
    assert figures["exact_8b.trip_ms"] >= figures["exact_8b.needed_ms"] > 1

"""A driver keeps what it compiles, and a second start loads it; a folder that others can write is told and not used."""

import json

import pytest


@pytest.fixture
def evaluate(small, causeway, tmp_path):
    """`evaluate(folder)` writes there, with caches in tmp_path."""
    line = {"prompt": "you won $5. choice:", "correct_answer": " stop", "incorrect_answer": " bet"}
    (tmp_path / "prompts.jsonl").write_text(json.dumps(line | {"behaviour": "b", "split": "train"}))

    def evaluate(out):
        return causeway(
            "evaluate", f"--model={small / 'model'}", "--prompts=prompts.jsonl", f"--out={out}", place=tmp_path,
            XDG_CACHE_HOME=str(tmp_path / "caches"), JAX_COMPILATION_CACHE_DIR="",
        )  # fmt: skip

    return evaluate


@pytest.mark.slow
def test_a_second_start_compiles_nothing(evaluate, tmp_path):
    kept = []
    for out in ("first", "second"):
        done = evaluate(out)
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stderr
        kept.append({path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("caches/causeway/*/*-cache")})
    assert kept[0]
    assert kept[0] == kept[1]
    metrics = [(tmp_path / out / "baseline_metrics_train.json").read_bytes() for out in ("first", "second")]
    assert metrics[0] == metrics[1]


def test_a_folder_that_others_can_write_is_told_in_one_line(evaluate, tmp_path):
    (tmp_path / "caches" / "causeway").mkdir(parents=True)
    (tmp_path / "caches" / "causeway").chmod(0o777)
    done = evaluate("out")
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "warning" in line]
    assert len(told) == 1
    assert told[0].startswith("causeway evaluate: warning: compiled programs are not kept: ")
    assert not list(tmp_path.rglob("*-cache"))

"""Two sweeps started into one workdir within 0 to 80 ms: one wins, the other is refused, and nothing is mixed.

Both processes are started once and told of each try: starting them anew would spread the starts over a second.
"""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Runs a sweep of its own seed into each workdir that comes, and answers how it ended.
PROGRAM = """
import io, contextlib, sys, types
from pathlib import Path
import pyarrow as pa
from causeway.engine.analyses.patch_sweep import run
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.sweep.layout import Layout, UnitResult
from causeway.engine.sweep.plan import Plan
from causeway.engine.tokenized_prompt import TokenizedPrompt

seed = int(sys.argv[1])
schema = pa.schema([("value", pa.int64())])
plan = Plan("patch_sweep", {"seed": seed}, {}, (2,) * 4, Layout(schema))
prompt = TokenizedPrompt(PromptRecord("", group="a"), (seed,), number=seed)
sweep = types.SimpleNamespace(plan=plan, prompts=(prompt,))
run.PatchJob.unit = lambda self, index: UnitResult({"value": [seed, seed]})
print("ready", flush=True)
for line in sys.stdin:
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            run.run(sweep, Path(line.strip()))
        print("done", flush=True)
    except ValueError as error:
        print("refused:", error, flush=True)
"""


def values(workdir: Path):
    import pyarrow.parquet as pq

    return set(pq.read_table(workdir / "trials.parquet")["value"].to_pylist())


@pytest.mark.parametrize("tries", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_two_plans_started_together_never_mix(tmp_path, tries):
    draw, done = random.Random(0), []
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    processes = [subprocess.Popen([sys.executable, "-P", "-c", PROGRAM, str(n)], **pipes) for n in (1, 2)]
    try:
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
        for number in range(tries):
            workdir, order = tmp_path / str(number), draw.sample((0, 1), 2)
            processes[order[0]].stdin.write(f"{workdir}\n")
            time.sleep(draw.uniform(0, 0.08))
            processes[order[1]].stdin.write(f"{workdir}\n")
            ends = [process.stdout.readline().strip() for process in processes]
            (winner,) = [n for n, end in enumerate(ends, start=1) if end == "done"]
            (line,) = [end for end in ends if end != "done"]
            assert "in use by" in line or "of another plan: seed:" in line
            assert values(workdir) == {winner}
            assert json.loads((workdir / "plan.json").read_text())["config"] == {"seed": winner}
            assert json.loads((workdir / "prompts.jsonl").read_text())["id"] == winner
            done.append(line)
    finally:
        for process in processes:
            process.communicate()
    assert len(done) == tries

"""README and docs/ as a person meets them: the fenced blocks of a page, run in the order printed, in one folder.

bash, python   run as they are printed; the Python blocks of a page share one session
output         what the block above prints: each line in turn, decimals to about their last digits
json           one JSON value a line
text           not run: needs what is not in the package; commands in it are still held to the drivers' flags
"""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
KINDS = ("bash", "python", "output", "json", "text")
# Run as printed by tests of their own.
ELSEWHERE = {"causeway demo": "tests/drivers/test_demo.py"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Runs a page's blocks and prints what each printed, a JSON line a block; ends at the first that fails.
SESSION = """
import contextlib, io, json, subprocess, sys, traceback
names = {"__name__": "__main__"}
for kind, code in json.loads(sys.stdin.read()):
    out, error = io.StringIO(), ""
    if kind == "bash":
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", code], capture_output=True, text=True)
        out.write(done.stdout)
        error = done.stderr if done.returncode else ""
        failed = done.returncode != 0
    else:
        try:
            with contextlib.redirect_stdout(out):
                exec(compile(code, "printed", "exec"), names)
        except BaseException:
            error = traceback.format_exc()
        failed = bool(error)
    print(json.dumps([out.getvalue(), error, failed]), flush=True)
    if failed:
        break
"""


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: its kind, its text, and the line of the page it begins at."""

    kind: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [Block(m[1], m[2], text[: m.start()].count("\n") + 1) for m in FENCE.finditer(text)]


def prose(page: str) -> str:
    """A page without its blocks."""
    return FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))


def links(text: str) -> list[str]:
    """The files that a text in Markdown links to."""
    return re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)


def run_page(page: str, folder: Path) -> list[tuple[Block, str, str]]:
    """Run a page's blocks; each with what it printed and, of one that failed, the error (the last, then)."""
    return run_blocks(
        [b for b in blocks(page) if b.kind in ("bash", "python") and b.text.strip() not in ELSEWHERE], folder
    )


def run_blocks(chosen: list[Block], folder: Path) -> list[tuple[Block, str, str]]:
    """Run bash and Python blocks in one folder, the Python ones in one session; see `run_page`."""
    command = folder / "bin" / "causeway"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m causeway.drivers.main "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(command.parent), os.environ["PATH"]])
    place = {**os.environ, "PATH": path, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    done = subprocess.run(
        [sys.executable, "-P", "-c", SESSION], input=json.dumps([(b.kind, b.text) for b in chosen]), cwd=folder,
        env=place, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    return [
        (block, out, error or "no word" if failed else "")
        for block, (out, error, failed) in zip(chosen, results, strict=False)
    ]


def shown_after(page: str, block: Block) -> str:
    """The output that the page shows below a block, "" where it shows none."""
    below = [b for b in blocks(page) if b.line > block.line][:1]
    return below[0].text if below and below[0].kind == "output" else ""


def missing(shown: str, printed: str) -> str:
    """The first line of `shown` that does not come in `printed` in its turn, "" when all do."""
    lines = iter(printed.splitlines())
    for line in filter(str.strip, shown.splitlines()):
        if not any(_says(other, line) for other in lines):
            return line
    return ""


def _says(printed: str, shown: str) -> bool:
    """Whether a printed line begins as shown: words and whole numbers equal, decimals within 0.02 or 5 %."""
    got, wanted = (re.split(r"([+-]?\d+\.\d+)", " ".join(text.split())) for text in (printed, shown))
    if len(got) < len(wanted):
        return False
    last = len(wanted) - 1
    for i, (one, other) in enumerate(zip(got, wanted, strict=False)):
        if i % 2:
            if abs(float(one) - float(other)) > max(0.02, 0.05 * abs(float(other))):
                return False
        elif not (one.startswith(other) if i == last else one == other):
            return False
    return True

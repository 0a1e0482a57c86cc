"""`causeway bench compare OLD NEW`: two results of `causeway bench ... --json`, figure by figure."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags

FLAGS = flags.FLAGS


def run_compare(words: list[str]) -> None:
    """Print the table; ends with status 1 where a figure got worse by more than --worse_by.

    Raises:
        ValueError: not two files of results, or of different benchmarks.
    """
    from causeway.engine.bench.comparison import compare

    if len(words) != 2:
        raise ValueError(f"compare: got {len(words)} files; needs two, as `causeway bench compare old.json new.json`")
    old, new = (_result(Path(word)) for word in words)
    if old["benchmark"] != new["benchmark"]:
        raise ValueError(f"compare: got {old['benchmark']} and {new['benchmark']}; needs results of one benchmark")
    found = compare(old["figures"], new["figures"], FLAGS.worse_by)
    width = max(len(one.name) for one in found)
    for name in ("device", "versions"):
        if old[name] != new[name]:
            print(f"{name} differ: {_shown(old[name])} | {_shown(new[name])}")
    for one in found:
        ratio = "" if one.ratio is None else f"{one.ratio:.3f}"
        print(f"{one.name:<{width}} {_number(one.old)} {_number(one.new)} {ratio:>8} {one.verdict}".rstrip())
    worse = sum(one.verdict == "worse" for one in found)
    print(f"{worse} of {len(found)} figures worse by more than {FLAGS.worse_by:.0%}")
    if worse:
        sys.exit(1)


def _result(path: Path) -> Mapping[str, Any]:
    """What `--json` printed.

    Raises:
        ValueError: the file holds something else.
    """
    from causeway.ports.files.config_fields import read_json

    result = read_json(path)
    figures = result.get("figures") or {}
    numbers = isinstance(figures, dict) and all(isinstance(value, int | float) for value in figures.values())
    if not figures or not numbers or not {"benchmark", "device", "versions"} <= set(result):
        raise ValueError(f"compare: {path} is no result of a benchmark; needs what `bench NAME --json` printed")
    return result


def _shown(value: Any) -> str:
    return ", ".join(f"{name} {what}" for name, what in value.items()) if isinstance(value, dict) else str(value)


def _number(value: float | None) -> str:
    return f"{'-':>12}" if value is None else f"{value:12.4g}"

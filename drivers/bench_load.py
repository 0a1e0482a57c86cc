"""The `load` benchmark: files of a published shape are written, then loaded and read by processes of their own.

`python -m causeway.drivers.bench_load WHAT KIND FOLDER NUMBER` is one such process; it prints one JSON object.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

KINDS = ("model", "dictionary")
WIDTH, FEATURES = 4096, 32768


def run_load(layers: int, turns: int) -> dict[str, float]:
    """All figures, those of the model and of the dictionary by their names; the worst of each stands for the whole."""
    from causeway.ports.models.random_files import llama_shape, write_random_dictionary, write_random_model

    out: dict[str, float] = {}
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder) / kind
            if kind == "model":
                largest = write_random_model(files, llama_shape(layers))
            else:
                largest = write_random_dictionary(files, layers, WIDTH, FEATURES)
            found = _process("memory", kind, files, largest) | _process("rates", kind, files, turns)
            out |= {f"{name}_{kind}": value for name, value in found.items()}
    out["read_fraction"] = min(out[f"read_fraction_{kind}"] for kind in KINDS)
    out["peak_over_resident"] = max(out[f"peak_over_resident_{kind}"] for kind in KINDS)
    return out


def _process(what: str, kind: str, files: Path, number: int) -> dict[str, float]:
    command = [sys.executable, "-P", "-m", "causeway.drivers.bench_load", what, kind, str(files), str(number)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"bench load: the {what} of the {kind} failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def _measure(what: str, kind: str, folder: str, number: str) -> None:
    """One measurement in this process."""
    from causeway.engine.bench.load import measure_memory, measure_rates
    from causeway.ports.dictionaries.load import load_dictionaries
    from causeway.ports.models.load import load_model

    def load() -> Any:
        if kind == "model":
            return load_model(folder, storage="bfloat16").transformer
        return load_dictionaries(folder, storage="bfloat16")

    files = sorted(Path(folder).rglob("*.safetensors"))
    measure = {"rates": measure_rates, "memory": measure_memory}[what]
    print(json.dumps(measure(load, files, int(number))))


if __name__ == "__main__":
    _measure(*sys.argv[1:])

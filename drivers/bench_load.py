"""The `load` benchmark: files of a published shape are written, then loaded and read by processes of their own.

`python -m causeway.drivers.bench_load STEP KIND FOLDER LARGEST` is one such process; it prints one JSON object.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

KINDS = ("model", "dictionary")
WIDTH, FEATURES = 4096, 32768


def run_load(layers: int, repeats: int) -> dict[str, float]:
    """All figures, those of the model and of the dictionary by their names; the worst of each stands for the whole."""
    from causeway.engine.bench.load import STEPS, figures
    from causeway.ports.random_files import llama_shape, write_random_dictionary, write_random_model

    out: dict[str, float] = {}
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder) / kind
            if kind == "model":
                largest = write_random_model(files, llama_shape(layers))
            else:
                largest = write_random_dictionary(files, layers, WIDTH, FEATURES)
            # Steps take turns, so that a slow minute of the machine falls on all of them.
            turns = []
            for turn in range(repeats):
                order = STEPS if turn % 2 else STEPS[::-1]
                turns.append({step: _process(step, kind, files, largest) for step in order})
            found = figures({step: [turn[step] for turn in turns] for step in STEPS})
            out |= {f"{name}_{kind}": value for name, value in found.items()}
    out["read_fraction"] = min(out[f"read_fraction_{kind}"] for kind in KINDS)
    out["peak_over_resident"] = max(out[f"peak_over_resident_{kind}"] for kind in KINDS)
    return out


def _process(step: str, kind: str, files: Path, largest: int) -> dict[str, float]:
    command = [sys.executable, "-P", "-m", "causeway.drivers.bench_load", step, kind, str(files), str(largest)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"bench load: the {step} step of the {kind} failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def _step(step: str, kind: str, folder: str, largest: str) -> None:
    """One step in this process."""
    from causeway.engine.bench.load import measure_step
    from causeway.ports.dictionaries import load_dictionaries
    from causeway.ports.load import load_model

    def load():
        if kind == "model":
            return load_model(folder, storage="bfloat16").transformer
        return load_dictionaries(folder, storage="bfloat16")

    files = sorted(Path(folder).rglob("*.safetensors"))
    print(json.dumps(measure_step(step, load, files, int(largest))))


if __name__ == "__main__":
    _step(*sys.argv[1:])

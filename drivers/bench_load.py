"""The `load` benchmark: files of a published shape, or those of a model, are loaded and read by processes of their own.

Of a GGUF file these are measured beside what `engine.bench.load` measures:

    weights             its tensors alone, where the header and the tokenizer were read before
    dequantise          the gguf library's own dequantising of all its tensors, all kept as loading keeps them
    dequantise_reuse    the same, each let go: no memory is touched for the first time

`python -m causeway.drivers.bench_load WHAT KIND PATH NUMBER` is one such process; it prints one JSON object.
"""

import itertools
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

WRITTEN = ("model", "dictionary")
WIDTH, FEATURES = 4096, 32768
Work = Callable[[], Any]


def run_load(layers: int, turns: int) -> dict[str, float]:
    """Of written files, those of the model and of the dictionary by their names; the worst stands for the whole."""
    from causeway.ports.models.random_files import llama_shape, write_random_dictionary, write_random_model

    out: dict[str, float] = {}
    for kind in WRITTEN:
        with tempfile.TemporaryDirectory() as folder:
            files = Path(folder) / kind
            if kind == "model":
                largest = write_random_model(files, llama_shape(layers))
            else:
                largest = write_random_dictionary(files, layers, WIDTH, FEATURES)
            found = _process("memory", kind, files, largest) | _process("rates", kind, files, turns)
            out |= {f"{name}_{kind}": value for name, value in found.items()}
    out["read_fraction"] = min(out[f"read_fraction_{kind}"] for kind in WRITTEN)
    out["peak_over_resident"] = max(out[f"peak_over_resident_{kind}"] for kind in WRITTEN)
    return out


def run_load_of(reference: str, turns: int) -> dict[str, float]:
    """Of a model that is there, in float32; of a GGUF file also against the library's dequantising."""
    from causeway.drivers.flags.flag_values import named
    from causeway.ports.models.load import model_directory, open_weights

    with named("model"):
        where = model_directory(reference)
        largest = max(4 * math.prod(tensor.shape) for tensor in open_weights(where).tensors.values())
    return _process("memory", "given", where, largest) | _process("rates", "given", where, turns)


def _process(what: str, kind: str, files: Path, number: int) -> dict[str, float]:
    command = [sys.executable, "-P", "-m", "causeway.drivers.bench_load", what, kind, str(files), str(number)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"bench load: the {what} of the {kind} failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def _measure(what: str, kind: str, path: str, number: str) -> None:
    """One measurement in this process."""
    from causeway.engine.bench.load import measure_memory, measure_rates

    with tempfile.TemporaryDirectory() as links:
        load, files = _given(Path(path), Path(links)) if kind == "given" else _written(kind, Path(path))
        if what == "memory":
            found = measure_memory(load, files, int(number))
        else:
            found = measure_rates(load, files, int(number), _gguf_works(files[0]) if files[0].suffix == ".gguf" else {})
    print(json.dumps(found))


def _written(kind: str, folder: Path) -> tuple[Work, list[Path]]:
    """How files that were written are loaded, and those files."""
    from causeway.ports.dictionaries.load import load_dictionaries
    from causeway.ports.models.load import load_model

    def load() -> Any:
        if kind == "model":
            return load_model(folder, storage="bfloat16").transformer
        return load_dictionaries(folder, storage="bfloat16")

    return load, sorted(folder.rglob("*.safetensors"))


def _given(where: Path, links: Path) -> tuple[Work, list[Path]]:
    """How a model that is there is loaded, and the files of its weights.

    The parsed header of a GGUF file is kept under the file's name. Every load gets a name of its own, so that it parses
    the header as the first one does.
    """
    from causeway.ports.models.load import load_model
    from causeway.ports.models.model_files import gguf_in

    file, names = gguf_in(where), itertools.count()

    def load() -> Any:
        if file is None:
            return load_model(where).transformer
        link = links / f"{next(names)}.gguf"
        link.symlink_to(file.resolve())
        return load_model(link).transformer

    return load, [file] if file else sorted(where.glob("model*.safetensors"))


def _gguf_works(file: Path) -> dict[str, Work]:
    """What loading a GGUF file is compared with: the library's dequantising, and its weights with the header read."""
    from causeway.engine.model.config import Numerics
    from causeway.ports.files.gguf_baseline import library_dequantising
    from causeway.ports.models.load import open_weights

    weights = open_weights(file)
    return {"weights": lambda: weights.load(Numerics()), **library_dequantising(file)}


if __name__ == "__main__":
    _measure(*sys.argv[1:])

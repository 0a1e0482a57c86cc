"""From a reference to a model to the folder or GGUF file that it is in.

package:NAME    an installed Python package with one model in it: a GGUF file, or a Hugging Face folder
FILE.gguf       that file
anything else   see `ports.files.hub`: a folder, bundled:NAME, or a repository of the Hugging Face hub
"""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from causeway.ports.files.gguf_files import SUFFIX
from causeway.ports.files.hub import resolve

PACKAGE = "package:"


def locate(reference: str | Path, patterns: Sequence[str], complete: Callable[[Path], bool]) -> Path:
    """Where a model is; arguments and errors as `resolve`."""
    if str(reference).startswith(PACKAGE):
        return _in_package(str(reference).removeprefix(PACKAGE))
    path = Path(reference).expanduser()
    if path.suffix != SUFFIX or path.is_dir():
        return resolve(str(reference), patterns, complete)
    if not path.is_file():
        raise FileNotFoundError(f"reference: no file {path}")
    return path


def _in_package(name: str) -> Path:
    """The one model of a package, which is not imported.

    Raises:
        FileNotFoundError: no such package, or no model in it.
        ValueError: several models.
    """
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(f"reference: no package {name!r} is installed here; install it, or give a folder")
    root = Path(next(iter(found.submodule_search_locations)))
    folders = {path.parent for path in root.rglob("config.json") if any(path.parent.glob("*.safetensors"))}
    models = sorted([*folders, *(path for path in root.rglob(f"*{SUFFIX}") if path.parent not in folders)])
    if not models:
        raise FileNotFoundError(f"reference: the package {name!r} holds no GGUF file and no folder of a model")
    if len(models) > 1:
        names = ", ".join(path.relative_to(root).as_posix() for path in models[:8])
        raise ValueError(f"reference: the package {name!r} holds {len(models)} models ({names}); give the path of one")
    return models[0]

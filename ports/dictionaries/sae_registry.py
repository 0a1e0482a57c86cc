"""SAELens's registry: `release/sae_id` to a place on the hub, where the sae_lens package is installed.

The package carries `pretrained_saes.yaml`: for each release its repository and how it is read, for each dictionary of
it the path in the repository and, where the published files lack them, the scale of its input and corrections to its
configuration. Only that file is read; the package is not imported (and torch with it). Of its 1.5 MB, only the lines
of the one release are parsed.
"""

import dataclasses
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from causeway.ports.files.foreign import interpreting
from causeway.ports.files.tensor_checks import listed
from causeway.ports.files.text_files import CONFIG_BYTES, read_text
from causeway.ports.files.yaml_files import parse_yaml

PACKAGE, REGISTRY = "sae_lens", "pretrained_saes.yaml"
RELEASE = re.compile(r"^(?:([\w.-]+)|\"([^\"\n]+)\"|'([^'\n]+)'):[ \t]*(?:#.*)?$", re.MULTILINE)
# Last parts of a path that name a file, not a folder.
FILES = (".pt", ".pth", ".safetensors", ".npz")


@dataclasses.dataclass(frozen=True)
class RegisteredSae:
    """One dictionary of the registry.

    Attributes:
        release, sae_id: its names there. repository: on the hub. folder: in the repository, "" for its root.
        file: the one file of the folder that is meant, "" where the folder is the dictionary's own.
        conversion: SAELens's name of the format ("sae_lens" for its own).
        norm_scaling_factor: s of `expected_average_only_in`, the factor of the input; None where there is none.
        config_overrides: entries that replace those of its cfg.json.
        card: further entries (l0, variance_explained, neuronpedia, model).
    """

    release: str
    sae_id: str
    repository: str
    folder: str
    file: str
    conversion: str
    norm_scaling_factor: float | None
    config_overrides: Mapping[str, Any]
    card: Mapping[str, Any]

    @property
    def reference(self) -> str:
        """The hub reference of the folder."""
        return f"{self.repository}/{self.folder}" if self.folder else self.repository


def look_up(reference: str) -> RegisteredSae | None:
    """The dictionary that `release/sae_id` names; None where no release has that name, or there is no registry.

    Raises:
        ValueError: the release has no such dictionary, or the registry's entry is not understood.
    """
    release, _, sae_id = reference.partition("/")
    path = registry_file()
    if path is None or not sae_id:
        return None
    entry = _release(path, release)
    if entry is None:
        return None
    saes = {sae["id"]: sae for sae in entry["saes"]}
    if sae_id not in saes:
        raise ValueError(f"reference: release {release!r} of {REGISTRY} has no {sae_id!r}; it has {listed(list(saes))}")
    return _registered(path, release, entry, saes[sae_id])


def registry_file() -> Path | None:
    """The registry of the installed package, found without importing it; None where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec is not None else None
    paths = [Path(folder) / REGISTRY for folder in folders or ()]
    return next((path for path in paths if path.is_file()), None)


def _release(path: Path, release: str) -> dict[str, Any] | None:
    """The entry of one release, parsed alone."""
    content = read_text(path, CONFIG_BYTES)
    heads = list(RELEASE.finditer(content))
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        if next(filter(None, head.groups())) != release:
            continue
        lines = content[head.start() : following.start() if following else len(content)]
        with interpreting(f"{path} release {release!r}", "entry", f"reinstall {PACKAGE}"):
            entry = parse_yaml(lines, f"{path} release {release!r}")[release]
            if isinstance(entry["repo_id"], str) and all(isinstance(sae["id"], str) for sae in entry["saes"]):
                return entry
        raise ValueError(f"{path}: release {release!r} lacks a repo_id or an id; reinstall {PACKAGE}")
    return None


def _registered(path: Path, release: str, entry: Mapping[str, Any], sae: Mapping[str, Any]) -> RegisteredSae:
    place = PurePosixPath(str(sae.get("path") or ""))
    if place.is_absolute() or ".." in place.parts:
        raise ValueError(
            f"{path}: the path {str(place)!r} of {release}/{sae['id']} leaves its repository; not followed"
        )
    single = place.suffix in FILES
    folder = str(place.parent if single else place)
    factor = sae.get("norm_scaling_factor")
    card = {name: sae[name] for name in ("l0", "variance_explained", "neuronpedia") if sae.get(name) is not None}
    return RegisteredSae(
        release=release,
        sae_id=sae["id"],
        repository=entry["repo_id"],
        folder="" if folder == "." else folder,
        file=place.name if single else "",
        conversion=str(entry.get("conversion_func") or PACKAGE),
        norm_scaling_factor=None if factor is None else float(factor),
        config_overrides={**(entry.get("config_overrides") or {}), **(sae.get("config_overrides") or {})},
        card=card | ({"model": entry["model"]} if entry.get("model") else {}),
    )

"""From a reference to a folder on this machine.

    bundled:NAME[/sub]                  ships inside the package (ports/bundled/NAME), or a folder of it
    a path                              a folder that exists
    org/name[/sub][@rev]                a repository of the Hugging Face hub, or a folder of it
    org/name:sub[@rev]                  the same, as Llamascopium writes it
    hf://org/name[/sub][?revision=rev]  the same, as circuit-tracer writes it

A folder or revision with `.` or `..` in it is refused, so that no reference reaches outside the cached copy.

A hub reference is looked up in the local cache first, so that a run needs no network once its files are there and a
branch that moved does not change a study half way; only when files are lacking is the hub asked, and only for files
that match the patterns asked for (dictionary repositories hold thousands).
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path

BUNDLED = Path(__file__).resolve().parents[1] / "bundled"
PART = r"[\w.+=-]+"
HUB_REFERENCE = re.compile(
    rf"(?:hf://)?({PART}/{PART})((?:(?:/|//|:){PART}(?:/{PART})*)?)(?:(?:@|\?revision=)({PART}(?:/{PART})*))?"
)


@dataclasses.dataclass(frozen=True)
class HubReference:
    """A hub repository, a folder inside it ("" for the root) and a revision (None for the default branch)."""

    repository: str
    folder: str
    revision: str | None

    def command(self) -> str:
        """The shell command that fetches it."""
        folder = f" --include '{self.folder}/*'" if self.folder else ""
        revision = f" --revision {self.revision}" if self.revision else ""
        return f"hf download {self.repository}{folder}{revision}"


def parse_hub_reference(reference: str) -> HubReference:
    """Read a reference to the hub in any of its spellings.

    Raises:
        ValueError: the reference has another form, or leaves the repository.
    """
    match = HUB_REFERENCE.fullmatch(reference)
    if match is None or {".", ".."} & set(re.split("[/:@=]", reference)):
        raise ValueError(
            f"reference: {reference!r} is not a folder here and not a hub id; give a directory, 'bundled:NAME', or "
            "'org/name' with an optional '/folder' or ':folder' and '@revision'"
        )
    return HubReference(match[1], match[2].strip("/:"), match[3])


def resolve(reference: str, patterns: Sequence[str], complete: Callable[[Path], bool]) -> Path:
    """The folder that a reference names, with the files wanted in it.

    Args:
        reference: see the module's docstring.
        patterns: glob patterns of the files wanted, relative to the folder; what is fetched from the hub.
        complete: whether a cached folder holds everything wanted.

    Raises:
        FileNotFoundError: nothing there, or not in the cache and not to be fetched.
        ValueError: the reference has no known form.
    """
    if reference.startswith("bundled:"):
        return _bundled(reference.removeprefix("bundled:"))
    path = Path(reference).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise ValueError(f"reference: {reference!r} is a file; give the directory it is in")
    return _hub(parse_hub_reference(reference), patterns, complete)


def _bundled(name: str) -> Path:
    models = sorted(p for p in BUNDLED.iterdir() if p.is_dir()) if BUNDLED.is_dir() else []
    folders = {p.relative_to(BUNDLED).as_posix(): p for m in models for p in (m, *sorted(m.iterdir())) if p.is_dir()}
    if name not in folders:
        raise FileNotFoundError(f"reference: no bundled {name!r}; bundled are: {', '.join(folders) or 'none'}")
    return folders[name]


def _hub(reference: HubReference, patterns: Sequence[str], complete: Callable[[Path], bool]) -> Path:
    from huggingface_hub import snapshot_download  # here, so that local work does not import an HTTP client

    wanted = [f"{reference.folder}/{p}" if reference.folder else p for p in patterns]

    def fetch(local_files_only: bool) -> Path:
        root = snapshot_download(
            reference.repository,
            revision=reference.revision,
            allow_patterns=wanted,
            local_files_only=local_files_only,
        )
        return Path(root) / reference.folder

    try:
        cached = fetch(local_files_only=True)
    except OSError:
        cached = None  # not in the cache at all: ask the hub
    if cached is not None and cached.is_dir() and complete(cached):
        return cached
    try:
        fetched = fetch(local_files_only=False)
    except OSError as error:
        # Network, permission and missing-repository errors of the hub client are all OSErrors.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FileNotFoundError(
            f"reference: {reference.repository!r} is not in the local cache; "
            f"fetch it with `{reference.command()}` ({reason})"
        ) from None
    if not fetched.is_dir() or not complete(fetched):
        raise FileNotFoundError(
            f"reference: {reference.repository!r} is in the local cache without all files wanted "
            f"({', '.join(wanted)}); fetch it with `{reference.command()}`"
        )
    return fetched

"""References, with a cache in the hub's own layout and no network."""

from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import OfflineModeIsEnabled

from causeway.ports.files import hub
from causeway.ports.files.hub import HubReference, parse_hub_reference, resolve

REVISION = "a" * 40


@pytest.fixture
def snapshot(tmp_path, monkeypatch) -> Path:
    """The cached files of org/name; asking the network fails as it does offline."""
    repository = tmp_path / "cache" / "models--org--name"
    folder = repository / "snapshots" / REVISION
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    (folder / "config.json").write_text("{}")
    (folder / "sub").mkdir()
    (folder / "sub" / "config.json").write_text("{}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    cached = huggingface_hub.snapshot_download

    def download(repository, *, local_files_only, **options):
        if not local_files_only:
            raise OfflineModeIsEnabled("cannot reach the hub")
        return cached(repository, local_files_only=True, **options)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return folder


def has_config(folder: Path) -> bool:
    return (folder / "config.json").is_file()


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("org/name", HubReference("org/name", "", None)),
        ("org/name@main", HubReference("org/name", "", "main")),
        ("org/name/a/b@v1.0", HubReference("org/name", "a/b", "v1.0")),
        ("fnlp/Llama3_1-8B-Base-LXR-8x", HubReference("fnlp/Llama3_1-8B-Base-LXR-8x", "", None)),
        ("org/name:400M-a-b/L5R", HubReference("org/name", "400M-a-b/L5R", None)),
        ("org/name:sub@refs/pr/3", HubReference("org/name", "sub", "refs/pr/3")),
        ("org/name:layers.10.mlp", HubReference("org/name", "layers.10.mlp", None)),
        ("org/name//sub/folder@v2", HubReference("org/name", "sub/folder", "v2")),
        ("hf://org/name", HubReference("org/name", "", None)),
        ("hf://org/name/a/b?revision=v1.0", HubReference("org/name", "a/b", "v1.0")),
    ],
)
def test_hub_references(reference, expected):
    assert parse_hub_reference(reference) == expected


@pytest.mark.parametrize(
    "reference",
    [
        "name", "/no/such/folder", "org/name/../../x", "org name/x", "a/b@", "", "org/..", "../name", "org/name:../x",
        "org/name:a/../../b", "org/name@../../x", "hf://org/name/../x", "hf://org/name?revision=../x", "org/name/./x",
        "org/name:/etc", "http://org/name", "org/name:a:b",
    ],
)  # fmt: skip
def test_what_is_no_reference(reference):
    with pytest.raises(ValueError, match="is not a folder here and not a hub id"):
        parse_hub_reference(reference)


def test_folder(tmp_path):
    assert resolve(str(tmp_path), ["*"], has_config) == tmp_path
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(ValueError, match="is a file; give the directory it is in"):
        resolve(str(tmp_path / "file.txt"), ["*"], has_config)


def test_bundled(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "BUNDLED", tmp_path)
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "sub").mkdir()
    assert resolve("bundled:small", ["*"], has_config) == tmp_path / "small"
    assert resolve("bundled:small/sub", ["*"], has_config) == tmp_path / "small" / "sub"
    with pytest.raises(FileNotFoundError, match="no bundled 'large'; bundled are: small, small/sub"):
        resolve("bundled:large", ["*"], has_config)
    with pytest.raises(FileNotFoundError, match="no bundled"):
        resolve("bundled:../small", ["*"], has_config)
    with pytest.raises(FileNotFoundError, match="no bundled"):
        resolve("bundled:small/..", ["*"], has_config)


@pytest.mark.parametrize("revision", ["", "@main", f"@{REVISION}"])
def test_cache_is_enough(snapshot, revision):
    assert resolve(f"org/name{revision}", ["config.json"], has_config) == snapshot
    assert resolve(f"org/name/sub{revision}", ["config.json"], has_config) == snapshot / "sub"


@pytest.mark.parametrize("reference", ["org/other", "org/name@dev", "org/name/nothing"])
def test_not_cached_and_no_network(snapshot, reference):
    with pytest.raises(FileNotFoundError, match=r"not in the local cache; fetch it with `hf download org/\w+") as error:
        resolve(reference, ["config.json"], has_config)
    assert "\n" not in str(error.value)


def test_cache_that_lacks_files_asks_the_hub(snapshot, monkeypatch):
    asked = []

    def download(repository, *, revision, allow_patterns, local_files_only):
        asked.append((repository, revision, tuple(allow_patterns), local_files_only))
        if not local_files_only:
            (snapshot / "sub" / "weights").write_text("")
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    found = resolve("org/name/sub@v1", ["weights"], lambda folder: (folder / "weights").is_file())
    assert found == snapshot / "sub"
    assert asked == [("org/name", "v1", ("sub/weights",), True), ("org/name", "v1", ("sub/weights",), False)]


def test_hub_that_lacks_files_too(snapshot, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(snapshot))
    with pytest.raises(FileNotFoundError, match="without all files wanted"):
        resolve("org/name", ["weights"], lambda folder: (folder / "weights").is_file())

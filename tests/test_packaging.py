"""What is installed: one package `causeway`, its bundled data, and a command that answers at once."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("engine", "kernels", "ports", "drivers", "configs")
# jax and transformers take seconds to import.
HEAVY = ("jax", "transformers", "flax", "tensorstore", "pyarrow", "scipy")


def python(code, *arguments):
    done = subprocess.run([sys.executable, "-P", "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported(code, *arguments):
    """Heavy modules that are there after the code, and what it printed."""
    after = f"\nimport sys\nprint('heavy:', *(name for name in {HEAVY!r} if name in sys.modules))"
    out, _, heavy = python(code + after, *arguments).rpartition("heavy:")
    return heavy.split(), out


def test_import_and_help_wait_for_nothing_heavy():
    heavy, _ = imported("import causeway")
    assert not heavy
    run = "import sys; from causeway.drivers import main; main.run()"
    heavy, out = imported(run)
    assert not heavy
    for name in ("demo", "screen", "patch_sweep", "train_model", "train_dictionary", "bench"):
        assert f"  {name} " in out
        heavy, text = imported(run, name, "--help")
        assert not heavy, name
        assert text.startswith(f"causeway {name}: ")
        assert "--" in text


def test_the_folders_are_importable_under_the_one_name_alone():
    found = python(
        "from importlib.util import find_spec\n"
        f"print([name for name in {FOLDERS} if find_spec(name)])\n"
        f"print([name for name in {FOLDERS} if find_spec('causeway.' + name)])"
    ).split("\n")
    assert found[0] == "[]"
    assert found[1] == str(list(FOLDERS))


@pytest.mark.slow
def test_a_look_at_the_package_shows_the_public_names_alone():
    shown = python("import causeway as cw\ncw.load_model\nprint(dir(cw) == sorted(cw.__all__))")
    assert shown == "True\n"


@pytest.mark.slow
def test_the_public_names_are_where_they_are_said_to_be():
    names = python("import causeway as cw\nfor name in cw.__all__: getattr(cw, name)\nprint(len(cw.__all__))")
    assert int(names) > 10
    assert "it offers" in python("import causeway\ntry: causeway.lod_model\nexcept AttributeError as e: print(e)")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Names and sizes of the files of a wheel built here."""
    for tool in ("setuptools", "pip"):
        if importlib.util.find_spec(tool) is None:
            pytest.skip(f"{tool} is not installed; it builds the wheel")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    # A clean copy: setuptools takes what an earlier build left in build/ for its own.
    kept = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if kept.returncode:
        pytest.skip("not a git checkout; the wheel is built from its files")
    for name in filter(None, kept.stdout.split("\0")):
        if (ROOT / name).exists() and not name.startswith("tests/"):
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_symlink():
                target.symlink_to(os.readlink(ROOT / name))
            else:
                target.write_bytes((ROOT / name).read_bytes())
    build = ["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", str(out), str(source)]
    done = subprocess.run([sys.executable, "-P", *build], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(out.glob("*.whl"))) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


def test_a_wheel_holds_the_package_and_nothing_beside_it(wheel):
    tops = {name.split("/")[0] for name in wheel}
    assert tops == {"causeway", next(top for top in tops if top.endswith(".dist-info"))}
    assert not [name for name in wheel if "/tests/" in name or "__pycache__" in name]


def test_a_wheel_holds_every_module_and_the_bundled_data(wheel):
    for folder in FOLDERS:
        sources = [
            p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob("*.py") if "__pycache__" not in p.parts
        ]
        assert not [source for source in sources if f"causeway/{source}" not in wheel]
    assert "causeway/py.typed" in wheel
    bundled = [
        p for p in (ROOT / "ports" / "bundled").rglob("*") if p.is_file() and not p.name.endswith((".py", ".pyc"))
    ]
    assert bundled
    assert not [p for p in bundled if f"causeway/{p.relative_to(ROOT).as_posix()}" not in wheel]
    assert sum(size for name, size in wheel.items() if name.startswith("causeway/ports/bundled/")) < 10e6


def test_the_command_is_installed():
    command = Path(sysconfig.get_path("scripts")) / "causeway"
    if not command.exists():
        pytest.skip("causeway is not installed in this environment")
    wrong = subprocess.run([command, "pathc_sweep"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
    assert "no driver 'pathc_sweep'; did you mean patch_sweep?" in wrong.stderr

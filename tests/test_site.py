"""The documentation as a site: it builds without a warning (of dead links too), and has every name and command."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import causeway

pytest.importorskip("mkdocs")
pytest.importorskip("mkdocstrings")
ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "docs/site/mkdocs.yml"


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_has_every_name(tmp_path):
    from causeway.drivers.main import QUESTIONS

    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "-f", str(CONFIG), "-d", str(tmp_path)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = set(re.findall(r'id="causeway\.[\w.]+\.(\w+)"', (tmp_path / "reference/python.html").read_text()))
    assert set(causeway.__all__) <= names
    commands = (tmp_path / "reference/commands.html").read_text()
    assert all(f'id="causeway-{name}"' in commands for name in QUESTIONS)


def test_every_page_has_its_place_on_the_site():
    listed = set(re.findall(r"[\w/]+\.(?:md|ipynb)", CONFIG.read_text().partition("\nnav:")[2]))
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("notebooks/*.ipynb")]
    assert listed == {path.relative_to(ROOT).as_posix() for path in pages} | {
        "reference/python.md",
        "reference/commands.md",
    }

"""What a shell completes after `causeway`."""

import shutil
import subprocess
import sys

import pytest

from causeway.drivers.flags.completion import SCRIPTS
from causeway.drivers.main import QUESTIONS

ASK = "from causeway.drivers.flags.completion import candidates; print(*candidates({!r}), sep='\\n')"
# What bash does when tab is pressed, with the words as it cuts them.
TAB = """
causeway() {{ {python} -m causeway.drivers.main "$@"; }}
source <(causeway --completion=bash)
compopt() {{ :; }}
COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}; _causeway; printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def candidates(line):
    done = subprocess.run([sys.executable, "-c", ASK.format(line)], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_drivers_are_completed():
    assert candidates("causeway patch") == ["patch_sweep"]
    assert candidates("causeway ") == sorted(QUESTIONS)
    assert candidates("causeway no_such --x") == []


def test_flags_and_their_values_are_completed():
    assert candidates("causeway patch_sweep --outc") == ["--outcome="]
    assert candidates("causeway patch_sweep --workdir=a --outcome=s") == ["--outcome=sampled"]
    assert candidates("causeway patch_sweep --over") == []
    assert candidates("causeway screen --over") == ["--overwrite"]
    assert candidates("causeway screen --noover") == ["--nooverwrite"]
    assert candidates("causeway patch_sweep --pla") == ["--placement=", "--plan", "--plan="]
    # A file's name is the shell's own to complete.
    assert candidates("causeway patch_sweep --prompts=ru") == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "expected"), [("causeway scr", "screen"), ("causeway patch_sweep --form=re", "replace")]
)
def test_bash_completes(line, expected):
    done = subprocess.run(
        ["bash", "-c", TAB.format(python=sys.executable, line=line)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [expected], done.stderr


def test_an_unknown_shell_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "causeway.drivers.main", "--completion=tcsh"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"causeway: --completion: got tcsh; needs one of {', '.join(SCRIPTS)}\n"

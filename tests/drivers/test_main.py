"""The command lists its drivers, and ends bad input with one line."""

import json
import subprocess
import sys
from pathlib import Path

DRIVERS = Path(__file__).resolve().parents[2] / "drivers"

# What a driver may raise, each in a run of its own.
ERRORS = """
import contextlib, io, json
from absl import app, flags
from causeway.drivers.flags.refusals import run_driver
errors = [ValueError("a: got 1\\n  needs 2"), FileNotFoundError(2, "No such file", "x"), PermissionError("no"),
          app.UsageError("unknown arguments: b"), KeyError("a bug")]
for traceback in ("--notraceback", "--traceback"):
    for error in [None, *errors]:
        def main(argv):
            if error is not None:
                raise error
        err, status = io.StringIO(), 0
        with contextlib.redirect_stderr(err):
            try:
                run_driver(main, ["causeway toy", traceback])
            except SystemExit as end:
                status = end.code or 0
            except Exception as raised:
                status = type(raised).__name__
        print(json.dumps([status, err.getvalue()]))
"""


def python(*arguments):
    done = subprocess.run([sys.executable, "-P", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_driver_is_listed_by_its_question():
    text = python("-m", "causeway.drivers.main")
    mains = [path.stem for path in DRIVERS.glob("*.py") if "\ndef main(" in path.read_text()]
    assert len(mains) >= 14
    for name in mains:
        assert f"\n  {name} " in text
    assert python("-m", "causeway.drivers.main", "--help") == text


def test_the_version_and_near_names_are_told():
    command = [sys.executable, "-P", "-m", "causeway.drivers.main"]
    assert python("-m", "causeway.drivers.main", "--version").startswith("causeway ")
    wrong = subprocess.run([*command, "scren"], capture_output=True, text=True)
    assert (wrong.returncode, wrong.stderr) == (2, "causeway: no driver 'scren'; did you mean screen?\n")


def test_errors_of_input_are_one_line_and_bugs_are_not_hidden():
    results = [json.loads(line) for line in python("-c", ERRORS).splitlines()]
    assert results[0] == [0, ""]
    for (status, err), message in zip(
        results[1:5], ("a: got 1 needs 2", "x: No such file", "no", "unknown arguments: b"), strict=True
    ):
        assert status == 2
        assert err.startswith("causeway toy: ")
        assert err.endswith(f"{message}\n")
        assert err.count("\n") == 1
    assert results[5][0] == "KeyError"
    assert results[6][0] == 0
    assert [status for status, _ in results[7:10]] == ["ValueError", "FileNotFoundError", "PermissionError"]


def test_a_driver_of_its_own_process_answers_as_the_command_does(command):
    arguments, environment = command("patch_sweep")
    own = [*arguments[:-2], "causeway.drivers.patch_sweep"]
    for run in (arguments, own):
        done = subprocess.run(run, env=environment, capture_output=True, text=True)
        assert done.returncode == 2
        assert "--prompts: got nothing; needs files of prompts" in done.stderr
        assert done.stderr.count("\n") == 1


def test_drivers_are_short():
    """A driver reads flags and calls; what is longer computes something."""
    assert not [path.name for path in DRIVERS.glob("*.py") if len(path.read_text().splitlines()) > 150]


# Numbers that flags cannot mean, each in a run of its own.
NUMBERS = """
import contextlib, io, json
from absl import flags
flags.DEFINE_integer("states", None, "x", lower_bound=2)
flags.DEFINE_float("share", 0.5, "x", 0.0, 1.0)
flags.DEFINE_float("heat", 0.5, "x")
flags.DEFINE_enum("kind", "a", ["a", "b"], "x")
flags.DEFINE_bool("quick", True, "x")
flags.DEFINE_list("stops", [], "x")
from causeway.drivers.flags.flag_values import numbers
from causeway.drivers.flags.refusals import run_driver
for given in ("--states=forty", "--states=2.5", "--states=1", "--states=" + "9" * 400, "--states=-5000000000",
              "--share=2", "--heat=nan", "--heat=1e999", "--kind=c", "--quick=perhaps", "--stops=1,x",
              "--stops=9999999999"):
    err, status = io.StringIO(), None
    with contextlib.redirect_stderr(err):
        try:
            run_driver(lambda argv: print(numbers("stops", int)), ["causeway toy", given])
        except SystemExit as end:
            status = end.code
    print(json.dumps([status, err.getvalue()]))
    flags.FLAGS.unparse_flags()
    flags.FLAGS["stops"].value = []
    flags.FLAGS["states"].value = None
    flags.FLAGS["heat"].value = 0.5
"""


def test_numbers_that_no_flag_can_mean_are_refused_in_our_words():
    results = [json.loads(line) for line in python("-c", NUMBERS).splitlines()]
    needed = [
        "--states: got 'forty'; needs a whole number >= 2", "--states: got '2.5'; needs a whole number >= 2",
        "--states: got '1'; needs a whole number >= 2", "needs a whole number of 32 bits",
        "needs a whole number", "--share: got '2'; needs a number in the range [0.0, 1.0]",
        "--heat: got nan; needs a finite number", "--heat: got inf; needs a finite number",
        "--kind: got 'c'; needs one of a, b", "--quick: got 'perhaps'; needs true or false",
        "--stops: got '1,x'; needs numbers separated by commas",
        "--stops: got 9999999999; needs a whole number from 0 to 2147483647",
    ]  # fmt: skip
    assert [status for status, _ in results] == [2] * len(needed)
    for (_, err), message in zip(results, needed, strict=True):
        assert message in err
        assert err.count("\n") == 1
        assert len(err) < 200

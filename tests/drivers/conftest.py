"""What the tests of drivers share: a process that runs a driver several times, and a small model with its SAEs."""

import functools
import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

from tests.forked import ENVIRONMENT

# Runs one driver once for each list of arguments, in one process: starting one costs more than most of the runs.
RUNS = """
import contextlib, importlib, io, json, sys
import jax
from absl import flags
from causeway.drivers.flags.refusals import run_driver
driver = importlib.import_module("causeway.drivers." + sys.argv[1])
compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _, fun_name="", **rest: compiled.append(fun_name) if "backend_compile" in event else None
)
for arguments in json.loads(sys.stdin.read()):
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    compiled.clear()
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run_driver(driver.main, ["causeway " + sys.argv[1], *arguments])
        except SystemExit as end:
            status = end.code or 0
    print(json.dumps({"status": status, "out": out.getvalue(), "err": err.getvalue(), "compiled": compiled}))
"""


@pytest.fixture(scope="session")
def drive(forked):
    """`drive(driver, *runs)`: status, out, err and the compiled programs of each run."""

    def drive(driver, *runs):
        given = json.dumps([[str(argument) for argument in run] for run in runs])
        done = forked.run(RUNS, driver, given=given)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return drive


@pytest.fixture(scope="session")
def command():
    """The arguments of a driver's own process, and its environment: one CPU device."""
    environment = os.environ | ENVIRONMENT
    return lambda driver, *arguments: (
        [sys.executable, "-P", "-m", "causeway.drivers.main", driver, *map(str, arguments)], environment
    )  # fmt: skip


@pytest.fixture(scope="session")
def causeway(forked):
    """`causeway(driver, *arguments, place=folder)`: what the command answers there, as `subprocess.run` gives it."""
    return functools.partial(forked.run, "from causeway.drivers.main import run; run()")


@pytest.fixture(scope="session")
def tiny():
    """The engine's tests' makers of tiny models and dictionaries."""
    spec = importlib.util.spec_from_file_location("tiny", Path(__file__).parents[1] / "engine" / "tiny.py")
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    return tiny


@pytest.fixture(scope="session")
def small(tiny, tmp_path_factory):
    """A folder with a model of three layers that knows eight words, and SAEs of layers 0 and 2."""
    from causeway.ports.dictionaries.load import save_dictionary
    from causeway.ports.models.llama import save_llama
    from causeway.ports.models.word_tokenizer import build_word_tokenizer, save_word_tokenizer

    folder = tmp_path_factory.mktemp("small")
    words = build_word_tokenizer(["you won $5. you lost. choice: stop bet $5 $10.", "stop", "choice"] * 2, 60)
    save_llama(folder / "model", tiny.make_transformer(vocab_size=words.get_vocab_size(), max_position=24))
    save_word_tokenizer(words, folder / "model")
    save_dictionary(folder / "saes", tiny.make_dictionary())
    return folder

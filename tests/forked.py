"""Programs in processes of their own that start at once: a process imports the package, and each is a fork of it.

Importing takes three seconds, more than most programs that tests run. No backend of jax is there before the fork; a
program has its own, with one CPU device, and ends as Python ends, but for what was imported before the fork:
collecting that would copy its memory page by page, a second a program.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# How XLA compiles tests: its older emitter of fused loops takes half the time, one module a program spares some more.
CHEAP = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_parallel_codegen_split_count": 1}
# The environment of a driver: one CPU device.
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": " ".join(f"--{name}={value}".lower() for name, value in CHEAP.items()),
}

# Forks for each line of its input; says status or, negated, signal of a program that has ended.
PARENT = """
import gc, importlib, json, os, pkgutil, sys
import ml_collections, transformers
import causeway.engine, causeway.ports
for package in (causeway.engine, causeway.ports):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
gc.freeze()
while line := sys.stdin.readline():
    code, sys.argv, place, files, environment = json.loads(line)
    if (process := os.fork()) == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
else:
    sys.exit()
for number, (name, mode) in enumerate(zip(files, (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY))):
    os.dup2(os.open(name, mode), number)
sys.stdin = open(0, closefd=False)
os.chdir(place)
os.environ.update(environment)
exec(compile(code, "program", "exec"), {"__name__": "__main__"})
"""


class Forked:
    """Runs programs, one after the other."""

    def __init__(self) -> None:
        self._parent: subprocess.Popen | None = None

    def run(self, code: str, *arguments: object, given: str = "", place: Path | None = None, **environment: str):
        """What `subprocess.run` gives of `python -c code arguments`."""
        if self._parent is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            own = os.environ | ENVIRONMENT
            self._parent = subprocess.Popen([sys.executable, "-P", "-c", PARENT], env=own, **pipes)
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / name for name in ("in", "out", "err")]
            for file in files:
                file.write_text(given if file.name == "in" else "")
            argv = ["-c", *map(str, arguments)]
            request = [code, argv, str(place or Path.cwd()), list(map(str, files)), environment]
            self._parent.stdin.write(json.dumps(request) + "\n")
            self._parent.stdin.flush()
            status = int(self._parent.stdout.readline())
            return subprocess.CompletedProcess(argv, status, *(file.read_text() for file in files[1:]))

    def close(self) -> None:
        """End the process that forks."""
        if self._parent is not None:
            self._parent.communicate()

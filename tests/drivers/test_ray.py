"""A command shared out among actors of Ray: one is killed, and the data are those of one process."""

import importlib.util
import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from causeway.drivers.flags import ray_actors, ray_cluster
from causeway.drivers.flags.actor import Ended

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'causeway[ray]'")
COMMAND = (
    "patch_sweep", "--prompts=screen/prompts.jsonl", "--features=screen/screen.parquet", "--limit_features=2",
    "--unit_buckets=1", "--arms=baseline,patch",
)  # fmt: skip


@pytest.fixture(scope="module")
def place(causeway, tmp_path_factory):
    """A folder with a screen."""
    folder = tmp_path_factory.mktemp("ray")
    assert causeway("screen", "--states=6", "--out=screen", place=folder).returncode == 0
    return folder


@pytest.mark.slow
def test_refusals(forked, tmp_path):
    flags = ("patch_sweep", "--prompts=p", "--features=f", f"--workdir={tmp_path}")
    without = "import sys; sys.modules['ray'] = None; from causeway.drivers.main import run; run()"
    done = forked.run(without, *flags, "--ray=local")
    assert done.returncode == 2
    assert done.stderr == "causeway patch_sweep: --ray: is not installed; pip install 'causeway[ray]'\n"
    done = forked.run(without, *flags, "--ray=local", "--worker=0/2")
    assert "--worker, --ray: got both; give one way to share a run out" in done.stderr
    done = forked.run(without, *flags, "--ray=nowhere")
    assert "--ray: got 'nowhere'; needs HOST:PORT" in done.stderr
    done = forked.run(without, *flags, "--ray=localhost:1")
    assert "--ray: got localhost:1, which did not answer in 5 s" in done.stderr
    done = forked.run(without, *flags, "--ray=local", "--repair")
    assert "--repair: units are mended by whoever computes them again; repair without --ray" in done.stderr


class Cluster:
    """Ray, as far as it is asked: actors that end as is given, in order, after some waits in which none has room."""

    exceptions = SimpleNamespace(RayActorError=KeyError)

    def __init__(self, ends, waits=0):
        self._ends, self._waits = ends, waits

    def cluster_resources(self):
        return {}

    def nodes(self):
        return self._ends

    def remote(self, **_):
        calls = iter(range(len(self._ends)))
        actor = SimpleNamespace(
            run=SimpleNamespace(remote=lambda *_: next(calls)), __ray_ready__=SimpleNamespace(remote=lambda: "ready"),
            release=SimpleNamespace(remote=lambda _: None),
        )  # fmt: skip
        return lambda _: SimpleNamespace(remote=lambda: actor)

    def wait(self, references, num_returns, timeout):
        if timeout == 0 or self._waits:
            self._waits -= timeout != 0
            return [], references
        return references[:1], references[1:]

    def get(self, reference):
        return None if reference is None else self._ends[reference]


@pytest.mark.parametrize(
    ("errors", "told", "left"),
    [
        (["bad"], [], "bad"),
        (["bad", "bad"], ["actor 0/2: bad"], ""),
        (["bad", "worse"], ["actor 0/2: bad", "actor 1/2: worse"], ""),
        (["", "bad"], [], "bad"),
    ],
)
def test_a_refusal_is_told_once(capsys, errors, told, left):
    ends = [Ended(status=2 if error else 0, error=error) for error in errors]
    end = ray_actors._Actors(Cluster(ends), ["causeway edit"], None).to_end()
    assert capsys.readouterr().err.splitlines() == [f"causeway edit: {line}" for line in told]
    assert end == Ended(status=2, error=left)


def test_actors_without_room_are_told_of(capsys):
    end = ray_actors._Actors(Cluster([Ended(led=True)], waits=2), ["causeway edit"], None).to_end()
    line = "causeway edit: no actor has room yet: each needs a CPU, and others use those of the cluster"
    assert capsys.readouterr().err.splitlines() == [line] * 2
    assert end.led


def test_secrets_are_not_handed_on():
    assert ray_cluster.kept({"HF_TOKEN": "s", "HF_HOME": "h", "JAX_PLATFORMS": "cpu", "HOME": "x"}) == {
        "HF_HOME": "h", "JAX_PLATFORMS": "cpu",
    }  # fmt: skip


def actors(process: int) -> list[int]:
    """Processes below one that run actors."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    below, found = {process}, []
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    for child in below:
        try:
            found += [child] * Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"ray::Actor")
        except OSError:
            continue
    return found


@needs_ray
@pytest.mark.slow
def test_a_killed_actor_is_replaced(causeway, command, place):
    assert causeway(*COMMAND, "--workdir=alone", place=place).returncode == 0
    arguments, environment = command(*COMMAND, "--workdir=shared", "--ray=local", "--processes=2")
    process = subprocess.Popen(
        arguments, env=environment, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    # The first units take seconds, as they are compiled: an actor that has begun is in the middle of one.
    while not (place / "shared/events.jsonl").exists() or not (running := actors(process.pid)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.kill(running[0], signal.SIGKILL)
    out, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    assert "is lost; its units go to others, and it is started anew" in told
    assert "everything is in shared" in out
    for path in (place / "alone").glob("**/*.parquet"):
        assert path.read_bytes() == (place / "shared" / path.relative_to(place / "alone")).read_bytes(), path

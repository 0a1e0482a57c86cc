"""Several processes of one command: refused in one line, and two of jax.distributed that write what one writes."""

import json
import socket
import subprocess

import pytest

SWEEP = ("--batch_rows=16", "--unit_buckets=1", "--arms=baseline,patch", "--outcome=sampled", "--trials=2",
         "--max_new_tokens=3", "--record_features=patched")  # fmt: skip


@pytest.fixture(scope="module")
def given(small):
    """Flags of a small sweep that records."""
    answers = [{"text": " stop", "label": "stop"}, {"text": " bet $5", "label": "bet", "amount": 5}]
    prompts = [{"text": text, "group": group, "answers": answers} for text, group in (
        ("you won $5. choice:", "safe"), ("you lost. choice:", "risky"), ("you lost. you won $5. choice:", "safe"),
        ("you won $5. you lost. choice:", "risky"),
    )]  # fmt: skip
    features = [{"layer": n, "feature": f, "value_safe": 0.5, "value_risky": 3.0} for n, f in ((0, 3), (2, 7), (2, 1))]
    for name, records in (("shared_prompts", prompts), ("shared_features", features)):
        (small / f"{name}.jsonl").write_text("\n".join(map(json.dumps, records)))
    files = {"model": "model", "dictionaries": "saes", "prompts": "shared_prompts.jsonl",
             "features": "shared_features.jsonl"}  # fmt: skip
    return [*(f"--{flag}={small / name}" for flag, name in files.items()), *SWEEP]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--worker=3/2"], "--worker: got '3/2'; needs i/n with i from 0 to n-1, such as 0/4"),
        (["--worker=a/b"], "--worker: got 'a/b'; needs i/n with i from 0 to n-1, such as 0/4"),
        (["--worker=0/2", "--plan"], "--worker: without effect with --plan, which computes nothing; leave it out"),
        (
            ["--worker=0/2", "--coordinator=here:1"],
            "--worker, --coordinator: got both; give one way to share",
        ),
        (["--worker=0/2", "--process=1"], "--process: without effect without --coordinator; leave it out"),
        (["--process=1"], "--process: without effect without --coordinator"),
        (["--coordinator=here:1"], "--processes, --process: got nothing; needed beside the address of --coordinator"),
        (["--coordinator=here:1", "--processes=2", "--process=2"], "--process: got 2; needs a number from 0 to 1"),
        (["--coordinator=here", "--processes=2", "--process=1"], "--coordinator: got 'here'; needs HOST:PORT, as"),
        (["--coordinator=auto"], "--coordinator: no cluster says which process this is"),
    ],
)
def test_refusals(causeway, given, tmp_path, flags, line):
    done = causeway("patch_sweep", *given, f"--workdir={tmp_path / 'work'}", *flags)
    assert done.returncode == 2
    assert done.stderr.startswith(f"causeway patch_sweep: {line}")
    assert done.stderr.count("\n") == 1


def test_a_coordinators_port_that_is_taken(causeway, given, tmp_path):
    with socket.create_server(("localhost", 0)) as taken:
        address = f"localhost:{taken.getsockname()[1]}"
        flags = (f"--coordinator={address}", "--processes=2", "--process=0", f"--workdir={tmp_path / 'work'}")
        done = causeway("patch_sweep", *given, *flags)
    assert done.returncode == 2
    line = f"--coordinator: got {address}, where nothing can listen ("
    assert done.stderr.startswith(f"causeway patch_sweep: {line}")
    assert done.stderr.count("\n") == 1


def test_a_reader_needs_a_workdir_for_several(causeway, tmp_path):
    done = causeway("screen", "--states=4", f"--out={tmp_path / 'screen'}", "--worker=0/2")
    assert done.returncode == 2
    assert "--workdir: got nothing; needs with several processes, the folder in which they meet" in done.stderr


@pytest.mark.parametrize("way", ["--worker=0/2", "--coordinator=here:1", "--ray=local"])
def test_games_are_played_by_one(causeway, tmp_path, way):
    done = causeway("screen", "--play=4", f"--out={tmp_path / 'screen'}", f"--workdir={tmp_path / 'work'}", way)
    assert done.returncode == 2
    name = way.partition("=")[0]
    assert done.stderr.startswith(f"causeway screen: {name}: games are played by one process; screen --states or")


def data(workdir):
    """Bytes of every data file."""
    files = [workdir / "trials.parquet", *workdir.glob("units/*.parquet"), *workdir.glob("*.zarr/**/*")]
    return {str(path.relative_to(workdir)): path.read_bytes() for path in files if path.is_file()}


def both_of(command, *arguments):
    """What two processes of two devices each print, that meet and both end well."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    processes = []
    for index in range(2):
        line, environment = command(*arguments, f"--coordinator={address}", "--processes=2", f"--process={index}")
        processes.append(subprocess.Popen(
            line, env=environment | {"JAX_NUM_CPU_DEVICES": "2"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        ))  # fmt: skip
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    return said


@pytest.mark.slow
def test_two_processes_of_two_devices_write_what_one_of_one_does(causeway, command, given, tmp_path):
    alone, both = tmp_path / "alone", tmp_path / "both"
    assert causeway("patch_sweep", *given, f"--workdir={alone}").returncode == 0
    said = both_of(command, "patch_sweep", *given, f"--workdir={both}")
    assert sorted("everything is in" in out for out, _ in said) == [False, True]
    assert sum("is done: every unit is finished, and another one writes the results" in out for out, _ in said) == 1
    assert data(both) == data(alone)
    # One process with one device goes on where the two, with two each, have left units undone.
    for name in ("units/00001.json", "units/00002.json", "trials.json"):
        (both / name).unlink()
    done = causeway("patch_sweep", *given, f"--workdir={both}")
    assert done.returncode == 0
    assert "2 units to compute" in done.stderr
    assert data(both) == data(alone)


@pytest.mark.slow
def test_one_mesh_over_two_processes_writes_what_one_process_does(command, given, tmp_path):
    """Both write units; one process goes on where they stopped, on another mesh of as many places along `model`."""
    work = tmp_path / "work"
    said = both_of(command, "patch_sweep", *given, f"--workdir={work}", "--mesh=data:2,model:2")
    assert sorted("everything is in" in out for out, _ in said) == [False, True]
    written, four = data(work), [f"units/0000{unit}" for unit in range(4)]
    assert {f"{name}.parquet" for name in four} <= written.keys()
    for name in (*four[1:], "trials"):
        (work / f"{name}.json").unlink()
    line, environment = command("patch_sweep", *given, f"--workdir={work}", "--mesh=model:2")
    done = subprocess.run(line, env=environment | {"JAX_NUM_CPU_DEVICES": "2"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "3 units to compute" in done.stderr
    assert data(work) == written

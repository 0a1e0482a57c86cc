"""`causeway serve`: it says where it is, answers there, and ends with a line; its refusals."""

import signal
import socket
import subprocess
import urllib.request

import pytest


def test_refusals(drive, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cases = {
            (): "--workdir: got nothing",
            (f"--workdir={tmp_path / 'none'}",): "needs a folder that is there, though it may still be empty",
            (f"--workdir={tmp_path}", f"--port={port}"): f"--port: 127.0.0.1:{port} cannot be had",
            (f"--workdir={tmp_path}", "--port=70000"): "--port: got '70000'",
        }  # fmt: skip
        for (arguments, message), done in zip(cases.items(), drive("serve", *cases), strict=True):
            assert done["status"] == 2, arguments
            assert message in done["err"]
            assert done["err"].count("\n") == 1


@pytest.mark.slow
def test_it_serves_an_empty_folder_until_it_is_interrupted(command, tmp_path):
    line, environment = command("serve", f"--workdir={tmp_path}")
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        url, _, rest = server.stdout.readline().partition(" ")
        assert rest == f"shows {tmp_path} as it changes; Ctrl-C ends it\n"
        with urllib.request.urlopen(url, timeout=20) as answer:
            assert "Nothing to show yet" in answer.read().decode()
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=20)
    assert (out, err, server.returncode) == ("stopped; nothing was written\n", "", 0)

"""The live page over loopback: as new as its folder, and nothing else answered."""

import contextlib
import http.client
import importlib.util
import socket
import sys
import threading
from pathlib import Path

import pytest

from causeway.drivers.main import QUESTIONS
from causeway.ports.pages import live
from causeway.ports.pages.live import LivePage
from causeway.ports.pages.section import Section
from causeway.ports.pages.sections import sections_of
from causeway.ports.pages.server import PageServer
from causeway.ports.pages.workdir import find_results

spec = importlib.util.spec_from_file_location("swept", Path(__file__).with_name("swept.py"))
swept = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = swept
spec.loader.exec_module(swept)


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch):
    monkeypatch.setattr(live, "EVERY", 0.0)
    monkeypatch.setattr(live, "REST", 0.0)


@contextlib.contextmanager
def serving(folder):
    """A server of a folder, and how often its page was made."""
    made = []

    def find():
        made.append(1)
        return sections_of(find_results(folder), QUESTIONS)

    server = PageServer(LivePage(folder, find, "Results", "made by a test"), 0)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server, made
    finally:
        server.shutdown()
        server.server_close()


def ask(server, path="/", method="GET", **headers):
    """Status, text and headers of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, answer.headers


def test_the_page_grows_with_its_folder_and_is_made_once_a_change(tmp_path):
    with serving(tmp_path) as (server, made):
        status, page, _ = ask(server)
        assert status == 200
        assert "holds no results" in page
        swept.write_plan(tmp_path / "exact", done=1)
        first = ask(server, "/version")[1]
        assert "1 of 4 units" in ask(server)[1]
        swept.write_plan(tmp_path / "exact", done=3)
        second = ask(server, "/version")[1]
        count = len(made)
        assert "3 of 4 units" in ask(server)[1]
        assert ask(server, "/version")[1] == second != first
        assert len(made) == count == 3
        assert f'data-version="{second}"' in ask(server)[1]


def test_half_written_files_leave_the_page_that_was_there_with_a_note(tmp_path, monkeypatch):
    swept.write_plan(tmp_path / "exact", done=1)
    with serving(tmp_path) as (server, _):
        assert "1 of 4 units" in ask(server)[1]
        (tmp_path / "exact" / "plan.json").write_text('{"name": "patch_')
        status, page, _ = ask(server)
        assert status == 200
        assert "could not be read at" in page
        assert "1 of 4 units" in page
        swept.write_sweep(tmp_path / "exact")
        page = ask(server)[1]
        assert "could not be read at" not in page
        assert "Strongest effects on p_bet" in page
        (tmp_path / "exact" / "effects.parquet").write_bytes(b"PAR1")
        assert "This part cannot be shown" in ask(server)[1]


def test_nobody_waits_for_a_page_that_another_is_making(tmp_path):
    swept.write_plan(tmp_path / "exact", done=1)
    entered, leave = threading.Event(), threading.Event()

    def find():
        entered.set()
        leave.wait(20)
        return sections_of(find_results(tmp_path), QUESTIONS)

    page = LivePage(tmp_path, find, "Results", "")
    leave.set()
    before = page.now()
    leave.clear()
    entered.clear()
    swept.write_plan(tmp_path / "exact", done=2)
    maker = threading.Thread(target=page.now)
    maker.start()
    assert entered.wait(20)
    assert page.now() is before
    leave.set()
    maker.join()
    assert page.now() is not before


def test_making_the_page_takes_a_small_part_of_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "REST", 1e6)
    swept.write_plan(tmp_path / "exact", done=1)
    page = LivePage(tmp_path, lambda: sections_of(find_results(tmp_path), QUESTIONS), "Results", "")
    page.now()
    swept.write_plan(tmp_path / "exact", done=2)
    second = page.now()
    assert b"2 of 4 units" in second.content
    swept.write_plan(tmp_path / "exact", done=3)
    assert page.now() is second


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quiet")
    swept.write_plan(folder / "exact", done=1)
    (folder.parent / "secret.txt").write_text("secret")
    with serving(folder) as (server, _):
        yield server


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "0.0.0.0:{port}"]
)
def test_another_name_is_refused(quiet, host):
    status, text, _ = ask(quiet, Host=host.format(port=quiet.server_port))
    assert status == 403
    assert "units" not in text


def test_another_origin_is_refused_and_the_own_is_not(quiet):
    port = quiet.server_port
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{port}", "http://127.0.0.1:1"):
        assert ask(quiet, "/version", Origin=origin)[0] == 403
    assert ask(quiet, "/version", Origin=f"http://127.0.0.1:{port}")[0] == 200
    assert ask(quiet, Host=f"localhost:{port}")[0] == 200
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.example\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.0 403")


@pytest.mark.parametrize("path", [
    "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd", "//etc/passwd", "/exact/plan.json",
    "/./secret.txt", "/version/", "/%00", "/\\..\\secret.txt",
])  # fmt: skip
def test_no_path_is_a_file(quiet, path):
    status, text, _ = ask(quiet, path)
    assert status == 404
    assert text == "There is nothing but the page, at /.\n"


@pytest.mark.parametrize("target", ["http://[", "//[/"])
def test_an_address_that_is_none_is_not_found(quiet, target):
    with socket.create_connection(("127.0.0.1", quiet.server_port)) as raw:
        raw.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{quiet.server_port}\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.0 404")


@pytest.mark.parametrize(("error", "told"), [(ConnectionResetError, False), (BrokenPipeError, False), (KeyError, True)])
def test_a_reader_who_has_gone_is_no_error(quiet, capsys, error, told):
    try:
        raise error("x")
    except error:
        quiet.handle_error(None, ("127.0.0.1", 1))
    assert ("Traceback" in capsys.readouterr().err) is told


def test_what_cannot_be_drawn_leaves_the_page_that_was_there(tmp_path):
    """Sections that are read and no page can be made of, first from the beginning, then after others."""
    twice = [Section("s", "s", []), Section("s", "s", [])]
    given = [twice, [Section("Whole", "s", [])], twice]
    page = LivePage(tmp_path, lambda: given.pop(0), "Results", "")
    for name, shown in (("a", b"No results yet"), ("b", b"Whole"), ("c", b"Whole")):
        (tmp_path / name).touch()
        content = page.now().content
        assert shown in content
        assert (b"each name once" in content) is (name != "b")


def test_only_get_and_head(quiet):
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        status, _, headers = ask(quiet, method=method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert ask(quiet, method="BREW")[0] == 501
    status, text, headers = ask(quiet, method="HEAD")
    assert (status, text) == (200, "")
    assert int(headers["Content-Length"]) == len(ask(quiet)[1].encode())
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"


def test_it_listens_on_this_machine_alone_and_says_when_a_port_is_taken(quiet, tmp_path):
    assert quiet.server_address[0] == "127.0.0.1"
    assert quiet.url == f"http://127.0.0.1:{quiet.server_port}/"
    page = LivePage(tmp_path, list, "", "")
    with pytest.raises(ValueError, match=f"port: 127.0.0.1:{quiet.server_port} cannot be had .* give another, or 0"):
        PageServer(page, quiet.server_port)


def test_a_page_in_a_browser_changes_by_itself(browser, tmp_path):
    """A sweep goes on and ends under an open page: what is open stays open, and nothing else is asked for."""
    swept.write_sweep(tmp_path / "first")
    swept.write_plan(tmp_path / "second", done=1)
    said, asked = [], []
    with serving(tmp_path) as (server, _):
        page = browser.new_page(viewport={"width": 1200, "height": 700})
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server.url)
        page.wait_for_selector("html[data-charts=drawn]")
        whole = page.locator("#patch_sweep-first")
        whole.locator("details > summary").first.click()
        whole.evaluate("one => { one.marked = true; one.scrollIntoView({behavior: 'instant'}); }")
        top = whole.bounding_box()["y"]
        swept.write_plan(tmp_path / "second", done=2)
        page.wait_for_function("document.querySelector('#overview').textContent.includes('2 of 4 units')")
        # The other section is the one that was there, open as it was, where it was.
        assert whole.evaluate("one => one.marked && one.querySelector('details').open")
        assert abs(whole.bounding_box()["y"] - top) < 2
        swept.write_sweep(tmp_path / "second", swept.trials(seed=1))
        page.wait_for_selector("#patch_sweep-second .chart[data-drawn] svg")
        assert whole.evaluate("one => one.marked")
        assert page.locator("nav a").count() == 3
        page.close()
    assert said == []
    assert {url.removeprefix(server.url) for url in asked if not url.startswith(("data:", "blob:"))} == {"", "version"}

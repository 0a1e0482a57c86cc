"""A live page on this machine alone: two addresses, and nothing else is answered.

`/` is the page and `/version` the name of its state, which the page asks for every two seconds. No path is ever made a
file's: any other is 404. The socket listens on 127.0.0.1. A page of another site that sends its readers' browsers here
under a name of its own (DNS rebinding) comes with that name as Host and is refused, as is an Origin that is not this
server's; what the page is may not be framed or read across origins.
"""

import socketserver
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from causeway.ports.pages.live import LivePage

ADDRESS = "127.0.0.1"
_NAMES = (ADDRESS, "localhost")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PageServer(ThreadingHTTPServer):
    """Serves a page; `serve_forever` and `server_close` are the library's.

    Args:
        page: what is served. port: on 127.0.0.1; 0 for any that is free.

    Raises:
        ValueError: the port cannot be had.
    """

    daemon_threads = True

    def __init__(self, page: LivePage, port: int) -> None:
        self.page = page
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            said = f"port: {ADDRESS}:{port} cannot be had ({error.strerror}); give another, or 0 for any that is free"
            raise ValueError(said) from None

    def server_bind(self) -> None:
        """Without the library's question to the network what this machine is called."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tells what went wrong with a request, unless who asked is gone."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version, sys_version = "causeway", ""
    # Seconds that a connection may stay silent.
    timeout = 10

    def do_GET(self) -> None:
        """The page, its version, or a refusal."""
        path = self.path.partition("?")[0]
        if not self._from_here():
            self._answer(HTTPStatus.FORBIDDEN, b"Only pages of this server may ask, under its own name.\n")
        elif path == "/":
            self._answer(HTTPStatus.OK, self.server.page.now().content, "text/html")
        elif path == "/version":
            self._answer(HTTPStatus.OK, self.server.page.now().version.encode())
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"There is nothing but the page, at /.\n")

    do_HEAD = do_GET

    def _refused(self) -> None:
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, b"Only GET and HEAD.\n", allow=True)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refused

    def _from_here(self) -> bool:
        """Whether the request names this server, once, and does not come of another's page."""
        own = [f"{name}:{self.server.server_port}" for name in _NAMES]
        hosts, origins = (self.headers.get_all(name, []) for name in ("Host", "Origin"))
        named = len(hosts) == 1 and hosts[0] in own
        return named and all(origin in [f"http://{host}" for host in own] for origin in origins)

    def _answer(self, status: HTTPStatus, content: bytes, kind: str = "text/plain", allow: bool = False) -> None:
        self.send_response(status)
        headers = {**_HEADERS, "Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(content))}
        for name, value in (headers | ({"Allow": "GET, HEAD"} if allow else {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Requests are not told on the terminal."""

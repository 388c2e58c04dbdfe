"""The web server of the demo: a page, its files, examples, and one address that transcribes.

It is meant for the machine it runs on. A page of another origin can make a browser send requests to localhost, and
its name can be made to point to 127.0.0.1 (DNS rebinding); so `Host` has to be localhost, an IP address or the name
that was bound, none of which another page can take, and `Origin`, which browsers add to every POST, has to be the same.
"""

import contextlib
import errno
import ipaddress
import json
import re
import socket
import sys
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from socketserver import TCPServer
from urllib.parse import parse_qs, urlsplit

from espnet2_sop import __version__
from espnet2_sop.demo.audio import Unreadable
from espnet2_sop.demo.studio import EXAMPLE_TYPES, Event, Studio
from espnet2_sop.demo.turns import Full
from espnet2_sop.io.errors import UserError

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
EXAMPLE = re.compile(r"/examples/(\d{1,4})")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src 'self' blob:; "
    "img-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-store",
}
MOST_PORT, DEFAULT_PORT = 65535, 8000
STALLED_SECONDS = 30  # without a byte from the browser
LINGER_SECONDS = 5  # for which an upload that is refused may go on, so that the browser reads why


def page_files() -> dict[str, tuple[str, bytes]]:
    """{path: (content type, content)} of the page; nothing else of the disk is ever named by a request."""
    found = {}
    for item in files("espnet2_sop.demo").joinpath("page").iterdir():
        kind = TYPES.get("." + item.name.rpartition(".")[2])
        if kind:
            path = "/" if item.name == "index.html" else f"/{item.name}"
            found[path] = f"{kind}; charset=utf-8", item.read_bytes()
    return found


def may_name_this_server(host: str, bound: str) -> bool:
    """Whether a `Host` header (with or without port) cannot be a name that another page controls.

    >>> may_name_this_server("localhost:8000", "127.0.0.1"), may_name_this_server("evil.example:8000", "127.0.0.1")
    (True, False)
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name in ("localhost", bound.lower()) or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class DemoServer(ThreadingHTTPServer):
    """Serves a studio.

    Args:
        host: Name or address to listen at.
        port: To listen at; 0 takes a free one.

    Raises:
        UserError: The address cannot be used.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int):
        self.bound = host
        self.files = page_files()
        self.studio: Studio | None = None
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise UserError(f"--host {host}: no such address on this machine; use 127.0.0.1") from None
            hint = (
                "is in use; give another"
                if error.errno == errno.EADDRINUSE
                else f"cannot be used ({error.strerror}); give another"
            )
            other = port + 1 if port < MOST_PORT else DEFAULT_PORT
            raise UserError(f"--port {port}: {hint}, such as --port {other}") from None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return ipaddress.ip_address(self.server_address[0]).is_loopback

    @property
    def address(self) -> str:
        """Of the page, on this machine."""
        host, port = self.server_address[:2]
        if ipaddress.ip_address(host).is_unspecified:
            host = "localhost"
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def server_bind(self) -> None:
        """Without the look-up of the full name of the host, which can take seconds and is not needed."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request, client_address) -> None:
        """A browser that went away is no error."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: DemoServer
    protocol_version = "HTTP/1.1"
    timeout = STALLED_SECONDS
    server_version, sys_version = f"espnet2-sop/{__version__}", ""
    disable_nagle_algorithm = True  # an event is one short line, and shall not wait for the next
    unread = False  # whether the browser may still be uploading
    error_message_format, error_content_type = "%(message)s\n", "text/plain; charset=utf-8"

    def do_GET(self) -> None:
        """The page and its files, the state, and the examples."""
        if not self._is_from_here():
            return
        path = self.path.partition("?")[0]
        studio = self.server.studio
        example = EXAMPLE.fullmatch(path)
        if path in self.server.files:
            self._reply(200, *self.server.files[path])
        elif path == "/state":
            self._reply_json(200, studio.state())
        elif example and int(example[1]) < len(studio.examples):
            file = studio.examples[int(example[1])]
            try:
                self._reply(200, EXAMPLE_TYPES[file.suffix.lower()], file.read_bytes())
            except OSError as error:
                self._refuse(404, f"{file.name}: cannot be read ({error.strerror})")
        else:
            self._refuse(404, "there is nothing at this address")

    def do_POST(self) -> None:
        """A recording to transcribe; the reply is a stream of events."""
        self.unread = True
        if not self._is_from_here():
            return
        path, _, query = self.path.partition("?")
        if path != "/transcribe":
            return self._refuse(404, "there is nothing at this address")
        data = self._body()
        if data is None:
            return
        fields = parse_qs(query)
        mode, name = (fields.get(key, [""])[0] for key in ("mode", "name"))
        self._transcribe(data, mode or self.server.studio.modes[0], plain_name(name))

    def _is_from_here(self) -> bool:
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if not may_name_this_server(host, self.server.bound):
            self._refuse(403, "open the page as http://localhost or by the IP address of this machine")
        elif self.command == "POST" and origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            self._refuse(403, "pages of other origins may not send audio here")
        else:
            return True
        return False

    def _body(self) -> bytes | None:
        """What was uploaded; None if it was refused or is not all there."""
        length, most = self.headers.get("Content-Length", ""), self.server.studio.max_bytes
        if not (length.isascii() and length.isdigit()):
            self._refuse(411, "the length of the audio has to be given (Content-Length)")
        elif int(length) > most:
            self._refuse(413, f"the file has {int(length) / 1e6:.0f} MB, at most {most / 1e6:.0f} MB are taken; cut it")
        else:
            data = self.rfile.read(int(length))
            self.unread = False
            if len(data) == int(length):
                return data
            self.close_connection = True
        return None

    def _transcribe(self, data: bytes, mode: str, name: str) -> None:
        """Answers with one JSON event a line as they come, or with an error if there is one before the first."""
        started = False

        def send(event: Event) -> None:
            nonlocal started
            if not started:
                started = True
                self._start(200, {"Content-Type": "application/x-ndjson; charset=utf-8", "Connection": "close"})
            self.wfile.write(json.dumps(event).encode() + b"\n")

        try:
            self.server.studio.run(data, mode, name, send)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            status, message = explain(error)
            if started:
                send({"event": "error", "error": message})
            else:
                self._refuse(status, message)

    def _refuse(self, status: int, message: str) -> None:
        """One line of why, and the end of the connection; what is still being uploaded is read and dropped."""
        self._reply_json(status, {"error": message}, {"Connection": "close"})
        if not self.unread:
            return
        self.connection.settimeout(1)
        until = time.monotonic() + LINGER_SECONDS
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while time.monotonic() < until and self.rfile.read1(65536):
                pass

    def _reply_json(self, status: int, content: dict, headers: dict[str, str] | None = None) -> None:
        self._reply(status, "application/json; charset=utf-8", json.dumps(content).encode(), headers)

    def _reply(self, status: int, kind: str, content: bytes, headers: dict[str, str] | None = None) -> None:
        self._start(status, {"Content-Type": kind, "Content-Length": str(len(content))} | (headers or {}))
        self.wfile.write(content)

    def _start(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (HEADERS | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: who spoke to the model is not written down."""


def explain(error: Exception) -> tuple[int, str]:
    """HTTP status and one line for what went wrong; what nobody foresaw is printed with its traceback."""
    if isinstance(error, UserError):
        return 415 if isinstance(error, Unreadable) else 400, str(error)
    if isinstance(error, Full):
        return 503, "too many are waiting; try again in a moment"
    traceback.print_exception(error)
    return 500, f"the model failed ({type(error).__name__}); the terminal of espnet2-sop demo says more"


def plain_name(name: str) -> str:
    """A file name without its extension and without anything that could matter to a file system or a format."""
    return re.sub(r"[^\w-]+", "_", re.sub(r"\.\w{1,5}$", "", name)).strip("_")[:80] or "recording"

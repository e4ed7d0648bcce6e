"""A real HTTP server on the loopback that misbehaves as told: it breaks off, lies, redirects, refuses ranges."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PIECE = 8192


@dataclass
class Manners:
    """What is served, and how badly.

    Args:
        files: path → content; anything else is 404.
        ranges: answers range requests.
        etag: sent, and honoured in If-Range.
        break_after: per answer in turn, bytes after which the connection is cut; None serves to the end.
        statuses: per answer in turn, a status to give instead of the file; 200 serves it.
        stated_length: the Content-Length to claim; None is the true one, -1 sends none.
        redirect: path → address.
        pause_s: between pieces, so that somebody can be killed midway.
        seen: (method, path, headers) of every request.
    """

    files: dict[str, bytes]
    ranges: bool = True
    etag: str = ""
    break_after: list[int | None] = field(default_factory=list[int | None])
    statuses: list[int] = field(default_factory=list[int])
    stated_length: int | None = None
    redirect: dict[str, str] = field(default_factory=dict[str, str])
    pause_s: float = 0.0
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list[tuple[str, str, dict[str, str]]])
    url: str = ""

    @property
    def asked_from(self) -> list[str]:
        """The Range header of each request, "" where there was none."""
        return [headers.get("range", "") for _method, _path, headers in self.seen]


class _Handler(BaseHTTPRequestHandler):
    manners: Manners

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it
        """Keeps quiet."""

    def do_GET(self) -> None:
        manners = self.manners
        manners.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        status = manners.statuses.pop(0) if manners.statuses else 200
        if self.path in manners.redirect:
            self.send_response(302)
            self.send_header("Location", manners.redirect[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path = re.sub(r"^https?://[^/]+", "", self.path)  # a proxy is asked for whole addresses
        if status != 200 or path not in manners.files:
            self.send_error(status if status != 200 else 404)
            return
        self._send(manners.files[path])

    def _send(self, content: bytes) -> None:
        manners = self.manners
        start = self._start(len(content))
        if start is None:
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        rest = content[start:]
        self.send_response(206 if start else 200)
        if self.path.endswith("/"):
            self.send_header("Content-Type", "text/html")  # without it pip reads no page
        length = len(rest) if manners.stated_length is None else manners.stated_length
        if length >= 0:
            self.send_header("Content-Length", str(length))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if manners.etag:
            self.send_header("ETag", manners.etag)
        self.end_headers()
        cut = manners.break_after.pop(0) if manners.break_after else None
        self.close_connection = True
        for at in range(0, len(rest), PIECE):
            if cut is not None and at >= cut:
                self.connection.close()
                return
            self.wfile.write(rest[at : at + PIECE])
            if manners.pause_s:
                time.sleep(manners.pause_s)

    def _start(self, size: int) -> int | None:
        """Where to begin; None when the range lies behind the end."""
        manners = self.manners
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked is None or not manners.ranges:
            return 0
        condition = self.headers.get("If-Range")
        if condition is not None and condition != manners.etag:
            return 0
        return int(asked[1]) if int(asked[1]) < size else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is part of the test."""


@contextmanager
def serving(manners: Manners) -> Generator[Manners]:
    """Serves on a free port of the loopback until the block ends; `manners.url` is the address."""
    handler = type("Handler", (_Handler,), {"manners": manners})
    server = _Server(("127.0.0.1", 0), handler)
    manners.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield manners
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

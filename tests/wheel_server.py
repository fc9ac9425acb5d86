"""A server of wheels on loopback that sends pieces, breaks off, and promises metadata it lacks."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@dataclass
class WheelServer:
    """A running server and how it behaves."""

    url: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    """HTML by the path of the page: ``/simple/acme/``."""
    media_type: str = "text/html"
    ranges: bool = True
    """Whether it sends pieces of files."""
    cut: int | None = None
    """Bytes after which it breaks a wheel off."""
    version: str = "1"
    """By which a client knows that a file is still the same."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and Range of each request for a file."""
    sent: int = 0
    """Bytes of wheels."""


@contextmanager
def serve_wheels(directory: Path) -> Iterator[WheelServer]:
    """Serve the files of a directory under any path."""
    served = WheelServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if page := served.pages.get(self.path):
                return self.answer(200, page, {"Content-Type": served.media_type})
            file = directory / unquote(self.path).rpartition("/")[2]
            served.asked.append((self.path, self.headers.get("Range", "")))
            return self.wheel(file.read_bytes()) if file.is_file() else self.answer(404, b"", {})

        def do_HEAD(self) -> None:
            self.answer(404, b"", {})

        def wheel(self, content: bytes) -> None:
            headers = {"ETag": f'"{served.version}"'}
            same = self.headers.get("If-Range", headers["ETag"]) == headers["ETag"]
            wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            if not (wanted and served.ranges and same):
                return self.answer(200, content, headers)
            start = int(wanted[1]) if wanted[1] else max(0, len(content) - int(wanted[2]))
            end = int(wanted[2]) + 1 if wanted[1] and wanted[2] else len(content)
            headers["Content-Range"] = f"bytes {start}-{min(end, len(content)) - 1}/{len(content)}"
            return self.answer(206, content[start:end], headers)

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                part = body if served.cut is None or "ETag" not in headers else body[: served.cut]
                served.sent += len(part) if "ETag" in headers else 0
                self.wfile.write(part)
                self.close_connection = len(part) < len(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

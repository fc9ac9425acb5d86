"""The index on loopback that uv resolves against: it serves a catalogue and nothing else."""

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fleetwheel.sources.catalogue import Catalogue, key_of
from fleetwheel.sources.wheel import Wheel

JSON = "application/vnd.pypi.simple.v1+json"
BACKLOG = 128
"""Connections that may wait: uv opens some fifty at once."""


class _Server(ThreadingHTTPServer):
    request_queue_size = BACKLOG
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing when uv has ended, and with it the connection."""


@contextmanager
def served_index(catalogue: Catalogue) -> Iterator[str]:
    """Serve a catalogue, and give the address of the index.

    The address holds a secret, so that no other user of this machine reads private names there.
    Only pages and metadata are served; uv fetches no wheel while it resolves.
    """
    secret = secrets.token_urlsafe(16)
    server = _Server(("127.0.0.1", 0), _handler(catalogue, secret))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{secret}/simple/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(catalogue: Catalogue, secret: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            match self.path.strip("/").split("/"):
                case [given, "simple", name] if secrets.compare_digest(given, secret):
                    self.send(_page(catalogue, name, secret), JSON)
                case [given, "files", key, _] if secrets.compare_digest(given, secret):
                    wheel = catalogue.wheel(key) if self.path.endswith(".metadata") else None
                    self.send(catalogue.metadata(wheel) if wheel else None, "text/plain")
                case _:
                    self.send(None, "text/plain")

        def send(self, body: bytes | None, media_type: str) -> None:
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def key_in(url: str) -> str:
    """Return the key of the wheel that an address of the index stands for."""
    return url.rpartition("/")[0].rpartition("/")[2]


def _page(catalogue: Catalogue, name: str, secret: str) -> bytes | None:
    offer = catalogue.offer(name)
    if not offer.wheels:
        return None
    files = [_entry(wheel, secret) for wheel in offer.wheels]
    return json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files}).encode()


def _entry(wheel: Wheel, secret: str) -> dict[str, Any]:
    """Return what uv is told of a wheel.

    uv would fetch a wheel without a hash for that alone. The key stands in for the hash of each:
    no wheel is ever installed by it, the lock gets the true one.
    """
    entry: dict[str, Any] = {
        "filename": wheel.filename,
        "url": f"/{secret}/files/{key_of(wheel)}/{wheel.filename}",
        "hashes": {"sha256": key_of(wheel)},
        "core-metadata": True,
    }
    entry |= {"requires-python": wheel.requires_python} if wheel.requires_python else {}
    entry |= {"size": wheel.size} if wheel.size else {}
    return entry | ({"upload-time": wheel.uploaded.isoformat()} if wheel.uploaded else {})

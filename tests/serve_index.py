"""A wheel index on loopback in the layout of the official one, with the files on a second port."""

import base64
import hashlib
import json
import socket
import ssl
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from packaging.utils import parse_wheel_filename

JSON = "application/vnd.pypi.simple.v1+json"


class Reply(NamedTuple):
    """What the server sends for one path."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {"Content-Type": "text/html"}
    delay: float = 0
    """Seconds before it is sent."""


class Asked(NamedTuple):
    """One request that the server has had."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass
class Index:
    """A running index: where it is, what it holds and what it was asked."""

    url: str
    """The index without a variant: ``http://127.0.0.1:PORT/whl``."""
    files_url: str
    """The second address, where the wheels are."""
    variants: Mapping[str, Sequence[Path]]
    as_json: bool = False
    """Whether PEP 691 JSON is sent to those who accept it."""
    login: str | None = None
    """``user:password`` that every request for a page must bring."""
    missing: int = 404
    """Status of a page or file that is not there; 403 on the official index."""
    replies: dict[str, Reply] = field(default_factory=dict)
    """Paths with an answer of their own, such as a redirect or a broken page."""
    asked: list[Asked] = field(default_factory=list)

    def with_login(self, login: str) -> str:
        """Return ``url`` with credentials in it."""
        return self.url.replace("://", f"://{login}@")

    def pages(self) -> list[str]:
        """Return the paths of the pages that were asked for."""
        return [asked.path for asked in self.asked if asked.method == "GET"]


@contextmanager
def serve_index(
    variants: Mapping[str, Sequence[Path]],
    *,
    as_json: bool = False,
    login: str | None = None,
    tls: Path | None = None,
    one_address: bool = False,
) -> Iterator[Index]:
    """Serve wheels by variant: ``{"cpu": [Path("torch-2.13.0+cpu-...whl")]}``.

    As on the official index an unknown variant gets the wheels of every variant. ``tls`` is a file
    with a key and a certificate for 127.0.0.1: the pages, not the files, then come by HTTPS.
    ``one_address`` serves the files, behind the login, beside the pages, as a private index does.
    """
    with ExitStack() as stack:
        index = Index("", "", variants, as_json, login)
        pages = stack.enter_context(_serve(index, _private if one_address else _page, tls))
        index.url = f"{pages}/whl"
        index.files_url = pages if one_address else stack.enter_context(_serve(index, _wheel))
        yield index


def silent_listener() -> socket.socket:
    """Return a server that takes connections and never says a word."""
    return socket.create_server(("127.0.0.1", 0))


def address_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def callers(listener: socket.socket) -> int:
    """Return how many have connected to a silent server, which takes none of them afterwards."""
    listener.setblocking(False)
    found = 0
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            found += 1
    return found


@contextmanager
def silent_server() -> Iterator[str]:
    """Yield the address of a server that takes connections and never says a word."""
    with silent_listener() as listener:
        yield address_of(listener)


def _private(index: Index, path: str, headers: Mapping[str, str]) -> Reply:
    """Answer pages and files, to those who bring the login."""
    if index.login and headers.get("Authorization") != _basic(index.login):
        return Reply(401)
    return (_wheel if ".whl" in path else _page)(index, path, headers)


def _page(index: Index, path: str, headers: Mapping[str, str]) -> Reply:
    """Answer ``/whl/<variant>/<project>/``."""
    if index.login and headers.get("Authorization") != _basic(index.login):
        return Reply(401)
    match path.strip("/").split("/"):
        case ["whl", variant, project]:
            everything = [wheel for wheels in index.variants.values() for wheel in wheels]
            listed = index.variants.get(variant, everything)
            wheels = [w for w in listed if parse_wheel_filename(w.name)[0] == project]
        case _:
            wheels = []
    if not wheels:
        return Reply(index.missing)
    if index.as_json and JSON in headers.get("Accept", ""):
        return Reply(200, _json(index, project, wheels), {"Content-Type": JSON})
    links = "".join(_link(index, wheel) for wheel in wheels)
    body = f"<!DOCTYPE html>\n<html><body>\n<h1>Links for {project}</h1>\n{links}</body></html>\n"
    return Reply(200, body.encode())


def _wheel(index: Index, path: str, headers: Mapping[str, str]) -> Reply:
    """Answer a wheel, or the metadata beside it (PEP 658)."""
    name = unquote(path).rpartition("/")[2]
    for wheel in (wheel for wheels in index.variants.values() for wheel in wheels):
        if name == wheel.name:
            return Reply(200, wheel.read_bytes(), {"Content-Type": "binary/octet-stream"})
        if name == f"{wheel.name}.metadata":
            return Reply(200, _metadata(wheel), {"Content-Type": "binary/octet-stream"})
    return Reply(index.missing)


def _link(index: Index, wheel: Path) -> str:
    metadata = f"sha256={_sha256(_metadata(wheel))}"
    return (
        f'<a href="{_address(index, wheel)}#sha256={_sha256(wheel.read_bytes())}"'
        f' data-dist-info-metadata="{metadata}" data-core-metadata="{metadata}">'
        f"{wheel.name}</a><br/>\n"
    )


def _json(index: Index, project: str, wheels: Sequence[Path]) -> bytes:
    files = [
        {
            "filename": wheel.name,
            "url": _address(index, wheel),
            "hashes": {"sha256": _sha256(wheel.read_bytes())},
            "size": wheel.stat().st_size,
            "core-metadata": {"sha256": _sha256(_metadata(wheel))},
        }
        for wheel in wheels
    ]
    page = {"meta": {"api-version": "1.1"}, "name": project, "versions": [], "files": files}
    return json.dumps(page).encode()


def _address(index: Index, wheel: Path) -> str:
    return f"{index.files_url}/whl/{quote(wheel.name)}"


def _metadata(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return archive.read(name)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _basic(login: str) -> str:
    return f"Basic {base64.b64encode(login.encode()).decode()}"


@contextmanager
def _serve(
    index: Index,
    answer: Callable[[Index, str, Mapping[str, str]], Reply],
    tls: Path | None = None,
) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.reply()

        def do_HEAD(self) -> None:
            self.reply()

        def reply(self) -> None:
            headers = dict(self.headers)
            index.asked.append(Asked(self.command, self.path, headers))
            reply = index.replies.get(self.path) or answer(index, self.path, headers)
            time.sleep(reply.delay)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(reply.body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A list of one Python, and the web server of a lab that has it, as uv installs Pythons from."""

import functools
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def serving(directory: Path, address: str) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(directory))
    with ThreadingHTTPServer((address, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{address}:{server.server_port}"
        server.shutdown()


def write_list(archive: Path, url: str, version: str, os: str, arch: str, libc: str) -> str:
    """Write the list beside a packed Python, and return the address of the list."""
    major, minor, patch = map(int, version.split("."))
    entry = {
        "name": "cpython",
        "arch": {"family": arch, "variant": None},
        "os": os,
        "libc": libc,
        "major": major,
        "minor": minor,
        "patch": patch,
        "prerelease": "",
        "url": f"{url}/{archive.name}",
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "variant": None,
        "build": None,
    }
    content = json.dumps({f"cpython-{version}-{os}-{arch}-{libc}": entry})
    archive.with_name("pythons.json").write_text(content)
    return f"{url}/pythons.json"

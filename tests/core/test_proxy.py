"""Hosts behind a proxy, and sources whose certificate a lab's own authority signs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fleetwheel.delivery.proxy import variables
from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations._delivery import places
from tests.core.test_generation import building, run
from tests.small_wheels import lock_of, make_wheel
from tests.upstream import make_certificate, upstream


@contextmanager
def proxy(wheels: Path) -> Iterator[tuple[str, list[str]]]:
    """Run a proxy that has the files of every host; give its address, and what it is asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            content = (wheels / urlsplit(self.path).path.rpartition("/")[2]).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_wheels_come_through_the_proxy(root: Path, tmp_path: Path) -> None:
    """The wheel's own host does not exist."""
    wheel = make_wheel(tmp_path / "wheels", "alpha", "1.0")
    lock = lock_of(wheel).replace(wheel.as_uri(), f"http://wheels.invalid/{wheel.name}")
    with proxy(wheel.parent) as (address, asked):
        answer = run("build", root, **building(lock, environment=variables(address)))
    assert answer["ok"], answer
    assert asked == [f"http://wheels.invalid/{wheel.name}"]


def test_a_source_signed_by_the_authority_that_came_along(root: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", "alpha", "1.0+cpu")
    key, authority = make_certificate(tmp_path)
    with upstream(wheel.parent, key) as source:
        address = f"{source.url}/files/alpha-1.0%2Bcpu-py3-none-any.whl"
        lock = lock_of(wheel).replace(wheel.as_uri(), address)
        refused = run("build", root, **building(lock))
        assert "certificate" in refused["error"], refused
        answer = run("build", root, **building(lock, certificates=authority.read_text()))
    assert answer["ok"], answer


def test_what_is_near_is_reached_without_it() -> None:
    said = variables("http://proxy:3128", ["mirror"])
    assert said["https_proxy"] == said["HTTPS_PROXY"] == "http://proxy:3128"
    assert said["no_proxy"].split(",")[-1] == "mirror"
    assert variables(None, ["mirror"]) == {}


def test_what_a_host_has_to_reach() -> None:
    urls = ["https://a.example/x.whl", "file:///y.whl", "https://u:p@b.example:8/x.whl"]
    assert places(Settings(), urls) == ("https://a.example", "https://b.example:8")
    assert places(Settings(proxy="http://proxy:3128"), urls) == ("http://proxy:3128",)
    assert places(Settings(proxy="http://proxy:3128"), urls[1:2]) == ()


@pytest.mark.parametrize(
    "value", ["proxy:3128", "http://ada:s3cret@proxy", "http://a b", "socks5://a"]
)
def test_what_is_no_proxy(value: str) -> None:
    with pytest.raises(FleetwheelError, match="no proxy") as caught:
        Settings.from_data({"proxy": value})
    assert "s3cret" not in str(caught.value)

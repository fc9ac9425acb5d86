"""The probe that says what a host cannot connect to, run as it runs there."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fleetwheel.connection import remote


@pytest.fixture
def server() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def unreached(*places: str, **environment: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", remote.BOOTSTRAP],
        input=remote.document("reach", {"places": places, "seconds": 5}),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["ok"]
    found: dict[str, str] = answer["unreached"]
    return found


def test_only_what_cannot_be_reached_is_named(server: int) -> None:
    there, closed = f"http://127.0.0.1:{server}", "https://127.0.0.1:1"
    nowhere = "https://wheels.invalid"
    assert unreached(there) == {}
    found = unreached(there, closed, nowhere)
    assert found.keys() == {closed, nowhere}
    assert "refused" in found[closed]
    assert found[nowhere]


def test_a_host_with_a_proxy_of_its_own_is_believed() -> None:
    closed = "http://127.0.0.1:1"
    assert unreached(closed, http_proxy="http://127.0.0.1:2") == {}
    assert unreached(closed, https_proxy="http://127.0.0.1:2").keys() == {closed}

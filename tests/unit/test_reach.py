"""The action that says what a host cannot connect to, run as it runs there."""

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import node_program


@pytest.fixture
def server() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def unreached(tmp_path: Path, *places: str, **environment: str) -> dict[str, str]:
    given = {"places": places, "seconds": 5}
    program = node_program.unpacked(tmp_path)
    done = node_program.run(sys.executable, program, "reach", given, env=environment)
    answer = json.loads(done.stdout)
    assert answer["ok"]
    found: dict[str, str] = answer["unreached"]
    return found


def test_only_what_cannot_be_reached_is_named(server: int, tmp_path: Path) -> None:
    there, closed = f"http://127.0.0.1:{server}", "https://127.0.0.1:1"
    nowhere = "https://wheels.invalid"
    assert unreached(tmp_path, there) == {}
    found = unreached(tmp_path, there, closed, nowhere)
    assert found.keys() == {closed, nowhere}
    assert "refused" in found[closed]
    assert found[nowhere]


def test_a_host_with_a_proxy_of_its_own_is_believed(tmp_path: Path) -> None:
    closed = "http://127.0.0.1:1"
    assert unreached(tmp_path, closed, http_proxy="http://127.0.0.1:2") == {}
    assert unreached(tmp_path, closed, https_proxy="http://127.0.0.1:2").keys() == {closed}

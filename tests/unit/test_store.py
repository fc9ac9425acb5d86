"""Downloads that break: they go on where they stopped, or begin again, and end some time."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import store, web
from fleetwheel.sources.configured import pip_settings
from tests.small_wheels import make_wheel
from tests.wheel_server import WheelServer, serve_wheels

pytestmark = pytest.mark.usefixtures("quick_pip")


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_CERT", raising=False)
    monkeypatch.setattr(web, "BACKOFF_S", 0)
    pip_settings.cache_clear()
    web.forget_pages()
    yield make_wheel(tmp_path, "torch", "2.13.0", files={"ballast": os.urandom(500_000).hex()})
    pip_settings.cache_clear()
    web.forget_pages()


@pytest.fixture
def server(wheel: Path) -> Iterator[WheelServer]:
    with serve_wheels(wheel.parent) as running:
        yield running


def fetched(server: WheelServer, wheel: Path) -> bytes:
    url = f"{server.url}/files/{wheel.name}"
    return store.fetch(url, {store.sha256(wheel)}).read_bytes()


def test_what_broke_off_goes_on_where_it_stopped(server: WheelServer, wheel: Path) -> None:
    server.cut = 300_000
    assert fetched(server, wheel) == wheel.read_bytes()
    whole, kept = wheel.stat().st_size, 4 * web.CHUNK_BYTES
    assert [wanted for _, wanted in server.asked] == [
        "",
        *(f"bytes={start}-" for start in range(kept, whole, kept)),
    ]
    assert server.sent < whole + len(server.asked) * web.CHUNK_BYTES


def test_a_file_that_changed_meanwhile_begins_again(
    server: WheelServer, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.cut = 300_000
    append = web._append

    def changed(*arguments: object) -> None:
        try:
            append(*arguments)  # type: ignore[arg-type]
        finally:
            server.version, server.cut = "2", None

    monkeypatch.setattr(web, "_append", changed)
    assert fetched(server, wheel) == wheel.read_bytes()
    assert server.sent == 300_000 + wheel.stat().st_size


def test_a_server_that_sends_no_pieces_is_asked_for_all_again(
    server: WheelServer, wheel: Path
) -> None:
    server.ranges, server.cut = False, 300_000
    with pytest.raises(FleetwheelError, match="stops halfway"):
        fetched(server, wheel)
    assert len(server.asked) == 1 + web.RETRIES


def test_a_transfer_without_a_byte_is_given_up(server: WheelServer, wheel: Path) -> None:
    server.cut = 0
    with pytest.raises(FleetwheelError, match="stops halfway"):
        fetched(server, wheel)
    assert len(server.asked) == 1 + web.RETRIES


def test_what_is_not_there_is_asked_for_once(server: WheelServer, wheel: Path) -> None:
    with pytest.raises(FleetwheelError, match="HTTP status 404"):
        store.fetch(f"{server.url}/files/gone-1.0-py3-none-any.whl", {"0" * 64})
    assert len(server.asked) == 1

"""A private index: its password reaches uv, and no lock, log or command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwheel.lock import locking
from fleetwheel.sources import web
from fleetwheel.sources.configured import uv_credentials
from fleetwheel.sources.wheel import Source
from tests.core.test_generation import building, run
from tests.samples import CPU_HOST, REQUEST, choice, target_of
from tests.serve_index import Index, serve_index
from tests.small_wheels import make_wheel

LOGIN = "lab:s3cret"


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Index]:
    wheels = [
        make_wheel(tmp_path, "torch", "2.13.0+cpu", requires=("numpy",)),
        make_wheel(tmp_path, "numpy", "2.4.0"),
    ]
    with serve_index({"cpu": wheels}, login=LOGIN, one_address=True) as index:
        yield index


def source(index: Index) -> Source:
    return Source(name="lab", url=f"{index.with_login(LOGIN)}/cpu/")


def test_lock_and_install_with_the_password_of_the_source(private: Index, root: Path) -> None:
    web.forget_pages()
    lab = source(private)
    chosen, target = choice(lab), target_of(CPU_HOST)
    lock = locking.lock_of(locking.pick(chosen, target, [lab]), chosen, target, REQUEST)
    assert lock.packages == {"torch": "2.13.0+cpu", "numpy": "2.4.0"}
    assert "s3cret" not in lock.text

    refused = run("build", root, **building(lock.text))
    assert not refused["ok"]
    assert "user name and password" in refused["hint"]

    login = uv_credentials([lab], lock.urls.values())
    assert run("build", root, **building(lock.text, environment=login))["ok"]
    for path in root.rglob("*"):
        if path.is_file() and "cache" not in path.parts and path.name != "uv":
            assert b"s3cret" not in path.read_bytes(), path

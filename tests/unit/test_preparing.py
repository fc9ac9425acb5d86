"""What a deploy takes to a host, before it is asked of it: whose login is used, which file is sent.

A dry run does as much, and refuses what the run would refuse.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.context import ctx_host

from fleetwheel.delivery import uv_binary
from fleetwheel.deploy.plan import Plan
from fleetwheel.deploy.record import State
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Profile
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock.lock import Lock, from_copy
from fleetwheel.operations import _planning
from fleetwheel.operations._deployment import Deployment, Transfer
from fleetwheel.operations._transfer import prepare_transfer
from fleetwheel.sources import store, web
from tests.deploying import hosts
from tests.samples import CPU_HOST, GPU_HOST, PYTHON, REQUEST, host, lock_with
from tests.serve_index import Index, serve_index
from tests.small_wheels import make_wheel

pytestmark = pytest.mark.usefixtures("quick_pip")

LOGIN = "lab:s3cret"
NAME = "@fake/far"
BUILD = Plan(generation="new-1", build=True, smoke=True, activate=True, because="it is new")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    web.forget_pages()
    yield
    web.forget_pages()


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(tmp_path / "wheels", "torch", "2.13.0+cpu")


@pytest.fixture
def private(wheel: Path) -> Iterator[Index]:
    with serve_index({"cpu": [wheel]}, login=LOGIN, one_address=True) as index:
        yield index


def lock_at(url: str, wheel: Path) -> Lock:
    """Return a lock of one wheel at an address."""
    sample = lock_with({"torch": "2.13.0+cpu"})
    text = sample.text.replace("https://example.org/torch-2.13.0+cpu-py3-none-any.whl", url)
    return Lock(name=sample.name, text=text.replace("0" * 64, store.sha256(wheel)))


def prepared(lock: Lock, **data: Any) -> Transfer:
    facts = host(CPU_HOST)
    there = facts.installation.model_copy(update={"uv": uv_binary.VERSION})
    deployment = Deployment(
        environment="default",
        settings=Settings(**data),
        facts=facts.model_copy(update={"installation": there}),
        state=State(),
        request=REQUEST,
        lock=lock,
        python=PYTHON,
        plan=BUILD,
    )
    with hosts(NAME) as state, ctx_host.use(state.inventory.get_host(NAME)):
        return prepare_transfer(deployment)


@pytest.mark.parametrize("way", ["direct", "push"])
def test_a_login_is_used_for_what_this_machine_has_locked(
    private: Index, wheel: Path, way: str
) -> None:
    source = f"{private.with_login(LOGIN)}/cpu/"
    lock = lock_at(f"{private.url}/{wheel.name.replace('+', '%2B')}", wheel)
    found = prepared(lock, sources=(source,), distribution=way)
    assert found.summary == f"0 MB to {'fetch' if way == 'direct' else 'send'}"
    assert found.environment == ({"UV_INDEX": source} if way == "direct" else {})
    assert source in {each.url for each in found.sources}


@pytest.mark.parametrize("way", ["direct", "push"])
def test_no_login_is_used_for_what_a_host_alone_names(
    private: Index, wheel: Path, way: str
) -> None:
    """The host would get it, or a wheel from behind it."""
    source = f"{private.with_login(LOGIN)}/cpu/"
    lock = lock_at(f"{private.url}/{wheel.name.replace('+', '%2B')}", wheel)
    copy = from_copy(lock.text, lock.name)
    with pytest.raises(FleetwheelError, match=r"no login is used.*\n.*relock=true"):
        prepared(copy, sources=(source,), distribution=way)
    assert "Authorization" not in {key for asked in private.asked for key in asked.headers}


def test_a_host_that_names_other_servers_gets_what_is_there_without_a_login(
    private: Index, wheel: Path
) -> None:
    with serve_index({"cpu": [wheel]}) as public:
        url = f"{public.files_url}/{wheel.name.replace('+', '%2B')}"
        copy = from_copy(lock_at(url, wheel).text, "pylock.x.toml")
        found = prepared(copy, sources=(f"{private.with_login(LOGIN)}/cpu/",))
    assert (found.environment, found.sources) == ({}, ())


@pytest.mark.parametrize("data", [{}, {"distribution": "push"}])
def test_a_wheel_that_was_changed_on_this_machine_is_found_before_the_host_is_asked(
    wheel: Path, data: dict[str, Any]
) -> None:
    lock = lock_at(wheel.as_uri(), wheel)
    sources = (str(wheel.parent),)
    assert prepared(lock, sources=sources, **data).delivery.parcels
    web.forget_pages()
    make_wheel(wheel.parent, "torch", "2.13.0+cpu", files={"torch.py": "changed = True"})
    with pytest.raises(FleetwheelError, match="is another file than the one that is asked for"):
        prepared(lock, sources=sources, **data)
    web.forget_pages()
    wheel.unlink()
    with pytest.raises(FleetwheelError, match="is not there"):
        prepared(lock, sources=sources, **data)


@pytest.mark.parametrize(
    ("gpus", "profile", "said"),
    [
        ((0, 1), CPU_HOST, ["gpus: 0, 1 is without effect: the host has no NVIDIA GPU"]),
        ((0,), GPU_HOST, []),
        (None, CPU_HOST, []),
    ],
)
def test_gpus_that_nobody_can_serve_are_mentioned(
    gpus: tuple[int, ...] | None, profile: Profile, said: list[str]
) -> None:
    _, notes = _planning._request("default", Settings(gpus=gpus), host(profile))
    assert list(notes) == said

"""``packages:`` with a wheel's path or address: locked with its hash, all else says what to do."""

import hashlib
from pathlib import Path

import pytest

from fleetwheel.choice.request import Request, read_pins
from fleetwheel.delivery.distribution import parcels
from fleetwheel.errors import FleetwheelError
from fleetwheel.lock import locking
from fleetwheel.lock.lock import Lock
from fleetwheel.lock.unmet import unmet
from fleetwheel.sources.wheel import Source
from tests.samples import CPU_HOST, REQUEST, choice, target_of
from tests.small_wheels import make_wheel
from tests.wheel_server import serve_wheels

ADDRESS = "https://wheels.example/acme_utils-1.0-py3-none-any.whl"
HASH = "0" * 64


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def asked(*packages: str) -> tuple[str, ...]:
    return read_pins(Request(packages=packages)).requirements


@pytest.mark.parametrize(
    "text",
    [
        f"{ADDRESS}#sha256={HASH}",
        f"acme_utils @ {ADDRESS}#sha256={HASH}",
        f"Acme.Utils@{ADDRESS}#sha256={HASH}",
    ],
)
def test_every_way_to_write_one_means_the_same(text: str) -> None:
    assert asked(text) == (f"acme-utils @ {ADDRESS}#sha256={HASH}",)


def test_a_path_is_that_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = (tmp_path / "acme-1.0-py3-none-any.whl").as_uri()
    for text in (f"{tmp_path}/acme-1.0-py3-none-any.whl", "./acme-1.0-py3-none-any.whl", url):
        assert asked(f"{text}#sha256={HASH}") == (f"acme @ {url}#sha256={HASH}",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ADDRESS, "#sha256=HEX behind it"),
        (f"{ADDRESS}#md5=0", "#sha256=HEX behind it"),
        (f"other @ {ADDRESS}#sha256={HASH}", "is no wheel of other"),
        (f"https://me:s3cret@wheels.example/a-1-py3-none-any.whl#sha256={HASH}", "a user name"),
        (f"ftp://wheels.example/acme-1.0-py3-none-any.whl#sha256={HASH}", "pip wheel"),
        (f"https://wheels.example/acme.whl#sha256={HASH}", "no file name of a wheel"),
        ("git+https://git.example/acme.git", "pip wheel --no-deps --wheel-dir DIRECTORY git+"),
        ("acme @ git+https://git.example/acme.git", "pip wheel"),
        ("git+https://me:s3cret@git.example/acme.git", "pip wheel"),
        ("./acme-1.0.tar.gz", "pip wheel"),
        ("/srv/acme", "pip wheel"),
        ("-e .", "pip wheel"),
        ("-r requirements.txt", "list them under packages"),
        (f"torch @ {ADDRESS}#sha256={HASH}", "is no wheel of torch"),
        (
            f"https://wheels.example/torchvision-0.29.0-py3-none-any.whl#sha256={HASH}",
            "comes with torch",
        ),
    ],
)
def test_what_cannot_be_taken_says_what_to_do(text: str, said: str) -> None:
    with pytest.raises(FleetwheelError) as caught:
        asked(text)
    assert said in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.fixture
def sources(tmp_path: Path) -> Source:
    """A directory with torch, numpy and a newer release of what is asked for by path."""
    for name, version in [("torch", "2.13.0+cpu"), ("numpy", "2.4.0"), ("acme_utils", "99.0")]:
        make_wheel(tmp_path / "wheels", name, version)
    return Source(name="wheels", url=str(tmp_path / "wheels"), layout="flat")


def locked(source: Source, *packages: str) -> Lock:
    target = target_of(CPU_HOST, Request(packages=packages))
    chosen = choice(source).model_copy(update={"requirements": target.requirements})
    return locking.lock_of(locking.pick(chosen, target, [source]), chosen, target, REQUEST)


def test_the_wheel_itself_is_locked_and_pushed(sources: Source, tmp_path: Path) -> None:
    own = make_wheel(tmp_path / "own", "acme_utils", "1.0", requires=("numpy",))
    lock = locked(sources, f"{own}#sha256={sha256(own)}")
    assert lock.packages == {"acme-utils": "1.0", "numpy": "2.4.0", "torch": "2.13.0+cpu"}
    assert lock.urls["acme-utils"] == own.as_uri()
    assert own.as_uri() in {parcel.url for parcel in parcels(lock, "direct", here=False)}


def test_a_wrong_hash_is_refused_where_the_lock_is_made(sources: Source, tmp_path: Path) -> None:
    """And so in a dry run too; not by the host that is to install it."""
    own = make_wheel(tmp_path / "own", "acme_utils", "1.0")
    with pytest.raises(FleetwheelError, match="is another file") as caught:
        locked(sources, f"{own}#sha256={HASH}")
    assert sha256(own) in caught.value.message
    assert "under packages:" in caught.value.hint
    with pytest.raises(FleetwheelError, match=r"gone-1\.0-py3-none-any\.whl is not there"):
        locked(sources, f"{tmp_path}/gone-1.0-py3-none-any.whl#sha256={HASH}")


@pytest.mark.usefixtures("quick_pip")
def test_a_wrong_hash_of_a_wheel_on_the_network_too(
    sources: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    own = make_wheel(tmp_path / "own", "acme_utils", "1.0")
    with serve_wheels(own.parent) as server:
        address = f"{server.url}/{own.name}"
        with pytest.raises(FleetwheelError, match="is another file"):
            locked(sources, f"{address}#sha256={HASH}")
        lock = locked(sources, f"{address}#sha256={sha256(own)}")
    assert lock.urls["acme-utils"] == address
    assert len([path for path, _ in server.asked if path.endswith(".whl")]) == 2


def test_a_wheel_may_lie_at_a_long_path(sources: Source, tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a" * 60] * 6)
    own = make_wheel(deep, "acme_utils", "1.0")
    lock = locked(sources, f"{own}#sha256={sha256(own)}")
    assert str(deep) in lock.choice.requirements[0]


def test_another_wheel_under_the_name_is_another_request(sources: Source, tmp_path: Path) -> None:
    own = make_wheel(tmp_path / ("d" * 200) / "a long path", "acme_utils", "1.0")
    lock = locked(sources, f"{own}#sha256={sha256(own)}")
    same = target_of(CPU_HOST, Request(packages=(f"{own}#sha256={sha256(own)}",)))
    other = target_of(CPU_HOST, Request(packages=(f"{own}#sha256={HASH}",)))
    assert unmet(lock, same) == []
    assert [found.key for found in unmet(lock, other)] == ["packages"]

"""Wheels that were sent to a host: placed by hash, installed offline, and dropped in the end."""

import shutil
from pathlib import Path

import pytest

from fleetwheel.delivery.distribution import deliver, parcels
from fleetwheel.lock.lock import Lock
from tests.core.test_generation import activating, building, built, run
from tests.small_wheels import lock_of, make_wheel

A, B, C = (f"{name}-cp311-0123456789ab-1" for name in "abc")


def pushed(root: Path, *wheels: Path) -> dict[str, object]:
    """Return the input of a build to which these wheels are pushed."""
    text = lock_of(*wheels)
    lock = Lock(name="pylock.x.toml", text=text)
    delivery = deliver(lock, str(root), parcels(lock, "push", here=False))
    return building(
        text,
        delivered=delivery.lock,
        wheels={parcel.filename: parcel.sha256 for parcel in delivery.parcels},
        offline=delivery.offline,
    )


@pytest.fixture
def wheels(tmp_path: Path) -> list[Path]:
    return [make_wheel(tmp_path / "wheels", name, "1.0+cpu") for name in ("alpha", "beta")]


def send(root: Path, *wheels: Path) -> None:
    for wheel in wheels:
        shutil.copy(wheel, root / "cache" / "wheels" / "incoming")


def test_a_host_names_what_it_lacks_and_then_installs_offline(
    root: Path, wheels: list[Path]
) -> None:
    names = [wheel.name for wheel in wheels]
    build = pushed(root, *wheels)
    assert run("build", root, **build) == {"ok": True, "missing": names}
    assert not built(root)

    send(root, wheels[0])
    (root / "cache/wheels/incoming" / names[1]).write_bytes(b"cut off")
    assert run("build", root, **build) == {"ok": True, "missing": names[1:]}

    send(root, wheels[1])
    shutil.move(wheels[0].parent, wheels[0].parent.with_name("gone"))
    assert run("build", root, **build) == {"ok": True, "built": A}
    generation = root / "envs" / A
    assert (generation / "pylock.toml").read_text() == build["lock"]
    assert not (generation / "pylock.delivered.toml").exists()
    assert list(generation.glob("lib/python3*/site-packages/beta.py"))


def test_a_second_generation_is_sent_only_what_differs(
    root: Path, wheels: list[Path], tmp_path: Path
) -> None:
    build = pushed(root, *wheels)
    run("build", root, **build)
    send(root, *wheels)
    assert run("build", root, **build)["built"]
    gamma = make_wheel(tmp_path / "wheels", "gamma", "1.0")
    more = pushed(root, *wheels, gamma) | {"id": B}
    assert run("build", root, **more) == {"ok": True, "missing": [gamma.name]}


def test_the_caches_lose_what_no_generation_is_made_of(root: Path, wheels: list[Path]) -> None:
    for id, wheel in zip((A, B), wheels, strict=True):
        build = pushed(root, wheel) | {"id": id}
        run("build", root, **build)
        send(root, wheel)
        assert run("build", root, **build)["ok"]
    assert cached(root) == {"alpha", "beta"}
    assert run("activate", root, **activating(A))["ok"]
    assert cached(root) == {"alpha", "beta"}

    assert run("activate", root, **activating(B, keep=1))["removed"] == [A]
    assert cached(root) == {"beta"}
    assert [path.name for path in root.glob("cache/wheels/*/*")] == [wheels[1].name]

    again = pushed(root, wheels[0]) | {"id": C}
    assert run("build", root, **again)["missing"] == [wheels[0].name]
    send(root, wheels[0])
    assert run("build", root, **again)["built"] == C


def cached(root: Path) -> set[str]:
    """Return the packages that uv's cache has unpacked."""
    return {path.stem for path in root.glob("cache/uv/archive-*/*/*.py")}


def test_uv_refuses_a_wheel_that_is_another_one(root: Path, wheels: list[Path]) -> None:
    build = pushed(root, wheels[0])
    run("build", root, **build)
    send(root, wheels[0])
    text = str(build["delivered"])
    sha256 = next(iter(build["wheels"].values()))  # type: ignore[attr-defined]
    place = root / "cache/wheels" / sha256 / wheels[0].name
    place.parent.mkdir()
    place.write_bytes(wheels[1].read_bytes())
    (root / "cache/wheels/incoming" / wheels[0].name).unlink()
    assert sha256 in text
    answer = run("build", root, **build)
    assert not answer["ok"]
    assert not built(root)

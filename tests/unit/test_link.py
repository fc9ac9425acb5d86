"""The links of environments: which are ours, and what an interrupted change leaves of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from fleetwheel.node import activate as activating
from fleetwheel.node import root as roots
from fleetwheel.node import uninstall as uninstalling
from fleetwheel.node.link import generation_of, leading, tidy
from fleetwheel.node.state import records
from tests.deploying import add_generation
from tests.samples import lock_with, record_of

ID = "2.13.0+cpu-cp311-0123456789ab-1"
RECORD = record_of(lock_with({"torch": "2.13.0+cpu"}), ID).to_json()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    add_generation(tmp_path, ID)
    activate(tmp_path, "default")
    return tmp_path


def activate(root: Path, environment: str) -> None:
    before = records(root).get(environment)
    activating.activate(str(root), ID, environment, RECORD, [], before)


@pytest.mark.parametrize(
    "target",
    [
        "nowhere/{}",
        "/srv/envs/{}",
        "../envs/{}",
        "envs/{}/",
        "envs/..",
        "envs/x/../{}",
        "./envs/{}",
    ],
)
def test_nothing_is_in_use_by_a_link_that_leads_elsewhere(root: Path, target: str) -> None:
    (root / "current").unlink()
    (root / "current").symlink_to(target.format(ID))
    assert generation_of(root, "default") is None
    activate(root, "default")
    assert generation_of(root, "default") == ID


@pytest.mark.parametrize(("target", "id"), [("../envs/{}", ID), ("envs/{}", None), ("/x/{}", None)])
def test_so_it_is_with_the_others(root: Path, target: str, id: str | None) -> None:
    (root / "environments/vision").symlink_to(target.format(ID))
    assert generation_of(root, "vision") == id
    assert leading(root) == {"default": ID, **({"vision": id} if id else {})}


def test_what_others_put_beside_the_links_hinders_nobody(root: Path) -> None:
    place = root / "environments"
    (place / ".git").mkdir()
    (place / ".vision-7").mkdir()
    for name in ("notes", ".notes", ".vision-8", ".state.json-x"):
        (place / name).write_bytes(b"\xff")
    (place / os.fsdecode(b"name\xe9")).symlink_to("nowhere")
    (place / ".theirs").symlink_to("nowhere")
    (root / ".state.json-theirs").touch()
    (place / ".vision-9").symlink_to("nowhere")
    before = {*place.iterdir()} - {place / ".vision-9"}
    tidy(root)
    activate(root, "vision")
    assert {*place.iterdir()} == {*before, place / "vision"}
    assert (root / ".state.json-theirs").exists()


@pytest.mark.parametrize("found", [None, "../envs/x", "/srv/mine"])
def test_any_activation_repairs_the_second_name_of_current(root: Path, found: str | None) -> None:
    alias = root / "environments/default"
    alias.unlink()
    if found:
        alias.symlink_to(found)
    activate(root, "vision")
    assert alias.readlink() == Path("../current")


def test_what_is_no_link_in_its_place_stays(root: Path) -> None:
    alias = root / "environments/default"
    alias.unlink()
    alias.write_text("theirs")
    activate(root, "default")
    assert alias.read_text() == "theirs"


def test_a_host_without_the_default_gets_no_such_name(tmp_path: Path) -> None:
    add_generation(tmp_path, ID)
    activate(tmp_path, "vision")
    assert not (tmp_path / "environments/default").is_symlink()


# The lock


def test_a_lock_file_that_was_removed_meanwhile_is_no_lock(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by an uninstall that ended between the opening and the locking."""
    tries: list[int] = []
    lock = roots._lock

    def late(handle: IO[str]) -> None:
        tries.append(handle.fileno())
        if len(tries) == 1:
            (root / ".lock").unlink()
        lock(handle)

    monkeypatch.setattr(roots, "_lock", late)
    with roots.exclusive(root):
        assert os.path.samestat((root / ".lock").stat(), os.fstat(tries[1]))


def test_an_uninstall_removes_its_lock_before_it_lets_go(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = []

    @contextmanager
    def watched(base: Path) -> Iterator[None]:
        with roots.exclusive(base):
            yield
            there.append((base / ".lock").exists())

    monkeypatch.setattr(uninstalling, "exclusive", watched)
    uninstalling.uninstall(str(root))
    assert there == [False]

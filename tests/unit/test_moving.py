"""Renames that Windows refuses for a while, and what an activation leaves when one never succeeds.

What Windows answers is documented ("System Error Codes", "MoveFileExW"); no NTFS was here.
"""

import os
from pathlib import Path

import pytest

from fleetwheel.node import activate as activating
from fleetwheel.node import link, moving
from fleetwheel.node.link import point_junction, tidy
from fleetwheel.node.moving import move
from fleetwheel.node.root import Failure
from tests.deploying import add_generation, left
from tests.samples import lock_with, record_of, state_of

OLD, NEW = "old-cp311-0123456789ab-1", "new-cp311-0123456789ab-1"
LOCK = lock_with({"torch": "2.13.0+cpu"})
RECORD = record_of(LOCK, NEW)
BEFORE = record_of(LOCK, OLD).to_json()


class HeldError(PermissionError):
    """What Python raises on Windows for a file that another program has open."""

    def __init__(self, winerror: int = 32) -> None:
        super().__init__(13, "The process cannot access the file because it is being used")
        self.winerror = winerror


class Disk:
    """A disk on which some names are held open for a number of tries; time passes by itself."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held: dict[str, int] = {}
        self.error: OSError = HeldError()
        self.now = 0.0
        self.replace = os.replace
        monkeypatch.setattr(moving.os, "replace", self._replace)
        monkeypatch.setattr(moving.time, "sleep", self._sleep)
        monkeypatch.setattr(moving.time, "monotonic", lambda: self.now)

    def _replace(self, source: str, target: str) -> None:
        name = Path(target).name
        if self.held.get(name, 0) > 0:
            self.held[name] -= 1
            raise self.error
        self.replace(source, target)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.mark.parametrize("winerror", [5, 32, 33])
def test_a_file_that_is_let_go_is_replaced(disk: Disk, tmp_path: Path, winerror: int) -> None:
    (tmp_path / "new").write_text("new")
    (tmp_path / "file").write_text("old")
    disk.held, disk.error = {"file": 20}, HeldError(winerror)
    move(tmp_path / "new", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "new"
    assert 0 < disk.now < moving.PATIENCE_S


def test_one_that_is_not_is_named_in_time(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    disk.held = {"file": 10_000}
    with pytest.raises(Failure, match=r"file: for 10 s a program had one of them") as raised:
        move(tmp_path / "new", tmp_path / "file")
    assert "virus scanner" in raised.value.hint
    assert disk.now < moving.PATIENCE_S + 1


def test_what_is_no_open_file_is_not_tried_again(disk: Disk, tmp_path: Path) -> None:
    disk.held, disk.error = {"file": 1}, PermissionError(13, "Permission denied")
    with pytest.raises(PermissionError):
        move(tmp_path / "new", tmp_path / "file")
    assert disk.now == 0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with one generation in use, and a new one."""
    for id in (OLD, NEW):
        add_generation(tmp_path, id)
    activating.activate(str(tmp_path), OLD, "default", BEFORE, [])
    return tmp_path


def test_a_record_that_stays_open_takes_current_back(root: Path, disk: Disk) -> None:
    before = left(root)
    disk.held = {"state.json": 10_000}
    with pytest.raises(Failure, match="state"):
        activating.activate(str(root), NEW, "default", RECORD.to_json(), [], BEFORE)
    assert left(root) == before
    disk.held = {}
    activating.activate(str(root), NEW, "default", RECORD.to_json(), [], BEFORE)
    assert left(root) == (NEW, state_of(RECORD))
    assert not [path.name for path in root.iterdir() if path.name.startswith((".c", ".s"))]


def junction(target: Path, link: Path) -> None:
    """A stand-in for a junction: as with one, ``link`` is a directory to every question."""
    link.symlink_to(target, target_is_directory=True)


def test_a_junction_that_cannot_take_its_place_leaves_the_old_one(
    root: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "create_junction", junction)
    current, tries = root / "current", []

    def refused(source: str, target: str) -> None:
        if Path(target).name == "current" and Path(source).name != ".current-old":
            tries.append(source)
            raise HeldError
        disk.replace(source, target)

    monkeypatch.setattr(moving.os, "replace", refused)
    with pytest.raises(Failure):
        point_junction(current, Path("envs") / NEW, root / ".current-1")
    assert len(tries) > 1
    assert current.resolve().name == OLD
    assert not list(root.glob(".current-*"))


def test_one_that_was_interrupted_between_its_renames_is_put_back(root: Path) -> None:
    (root / "current").rename(root / ".current-old")
    (root / ".current-4711").symlink_to("envs/nowhere")
    (root / ".state.json-4711").write_text("half")
    tidy(root)
    assert (root / "current").resolve().name == OLD
    assert not [*root.glob(".current-*"), *root.glob(".state.json-*")]

"""Who has a file open, as the Restart Manager says it: a stand-in with documented structures."""

import ctypes
import struct
from pathlib import Path
from typing import Any

import pytest

from fleetwheel.node import holders, moving
from fleetwheel.node.holders import ask_restart_manager

NO_RIGHTS = 5


def process_info(number: int, name: str) -> bytes:
    """RM_PROCESS_INFO as restartmanager.h lays it out: 668 bytes."""
    texts = name.encode("utf-16-le").ljust(512, b"\0") + b"\0" * 128
    return struct.pack("<III", number, 1, 2) + texts + struct.pack("<IIIi", 5, 1, 0, 0)


class RestartManager:
    """rstrtmgr.dll: says that the room is too small for more than there is room for."""

    def __init__(self, *processes: bytes, refuses: str = "") -> None:
        self.processes = processes
        self.refuses = refuses
        self.files: list[str] = []
        self.ended = 0

    def RmStartSession(self, session: Any, flags: int, key: Any) -> int:  # noqa: N802
        session._obj.value = 7
        assert (flags, len(key)) == (0, 33)
        return NO_RIGHTS if self.refuses == "session" else 0

    def RmRegisterResources(self, session: Any, count: int, files: Any, *none: Any) -> int:  # noqa: N802
        self.files = list(files)
        assert (session.value, count, none) == (7, len(self.files), (0, None, 0, None))
        return NO_RIGHTS if self.refuses == "files" else 0

    def RmGetList(self, session: Any, needed: Any, count: Any, found: Any, reasons: Any) -> int:  # noqa: N802
        needed._obj.value = len(self.processes)
        if len(self.processes) > count._obj.value:
            return 234
        data = b"".join(self.processes)
        ctypes.memmove(found, data, len(data))
        count._obj.value = len(self.processes)
        reasons._obj.value = 0
        return NO_RIGHTS if self.refuses == "list" else 0

    def RmEndSession(self, session: Any) -> int:  # noqa: N802
        self.ended += session.value == 7
        return 0


def test_the_structure_is_as_long_as_documented() -> None:
    assert ctypes.sizeof(holders.ProcessInfo) == len(process_info(1, "x")) == 668


@pytest.mark.parametrize("count", [0, 1, 8, 9, 40])
def test_all_holders_are_named(count: int) -> None:
    names = [f"Prüfer {number}" for number in range(count)]
    manager = RestartManager(*(process_info(n, name) for n, name in enumerate(names)))
    found = ask_restart_manager(manager, [r"C:\fleet\state.json"])
    assert found == [f"{name} (process {number})" for number, name in enumerate(names)]
    assert (manager.files, manager.ended) == ([r"C:\fleet\state.json"], 1)


@pytest.mark.parametrize(("step", "ended"), [("session", 0), ("files", 1), ("list", 1)])
def test_a_manager_that_refuses_names_nobody(step: str, ended: int) -> None:
    manager = RestartManager(process_info(1, "x"), refuses=step)
    assert ask_restart_manager(manager, ["x"]) == []
    assert manager.ended == ended


def test_who_holds_a_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = PermissionError(13, "is being used")
    monkeypatch.setattr(moving, "holders", lambda paths: ["MsMpEng (process 4711)"] * 2)
    failure = moving.held(tmp_path / "new", tmp_path / "old", error)
    assert "for 10 s MsMpEng (process 4711) had one of them" in str(failure)
    assert "Resource Monitor" not in failure.hint
    monkeypatch.setattr(moving, "holders", lambda paths: [])
    failure = moving.held(tmp_path / "new", tmp_path / "old", error)
    assert "for 10 s a program had one of them" in str(failure)
    assert "Resource Monitor" in failure.hint


def test_of_a_directory_its_programs_are_asked(tmp_path: Path) -> None:
    """Restart Manager takes no directories, and 16 000 files would take it long."""
    for name in ("torch/lib/c10.DLL", "python.exe", "a.py", "b.pyd"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = sorted(path.name for path in holders.files_of(tmp_path))
    assert found == ["b.pyd", "c10.DLL", "python.exe"]
    assert list(holders.files_of(tmp_path / "a.py")) == [tmp_path / "a.py"]

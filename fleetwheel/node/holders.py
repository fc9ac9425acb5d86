"""Which programs have a file open on Windows: its Restart Manager knows.

Source: "RmGetList", "RM_PROCESS_INFO" and "System Error Codes" in Microsoft's documentation.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

MORE_DATA = 234
KEY_CHARACTERS = 33
"""CCH_RM_SESSION_KEY and the end of the string."""
ASKED = 500
"""Files of a directory that are asked for; Restart Manager knows files alone."""
PROGRAMS = (".dll", ".exe", ".pyd")


class ProcessInfo(ctypes.Structure):
    """RM_PROCESS_INFO."""

    _fields_ = (
        ("process_id", ctypes.c_uint32),
        ("started", ctypes.c_uint32 * 2),
        ("name", ctypes.c_uint16 * 256),
        ("service", ctypes.c_uint16 * 64),
        ("kind", ctypes.c_uint32),
        ("status", ctypes.c_uint32),
        ("session", ctypes.c_uint32),
        ("restartable", ctypes.c_int32),
    )


def holders(paths: Iterable[Path]) -> list[str]:
    """Return who has one of these files, or a program below them, open: ``python (process 4711)``.

    Nobody where Windows does not say.
    """
    if sys.platform != "win32":
        return []
    library = Path(os.environ["SYSTEMROOT"]) / "System32" / "rstrtmgr.dll"
    try:
        files = [str(file) for path in paths for file in islice(files_of(path), ASKED)]
        return ask_restart_manager(ctypes.CDLL(str(library)), files)
    except OSError:
        return []


def files_of(path: Path) -> Iterable[Path]:
    """Return what is asked for: the file, or the programs below a directory."""
    if path.is_file():
        return [path]
    return (each for each in path.rglob("*") if each.suffix.lower() in PROGRAMS)


def ask_restart_manager(library: Any, files: list[str]) -> list[str]:
    """Return who has files open, as rstrtmgr.dll, ``library``, says; nobody where it fails."""
    session, key = ctypes.c_uint32(), ctypes.create_unicode_buffer(KEY_CHARACTERS)
    if library.RmStartSession(ctypes.byref(session), 0, key):
        return []
    try:
        names = (ctypes.c_wchar_p * len(files))(*files)
        if library.RmRegisterResources(session, len(files), names, 0, None, 0, None):
            return []
        return _listed(library, session)
    finally:
        library.RmEndSession(session)


def _listed(library: Any, session: ctypes.c_uint32) -> list[str]:
    room = 8
    while True:
        found = (ProcessInfo * room)()
        needed, count, reasons = ctypes.c_uint32(), ctypes.c_uint32(room), ctypes.c_uint32()
        failed = library.RmGetList(
            session, ctypes.byref(needed), ctypes.byref(count), found, ctypes.byref(reasons)
        )
        if failed != MORE_DATA or needed.value <= room:
            break
        room = needed.value
    there = [] if failed else found[: count.value]
    return [f"{_text(each.name)} (process {each.process_id})" for each in there]


def _text(characters: ctypes.Array[ctypes.c_uint16]) -> str:
    return bytes(characters).decode("utf-16-le", "replace").partition("\0")[0]

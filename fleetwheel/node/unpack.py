"""Runs the program for hosts where it came along on standard input: nothing of it stays there.

``document``, a global name (see ``collectors/program.py``), has ``archive``, the whole program as a
zip file in base64, ``action`` and ``input``.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import sys
import tempfile
import zipfile
from contextlib import suppress
from typing import Any

MEMORY = "/dev/shm"  # noqa: S108 - mkdtemp makes a directory of its own
"""A host whose disk is full or read-only must be able to run it; but everyone can fill this one."""


def main(document: dict[str, Any]) -> int:
    """Unpack the program for this one run, and return its exit code."""
    os.umask(0o022)  # all users of a host read what it makes, wherever root's own files are closed
    place = unpacked(base64.b64decode(document["archive"]))
    try:
        sys.path.insert(0, place)
        sys.dont_write_bytecode = True
        from fleetwheel.node.actions import perform

        return perform(document["action"], document["input"])
    finally:
        shutil.rmtree(place, ignore_errors=True)
        with suppress(OSError):  # nobody may be left who reads
            sys.stdout.flush()


def unpacked(archive: bytes) -> str:
    """Unpack into a new directory, in memory if there is room, and return it."""
    try:
        return extracted(archive, MEMORY)
    except OSError:
        return extracted(archive, None)


def extracted(archive: bytes, parent: str | None) -> str:
    place = tempfile.mkdtemp("", "fleetwheel-", parent)
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            files.extractall(place)
    except OSError:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return place


if __name__ == "__main__":
    os._exit(main(globals()["document"]))

"""The uv program for a host: the pinned version, out of its own wheel."""

import hashlib
import platform
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import uv

from fleetwheel.errors import FleetwheelError

VERSION = version("uv")


def path(os: str, arch: str) -> Path:
    """Return the program on the controller that runs on such a host."""
    if (os, arch) != (_own(sys.platform), _own(platform.machine())):
        raise FleetwheelError(
            f"there is no uv {VERSION} for {os} {arch} on this controller",
            hint=f"put uv {VERSION} into <root>/bin of the host",
        )
    return Path(uv.find_uv_bin())


def _own(word: str) -> str:
    """Return this machine's word for its system or architecture as a profile has it."""
    words = {"win32": "windows", "darwin": "macos", "amd64": "x86_64", "arm64": "aarch64"}
    return words.get(word.lower(), word)


@cache
def sha256(program: Path) -> str:
    """Hash of a program, which the host compares with what arrived."""
    with program.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

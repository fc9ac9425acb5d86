"""The uv program for a host: the pinned version, out of its own wheel."""

import platform
import re
import sys
import zipfile
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import uv

from fleetwheel.errors import FleetwheelError
from fleetwheel.files import cache_directory
from fleetwheel.sources import store
from fleetwheel.sources.configured import configured_sources
from fleetwheel.sources.survey import Survey, survey
from fleetwheel.sources.wheel import Wheel

VERSION = version("uv")
HASHES = "uv.txt"
"""File beside this one with the hashes of all wheels of this version, as requirements.txt has."""

PLATFORMS = {
    ("linux", "x86_64"): "manylinux_2_17_x86_64",
    ("linux", "aarch64"): "manylinux_2_17_aarch64",
    ("windows", "x86_64"): "win_amd64",
    ("windows", "aarch64"): "win_arm64",
}
"""Platform tag of uv's wheel for each kind of host."""


def path(os: str, arch: str) -> Path:
    """Return the program on the controller that runs on such a host.

    For another kind than the controller's own it comes out of the wheel that pip's sources have,
    once; it then stays in the user's cache. Raises FleetwheelError when no source has it.
    """
    if (os, arch) == (_own(sys.platform), _own(platform.machine())):
        return Path(uv.find_uv_bin())
    program = "uv.exe" if os == "windows" else "uv"
    kept = cache_directory() / f"uv-{VERSION}-{os}-{arch}" / program
    if not kept.exists():
        _unpack(_wheel(os, arch), program, kept)
    return kept


@cache
def uv_sha256(program: Path) -> str:
    """Hash of a program, which the host compares with what arrived."""
    return store.sha256(program)


def name_on_host(program: Path) -> str:
    """Return what a program is called on a host: its version and digest, which facts read."""
    return f"uv-{VERSION}-{uv_sha256(program)[:16]}{program.suffix}"


def _own(word: str) -> str:
    """Return this machine's word for its system or architecture as a profile has it."""
    words = {"win32": "windows", "darwin": "macos", "amd64": "x86_64", "arm64": "aarch64"}
    return words.get(word.lower(), word)


def _wheel(os: str, arch: str) -> Path:
    """Fetch uv's wheel for such a host and return it."""
    tag = PLATFORMS.get((os, arch))
    sources = configured_sources()
    offered = survey(sources, ["uv"]) if tag else Survey()
    found = next((wheel for wheel in offered.wheels if _suits(wheel, tag)), None)
    if found is None:
        words = f"none of pip's sources on this controller has uv {VERSION} for {os} {arch}"
        raise FleetwheelError(
            "\n".join([words, *offered.warnings]),
            hint=f"put the wheel of uv {VERSION} into a source that pip is configured with",
        )
    return store.fetch(found.url, hashes(), sources)


def _suits(wheel: Wheel, tag: str | None) -> bool:
    pinned = wheel.sha256 is None or wheel.sha256 in hashes()
    runs = any(known.platform == tag for known in wheel.tags)
    return str(wheel.version) == VERSION and pinned and runs


@cache
def hashes() -> frozenset[str]:
    """Return the SHA-256 hashes that the files of this version of uv may have."""
    text = (files("fleetwheel.delivery") / HASHES).read_text(encoding="utf-8")
    if f"uv=={VERSION} " not in text:
        raise FleetwheelError(
            f"uv {VERSION} is installed, but fleetwheel works with another version",
            hint="install fleetwheel again, in an environment of its own",
        )
    return frozenset(re.findall(r"sha256:([0-9a-f]{64})", text))


def _unpack(wheel: Path, program: str, kept: Path) -> None:
    """Put the program out of a wheel in its place, in one step."""
    with zipfile.ZipFile(wheel) as archive, store.beside(kept) as new:
        new.write_bytes(archive.read(f"uv-{VERSION}.data/scripts/{program}"))
        new.chmod(0o755)

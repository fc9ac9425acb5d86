"""Keeping this program on a host: ``<root>/lib/node-DIGEST``, and what runs it, ``<root>/bin``."""

from __future__ import annotations

import compileall
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleetwheel.node.moving import move
from fleetwheel.node.pack import digest_of
from fleetwheel.node.root import Failure, exclusive, prepare
from fleetwheel.node.trust import why_distrusted

HERE = Path(__file__).resolve().parents[2]
"""The directory that this program runs from."""
KEPT = 2
"""A run that another controller began with the version before still finds its program."""
LAUNCHER = """\
#!/bin/sh
# Written by fleetwheel: {about}. See {name} --help.
for python in {python} python3; do
    if command -v "$python" >/dev/null; then exec "$python" -I -B {program} {action}"$@"; fi
done
echo "{name}: no Python is left on this host that you can run: run it as root, or run" \
    "deploys/torch.py for this host" >&2
exit 3
"""
LAUNCHED = {
    "fleetwheel-node": ("this host looks at itself", ""),
    "overlay": ("an environment of your own on top of one of this host", "overlay "),
}
"""Launcher to what it is for, and the first words that it gives the program."""
WINDOWS_LAUNCHER = """\
@echo off\r
rem Written by fleetwheel: this host looks at itself. See fleetwheel-node check --help.\r
"{python}" -I -B "{program}" %*\r
"""


def place(
    root: str, digest: str, users: Sequence[str] = (), groups: Sequence[str] = ()
) -> dict[str, Any]:
    """Keep this program, compiled for this Python; the versions before the last go.

    ``distrusted`` in the answer says why a controller may not run it from there.
    """
    base = Path(root)
    with exclusive(base):
        library = base / "lib"
        library.mkdir(exist_ok=True)
        sweep_library(library)
        home = library / f"node-{digest}"
        if digest_of(contents(home)) != digest:
            put(home, digest)
        compileall.compile_dir(str(home), quiet=2)
        os.utime(str(home))
        write_launchers(base, home)
        versions = sorted(library.glob("node-*"), key=lambda path: path.stat().st_mtime)
        for old in versions[:-KEPT]:
            remove_version(old)
    return {"placed": digest, "distrusted": why_distrusted(home, users=users, groups=groups)}


def contents(directory: Path) -> dict[str, bytes]:
    """Return the files of a program by path, without what was compiled."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }


def put(home: Path, digest: str) -> None:
    """Copy this program to its place in one step; what stands there is damaged, and goes."""
    stage = home.with_name(f".placing-{digest}")
    shutil.copytree(str(HERE), str(stage), ignore=shutil.ignore_patterns("__pycache__"))
    stage.chmod(0o755)
    if digest_of(contents(stage)) != digest:
        raise Failure(f"{stage} is not the program that was sent", "run again to send it again")
    compileall.compile_dir(str(stage), ddir=str(home), quiet=2)
    remove_version(home)
    move(stage, home)


def remove_version(directory: Path) -> None:
    """Remove a directory that may be in use: it leaves its place in one step."""
    if directory.exists():
        leaving = directory.with_name(f".removing-{directory.name}")
        move(directory, leaving)
        shutil.rmtree(str(leaving), ignore_errors=True)


def sweep_library(library: Path) -> None:
    for left in [*library.glob(".placing-*"), *library.glob(".removing-*")]:
        shutil.rmtree(str(left), ignore_errors=True)


def write_launchers(root: Path, home: Path) -> None:
    """Write what starts the program by hand, with the Python that runs now."""
    python = sys.executable
    (root / "bin").mkdir(exist_ok=True)
    if sys.platform == "win32":
        text = WINDOWS_LAUNCHER.format(python=python, program=home)
        write_program(root / "bin" / "fleetwheel-node.cmd", text)
        return
    for name, (about, action) in LAUNCHED.items():
        said = {"name": name, "about": about, "action": action}
        started = {"python": shlex.quote(python), "program": shlex.quote(str(home))}
        write_program(root / "bin" / name, LAUNCHER.format(**said, **started))


def write_program(path: Path, text: str) -> None:
    prepared = prepare(path, text)
    prepared.chmod(0o755)
    move(prepared, path)

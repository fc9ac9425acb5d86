"""The program for hosts where nothing may be executed in /tmp and /dev/shm."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fleetwheel.collectors import program
from tests import node_program
from tests.smoke_script import expected, scripted, split

PYTHON = str(Path(sys._base_executable).resolve())  # type: ignore[attr-defined]
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("unshare"), reason="only root mounts file systems"
    ),
]
MOUNT = """
mount -t tmpfs -o noexec tmpfs /dev/shm
mount --bind "$1" /mnt
mount -t tmpfs -o noexec tmpfs /tmp
printf '#!/bin/sh\n' >/tmp/program
chmod 755 /tmp/program
if /tmp/program 2>/dev/null; then exit 99; fi
shift
exec "$@"
"""


def run(place: Path, *command: str, given: str) -> "subprocess.CompletedProcess[str]":
    """Run a command that sees ``place`` as /mnt, and may execute nothing in /tmp."""
    shell = ["unshare", "--mount", "sh", "-c", MOUNT, "sh", str(place), *command]
    return subprocess.run(shell, input=given, capture_output=True, text=True, timeout=120)


def test_the_smoke_test_runs_with_its_children(tmp_path: Path) -> None:
    changes, given = split(expected(scripted("os.abort()", 4)))
    directory = node_program.unpacked(tmp_path, changes)
    command = [PYTHON, "-I", "-B", f"/mnt/{directory.name}", "smoke"]
    done = run(tmp_path, *command, given=json.dumps(given))
    states = [device["status"] for device in json.loads(done.stdout)["devices"]]
    assert states == ["passed", "passed", "passed", "failed"]


def test_it_is_sent_along_and_kept(tmp_path: Path) -> None:
    document = program.document("place", {"root": "/mnt/root", "digest": program.digest()})
    done = run(tmp_path, PYTHON, "-I", "-c", program.BOOTSTRAP, given=document)
    assert json.loads(done.stdout)["ok"], done.stderr
    assert (tmp_path / f"root/lib/node-{program.digest()}/__main__.py").exists()

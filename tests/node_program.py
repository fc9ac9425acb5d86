"""The program for hosts as they have it: unpacked into a directory, maybe with changed files."""

import atexit
import compileall
import json
import shutil
import subprocess
import tempfile
import venv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fleetwheel.collectors import program

SMOKE = "fleetwheel/node/smoke"


def source(path: str) -> str:
    """Return the text of a file of the program, such as ``smoke/device.py``."""
    return program.program_files()[f"fleetwheel/node/{path}"].decode()


def unpacked(place: Path, changes: Mapping[str, str] | None = None) -> Path:
    """Write the program into a directory, with other texts for some files below node/."""
    directory = place / "node"
    shutil.copytree(compiled(), directory, dirs_exist_ok=True)
    for path, text in (changes or {}).items():
        file = directory / "fleetwheel/node" / path
        for bytecode in file.parent.glob(f"__pycache__/{file.stem}.*"):
            bytecode.unlink()
        file.write_text(text)
    return directory


@cache
def compiled() -> Path:
    """Return a copy with its bytecode, as a host has it."""
    directory = _scratch()
    for path, content in program.program_files().items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    assert compileall.compile_dir(directory, quiet=1)
    return directory


@cache
def bare_python() -> str:
    """Return an interpreter with the standard library alone, which starts in a third of the time.

    The one that runs the tests imports what this project's environment starts by itself.
    """
    directory = _scratch()
    venv.create(directory, symlinks=True)
    return str(directory / "bin/python")


def _scratch() -> Path:
    """Return a directory that goes with this process."""
    directory = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, directory)
    return directory


def run(
    python: str | Path, directory: Path, action: str, input: Any, timeout: float = 60, **more: Any
) -> "subprocess.CompletedProcess[str]":
    """Run an action as a deploy does."""
    return subprocess.run(
        [python, "-I", "-B", directory, action],
        input=json.dumps(input),
        capture_output=True,
        text=True,
        timeout=timeout,
        **more,
    )


def run_sent(python: str | Path, action: str, input: Any) -> "subprocess.CompletedProcess[str]":
    """Run an action on a host that has no copy of the program."""
    return subprocess.run(
        [python, "-I", "-c", program.BOOTSTRAP],
        input=program.document(action, input),
        capture_output=True,
        text=True,
        timeout=60,
    )


@cache
def _placed(python: str) -> Path:
    root = _scratch()
    done = run_sent(python, "place", {"root": str(root), "digest": program.digest()})
    assert json.loads(done.stdout)["ok"], done.stdout
    return root


def placed(root: Path, python: str | None = None) -> Path:
    """Give a root the program as a deploy on a new host does; return its directory."""
    there = _placed(python or bare_python())
    for part in ("lib", "bin"):
        shutil.copytree(there / part, root / part, dirs_exist_ok=True)
    launcher = root / "bin/fleetwheel-node"
    launcher.write_text(launcher.read_text().replace(str(there), str(root)))
    return root / "lib" / f"node-{program.digest()}"

"""gevent takes the place of sockets and threads at the entry point, before they are imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import copy_of_checkout

BEFORE = """
import sys
import fleetwheel.cli
print(sorted({"concurrent.futures", "requests", "select", "socket", "ssl"} & sys.modules.keys()))
"""
AT = """
from gevent import monkey
from fleetwheel import cli

cli.commands = lambda: print([monkey.is_module_patched(m) for m in ("socket", "ssl", "threading")])
cli.main()
"""
STARTED = """
import sys
from pyinfra_cli.main import main
import fleetwheel.operations._entry, fleetwheel.operations.torch
print(sorted({"bs4", "pypi_simple"} & sys.modules.keys()))
"""
RUN = "from fleetwheel.cli import main; main()"
INVENTORY = "hosts = [('@fake/mute', {'fake_delay': 0})]\n"


def python(program: str, *arguments: str, cwd: Path | None = None) -> tuple[str, str]:
    """Return what a program of its own prints on standard output and on standard error."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)
    return done.stdout, done.stderr


def test_nothing_brings_sockets_before_the_entry_point() -> None:
    assert python(BEFORE) == ("[]\n", "")


def test_the_entry_point_comes_before_every_command() -> None:
    assert python(AT) == ("[True, True, True]\n", "")


def test_a_run_starts_without_what_reads_index_pages() -> None:
    """It takes a tenth of the start, and hosts that have their locks need none."""
    assert python(STARTED) == ("[]\n", "")


@pytest.mark.parametrize("command", ["facts", "drift"])
def test_gevent_has_nothing_to_warn_of(tmp_path: Path, command: str) -> None:
    project = copy_of_checkout(tmp_path)
    (project / "lab.py").write_text(INVENTORY)
    said, warned = python(RUN, command, "lab.py", cwd=project)
    assert "@fake/mute" in said
    assert "MonkeyPatchWarning" not in warned


@pytest.mark.parametrize("folder", ["deploys", "operations", "facts", "fleetwheel"])
def test_no_other_module_minds_the_order(folder: str) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in Path(folder).rglob("*.py")}
    assert texts
    assert not [path for path, text in texts.items() if "isort: skip" in text]
    patching = [path.as_posix() for path, text in texts.items() if "patch_all" in text]
    assert patching == (["fleetwheel/cli/__init__.py"] if folder == "fleetwheel" else [])

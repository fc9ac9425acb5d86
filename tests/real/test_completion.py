"""Tab in bash, zsh and fish, switched on by the lines that docs/deploying.md has."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DOCS = Path("docs/deploying.md").read_text()
LINES = {
    name: line.replace("\\|", "|")
    for name, line in re.findall(r"^\| (bash|zsh|fish) \| `(.*?)`", DOCS, re.MULTILINE)
}
"""The documented line of each shell."""
NEEDED = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not all(map(shutil.which, ("zsh", "fish"))), reason="scripts/install-test-tools.sh has them"
    ),
]
CASES = [
    ("fleetwheel roll", "rollback"),
    ("fleetwheel deploy --det", "--detailed-exitcodes"),
    ("fleetwheel choose --os win", "windows"),
    ("fleetwheel facts inven", "inventory.py"),
    ("fleetwheel report --kind sm", "smoke"),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "inventory.py").touch()
    return tmp_path


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "TERM": "dumb", "PS1": "> ", "HOME": "/nonexistent"}


class Shell:
    """A shell at a terminal, whose Tab key can be pressed."""

    def __init__(self, terminal: int) -> None:
        self.terminal = terminal

    def type(self, text: str, until: str) -> str:
        """Type something and return what the terminal shows up to these words."""
        os.write(self.terminal, text.encode())
        seen, deadline = "", time.monotonic() + 60
        while until not in seen and time.monotonic() < deadline:
            if select.select([self.terminal], [], [], 0.1)[0]:
                seen += os.read(self.terminal, 65536).decode("utf-8", "replace")
        return seen


@contextmanager
def shell(name: str, place: Path) -> Iterator[Shell]:
    mine, theirs = pty.openpty()
    process = subprocess.Popen(
        NEEDED[name], cwd=place, env=environment(),
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        found = Shell(mine)
        found.type(f"{LINES[name]}; echo rea''dy\n", "ready")
        yield found
    finally:
        process.kill()
        process.wait()
        os.close(mine)


@pytest.mark.parametrize("name", ["bash", "zsh"])
@pytest.mark.parametrize(("typed", "whole"), CASES)
def test_tab_completes(name: str, typed: str, whole: str, place: Path) -> None:
    with shell(name, place) as there:
        shown = there.type(f"{typed}\t", whole)
    assert whole in shown


@pytest.mark.parametrize(("typed", "whole"), CASES)
def test_fish_completes(typed: str, whole: str, place: Path) -> None:
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"{LINES['fish']}; complete -C '{typed}'"],
        cwd=place, env=environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert whole in [line.split("\t")[0] for line in done.stdout.splitlines()], done.stderr


def test_no_other_command_begins_so(place: Path) -> None:
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"{LINES['fish']}; complete -C 'fleetwheel s'"],
        cwd=place, env=environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert sorted(line.split("\t")[0] for line in done.stdout.splitlines()) == [
        "schedule",
        "schema",
        "smoke",
    ]

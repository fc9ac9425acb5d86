"""The pinned uv of a host: put in its place, run, and told in words what went wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from fleetwheel.node.link import point
from fleetwheel.node.moving import move
from fleetwheel.node.root import Failure
from fleetwheel.node.verify import file_hash


def place_uv(root: Path, name: str, sha256: str) -> None:
    """Put a uv that was sent to ``bin/uv.new`` in its place, if it is the one that was meant.

    Its name tells the next run what it is, so that nobody has to run it for that.
    """
    uv, sent = uv_path(root), root / "bin" / "uv.new"
    if not sent.exists():
        return
    if file_hash(sent).hex() != sha256:
        raise Failure(f"{sent} is not the uv that was sent", "run again to send it again")
    sent.chmod(0o755)
    move(sent, uv.with_name(name))
    if sys.platform == "win32":
        link_program(uv, uv.with_name(name))
    else:
        point(uv, Path(name))
    for older in uv.parent.glob("uv-*"):
        if older.name != name:
            older.unlink()


def link_program(link: Path, program: Path) -> None:
    """Give a program a second name, or a copy on a disk without such links."""
    if link.exists():
        link.unlink()
    try:
        os.link(str(program), str(link))
    except OSError:
        shutil.copy2(str(program), str(link))


def uv_path(root: Path) -> Path:
    return root / "bin" / ("uv.exe" if sys.platform == "win32" else "uv")


def uv(
    root: Path,
    environment: dict[str, str],
    *arguments: str,
    told: Callable[[str], None] = lambda line: None,
) -> None:
    """Run uv, telling each line that it says; raise Failure with its words when it fails.

    Of its variables, those in ``environment`` count: the user's could have it install what no lock
    names (UV_VENV_SEED), or ask other sources.
    """
    inherited = {name: os.environ[name] for name in os.environ if not name.startswith("UV_")}
    command = [str(uv_path(root)), "--no-config", "--color", "never"]
    command += ["--no-python-downloads", "--cache-dir", str(root / "cache" / "uv"), *arguments]
    process = subprocess.Popen(
        command,
        env={**inherited, **environment},
        close_fds=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )
    said: list[str] = []
    try:
        for line in process.stdout or ():
            said.append(line)
            told(line)
        process.wait()
    except BaseException:
        process.kill()
        raise
    if process.returncode != 0:
        raise explained(arguments, "".join(said).strip())


def forget_trimmed(cache: Path) -> None:
    """Have uv forget the wheels of local directories whose unpacked files its cache has no more.

    Such a wheel has ``wheels-*/…/NAME.rev`` there, with the name of a directory in ``archive-*``
    inside. uv 0.13.9 fails where that is gone; what came from a server it fetches again.
    """
    there = [os.fsencode(path.name) for path in cache.glob("archive-*/*")]
    for pointer in cache.glob("wheels-*/**/*.rev"):
        content = pointer.read_bytes()
        if not any(name in content for name in there):
            pointer.unlink()


HINTS = (
    ("Hash mismatch", "a wheel or the lock was changed: run with --data relock=true"),
    ("No space left on device", "free some space on the host, then run again"),
    ("Permission denied", "run as the owner of the root, or name another root"),
    (
        r"\((404 Not Found|410 Gone)\)",
        "the source no longer has a wheel of the lock: run with --data relock=true",
    ),
    (
        r"\(401 Unauthorized\)",
        "the source wants a user name and password: write them into its address in the inventory or"
        " in pip's configuration on the controller",
    ),
    (
        r"\(403 Forbidden\)",
        "the source does not give its wheels to this host or login: ask who keeps it, or send them"
        " with distribution: push",
    ),
    (
        r"\(429 ",
        "the source has had too many requests: run again later, with a smaller serial",
    ),
    ("HTTP status server error", "the source has a fault: run again later, or ask who keeps it"),
    ("Failed to fetch", "the host cannot reach the source: check its network or proxy"),
)
"""What uv says of a failure, as a pattern, and what repairs it; the first that matches counts."""


def explained(arguments: tuple[str, ...], output: str) -> Failure:
    """Return uv's failure with the repair that its words call for."""
    hint = next((hint for words, hint in HINTS if re.search(words, output)), "")
    return Failure(f"uv {' '.join(arguments[:2])} failed: {output[-3000:]}", hint)


MIB = {"KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0}


class Fetching:
    """Keeps a line in a file on how much of a wheel set is there, from what uv says of itself."""

    BEGUN = re.compile(r"\s*Downloading (\S+) \(([0-9.]+)(KiB|MiB|GiB)\)")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.all_mib = self.fetched_mib = 0.0
        self.waiting: dict[str, float] = {}

    def hear(self, line: str) -> None:
        begun = self.BEGUN.match(line)
        if begun:
            size = float(begun[2]) * MIB[begun[3]]
            self.waiting[begun[1]] = size
            self.all_mib += size
        elif line.strip().startswith("Downloaded "):
            self.fetched_mib += self.waiting.pop(line.split()[1], 0.0)
        else:
            return
        text = f"fetched {self.fetched_mib:.0f} of {self.all_mib:.0f} MiB"
        if self.waiting:
            text += f", at {', '.join(list(self.waiting)[:3])}"
        self.path.write_text(text + "\n", encoding="utf-8")

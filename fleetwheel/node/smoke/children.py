"""The processes of a smoke test: one for each device, none of which can hold up the others."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any, NamedTuple

PROGRAM = Path(__file__).resolve().parents[3]
"""What children run: the directory that holds this package, and how it is started."""
GRACE = 5
"""Seconds that a child gets to end after its deadline, and again after SIGKILL."""
CLEARED = ("CUDA_", "NVIDIA_TF32", "PYTORCH_", "TORCH", "CUBLAS", "CUDNN", "NCCL_", "GLOO_", "OMP_")
"""Beginnings of variables that change how torch and CUDA work: a child gets none of them."""
KEPT = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_MPS_")
"""Those that say which GPUs there are and how to reach them."""

LISTED = {
    "check": "checks",
    "measurement": "measured",
    "imported": "imported",
    "unimportable": "unimportable",
}
"""Events of which there are many, and what their list is called."""


class Job(NamedTuple):
    """What one child does: an action of this program, its input, and more for its environment."""

    action: str
    task: dict[str, Any]
    environment: dict[str, str]


class Child:
    """A process at work on one device, its input and output in files and not in pipes."""

    def __init__(self, job: Job, deadline_s: float, threads: int) -> None:
        self.seed = secrets.randbits(32)
        self.deadline_s = deadline_s
        task = {"seed": self.seed, "deadline_s": deadline_s, **job.task}
        self.output, self.errors = scratch(), scratch()
        self.started = self.ended = time.monotonic()
        with scratch(json.dumps(task)) as stdin:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-B", str(PROGRAM), job.action],
                env={**known_environment(threads), **job.environment},
                stdin=stdin,
                stdout=self.output,
                stderr=self.errors,
            )

    def running(self) -> bool:
        """Whether to go on waiting; kills the child that outstays its deadline, and gives it up."""
        if self.process.returncode is not None:
            return False
        self.ended = time.monotonic()
        overdue = self.ended - self.started - self.deadline_s
        if self.process.poll() is not None or overdue > 2 * GRACE:
            return False
        if overdue > GRACE:
            self.process.kill()
        return True

    def told(self) -> dict[str, Any]:
        """Return its events merged, with lists of those that come more than once.

        ``error`` is what ended it too early.
        """
        told: dict[str, Any] = {many: [] for many in LISTED.values()}
        told.update(seed=self.seed, error="")
        for event in events(self.output):
            for one, many in LISTED.items():
                if one in event:
                    told[many].append(event.pop(one))
            told.update(event)
        told["seconds"] = round(self.ended - self.started, 2)
        how, last_words = self.how_it_ended(), read(self.errors)[-1500:]
        if how and not told["error"]:
            told["error"] = f"{how}, during {told.get('start', 'its start')}\n{last_words}".strip()
        return told

    def how_it_ended(self) -> str:
        code = self.process.returncode
        if code is None:
            return f"no answer within {self.deadline_s:g} s, and SIGKILL does not end it"
        if code and self.ended - self.started >= self.deadline_s:
            return f"no answer within {self.deadline_s:g} s"
        if code < 0:
            names = [known.name for known in signal.Signals if known == -code]
            return "ended by " + (names or [f"signal {-code}"])[0]
        return f"ended with exit code {hex(code) if code > 255 else code}" if code else ""


def known_environment(threads: int) -> dict[str, str]:
    """Return the environment without what changes results or speed, for so many threads."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(CLEARED) or name.startswith(KEPT)
    }
    return {**kept, "OMP_NUM_THREADS": str(threads)}


def cores() -> int:
    """Return how many processors this process may use."""
    known = getattr(os, "sched_getaffinity", None)
    return len(known(0)) if known else os.cpu_count() or 1


def scratch(text: str = "") -> IO[bytes]:
    """Return a file without a name that holds this text."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open as long as the child needs it
    file.write(text.encode())
    file.seek(0)
    return file


def read(file: IO[bytes]) -> str:
    """Return all of a scratch file, and give it up."""
    with file:
        file.seek(0)
        return file.read().decode("utf-8", "replace")


def events(output: IO[bytes]) -> list[dict[str, Any]]:
    """Return the events of a child; other lines were cut off, or printed before it began."""
    found = []
    for line in read(output).splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [event for event in found if isinstance(event, dict)]


def ask(jobs: list[Job], deadline_s: float) -> list[dict[str, Any]]:
    """Return what each child tells; all work at once and share the processors."""
    children: list[Child] = []
    threads = max(1, cores() // max(1, len(jobs)))
    try:
        for job in jobs:
            children.append(Child(job, deadline_s, threads))
        while sum(child.running() for child in children):
            time.sleep(0.02)
    except BaseException:
        for child in children:
            child.process.kill()
        raise
    return [child.told() for child in children]

"""Running a program to its end, with whatever it has started."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO


def run_group(
    command: Sequence[str],
    *,
    timeout: float,
    output: IO[bytes],
    errors: IO[bytes],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> int:
    """Return the exit status of a program; nothing of its process group outlives the call.

    Files in the place of pipes: a pipe stays open for as long as any child of the program holds it.
    Raises subprocess.TimeoutExpired.
    """
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        start_new_session=True,
    )
    try:
        return process.wait(timeout)
    finally:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

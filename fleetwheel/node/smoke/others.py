"""Whether other users of a host can start an environment that root made for all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from fleetwheel.node.readers import is_open_to_all
from fleetwheel.node.smoke.children import known_environment, read, scratch

NOBODY_ID = 65534
"""The user and group that own nothing on Linux."""
START = ("-I", "-c", "import torch")


def is_for_all(generation: Path) -> bool:
    """Whether root made this generation under a root directory that every user can reach."""
    envs = generation.resolve().parent
    if os.name == "nt" or os.geteuid() != 0 or envs.name != "envs":
        return False
    return is_open_to_all(envs.parent)


def become_another_user(group: int) -> None:
    """Give up everything that root has; a program that is started afterwards has none of it."""
    os.setgroups([])
    os.setgid(group)
    os.setuid(NOBODY_ID)


class AnotherUser:
    """A start of this environment by a user that has no rights of its own.

    One of the ``group`` that alone may read the environment, by its number. That of root is none:
    where it alone can, nobody else can.
    """

    def __init__(self, group: int | None = None) -> None:
        self.errors, self.failed = scratch(), ""
        self.process: subprocess.Popen[bytes] | None = None
        try:
            self.process = subprocess.Popen(
                [sys.executable, *START],
                cwd="/",
                env={**known_environment(1), "HOME": "/"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self.errors,
                preexec_fn=partial(become_another_user, group or NOBODY_ID),
            )
        except OSError as error:
            self.failed = f"{sys.executable}: {error.strerror}"
        except subprocess.SubprocessError:
            pass  # no such user here, as in some containers: there is nobody to try it for

    def cannot(self, deadline_s: float) -> str:
        """Return why the user could not start it; empty where it could, or there is none."""
        with self.errors:
            if self.process is None:
                return self.failed
            try:
                code = self.process.wait(timeout=deadline_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                return f"no answer within {deadline_s:g} s"
            return (read(self.errors).strip()[-300:] or f"exit code {code}") if code else ""

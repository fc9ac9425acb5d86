"""Runs smoke tests again and again; their children are forked, with torch imported before.

An import of CUDA torch costs seconds, and nothing of CUDA begins with it. Reads a JSON object per
line, ``program`` (the directory of an unpacked one), ``input`` and ``environment``, and prints the
document of each.
"""

import importlib
import json
import os
import runpy
import signal
import sys

import torch  # noqa: F401 - for the children


def forget(program: str) -> None:
    """Let the program in this directory be imported, and no other."""
    for name in [name for name in sys.modules if name.split(".")[0] == "fleetwheel"]:
        del sys.modules[name]
    sys.path[0] = program


class Forked:
    """What Child of smoke/children.py needs of subprocess.Popen."""

    def __init__(self, command, env, stdin, stdout, stderr) -> None:  # type: ignore[no-untyped-def]
        self.returncode = None
        self.pid = os.fork()
        if not self.pid:
            for number, file in enumerate((stdin, stdout, stderr)):
                os.dup2(file.fileno(), number)
            os.environ.clear()
            os.environ.update(env)
            sys.stdin = open(0)  # noqa: SIM115 - as a new process has it
            program, sys.argv[1:] = command[-2], command[-1:]
            forget(program)
            runpy.run_path(program, run_name="__main__")

    def poll(self):  # type: ignore[no-untyped-def]
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def main() -> None:
    for line in sys.stdin:
        task = json.loads(line)
        forget(task["program"])
        children = importlib.import_module("fleetwheel.node.smoke.children")
        probe = importlib.import_module("fleetwheel.node.smoke.run")
        children.GRACE = 1
        children.subprocess = type("Processes", (), {"Popen": Forked})
        before = dict(os.environ)
        os.environ.update(task["environment"])
        try:
            document = probe.test({**probe.DEFAULTS, **task["input"]})
        finally:
            os.environ.clear()
            os.environ.update(before)
        print(json.dumps(document), flush=True)


if __name__ == "__main__":
    main()

"""Runs probes/smoke.py again and again; its children are forked, with torch imported before.

An import of CUDA torch costs seconds, and nothing of CUDA begins with it. Reads a JSON object per
line, ``program``, ``input`` and ``environment``, and prints the document of each.
"""

import json
import os
import signal
import sys

import torch  # noqa: F401 - for the children


class Forked:
    """What Child of probes/smoke.py needs of subprocess.Popen."""

    def __init__(self, command, env, stdin, stdout, stderr) -> None:  # type: ignore[no-untyped-def]
        self.returncode = None
        self.pid = os.fork()
        if not self.pid:
            for number, file in enumerate((stdin, stdout, stderr)):
                os.dup2(file.fileno(), number)
            os.environ.clear()
            os.environ.update(env)
            sys.stdin = open(0)  # noqa: SIM115 - as a new process has it
            exec(command[-1], {})
            sys.stdout.flush()
            os._exit(0)

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
        probe = {"__name__": "probe"}
        exec(compile(task["program"], "probe", "exec"), probe)
        probe["GRACE"] = 1
        probe["subprocess"] = type("Processes", (), {"Popen": Forked})
        before = dict(os.environ)
        os.environ.update(task["environment"])
        try:
            document = probe["test"]({**probe["DEFAULTS"], **task["input"]})
        finally:
            os.environ.clear()
            os.environ.update(before)
        print(json.dumps(document), flush=True)


main()

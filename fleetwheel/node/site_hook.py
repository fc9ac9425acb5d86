"""Keeps a process in the generation it started in, and holds a lease on it until the process ends.

Started through ``current``, a Python would import from wherever ``current`` points later on.
"""

import os
import sys


def _settle() -> str:
    started = sys.prefix
    generation = os.path.realpath(started)

    def resolved(path: str) -> str:
        inside = path == started or path.startswith(started + os.sep)
        return generation + path[len(started) :] if inside else path

    sys.path[:] = [resolved(path) for path in sys.path]
    sys.prefix, sys.exec_prefix = resolved(sys.prefix), resolved(sys.exec_prefix)
    sys.executable = resolved(sys.executable or "")
    return generation


def _lease(generation: str) -> int:
    import fcntl

    handle = os.open(generation + os.sep + "pyvenv.cfg", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return handle


_generation = _settle()
try:
    _handle: "int | None" = _lease(_generation)
except (ImportError, OSError):
    _handle = None  # Windows refuses to remove a program that runs; elsewhere the lease is advice

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
    # A read lock of the open file, which children share. Who cannot write to the file can take no
    # write lock of it, and so cannot keep this one away; with flock everybody could.
    import fcntl
    import struct

    handle = os.open(generation + os.sep + "pyvenv.cfg", os.O_RDONLY)
    lock = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(handle, 37, lock)  # F_OFD_SETLK of Linux 3.15, which Python knows from 3.9 on
    return handle


_generation = _settle()
try:
    _handle: "int | None" = _lease(_generation)
except (ImportError, OSError):
    _handle = None  # Windows refuses to remove a program that runs; elsewhere the lease is advice

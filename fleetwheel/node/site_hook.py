"""Keeps a process in the generation it started in, and holds a lease on it until the process ends.

Started through ``current``, a Python would import from wherever ``current`` points later on. A copy
lies in each generation, whose ``.pth`` calls ``settle``, and in each overlay (overlay.py), whose
``.pth`` calls ``attach``.
"""

import os
import sys

CHOSEN = "_FLEETWHEEL_GENERATION"
"""Environment variable by which what an overlay's process starts stays in the same generation."""
_leases: "list[int | None]" = []


def settle() -> None:
    """Stay in the generation that this Python is in; in an overlay ``attach`` has seen to that."""
    if _leases:
        return
    started = sys.prefix
    generation = os.path.realpath(started)

    def resolved(path: str) -> str:
        inside = path == started or path.startswith(started + os.sep)
        return generation + path[len(started) :] if inside else path

    sys.path[:] = [resolved(path) for path in sys.path]
    sys.prefix, sys.exec_prefix = resolved(sys.prefix), resolved(sys.exec_prefix)
    sys.executable = resolved(sys.executable or "")
    _leases.append(_lease(generation))


def attach(base: str) -> None:
    """Have the packages of an environment, ``<root>/environments/NAME``, behind those of this one.

    They are those of the generation that it leads to now. A ``.pth`` that raised would go on
    without them, so that this ends the process where they are not to be had.
    """
    generation = _generation(base)
    library = os.path.join("lib", os.path.basename(os.path.dirname(os.path.dirname(__file__))))
    site_packages = os.path.join(generation, library, "site-packages")
    if not os.path.isdir(site_packages):
        os.write(2, (_why_not(base, generation) + "\n").encode(errors="surrogateescape"))
        os._exit(1)
    _leases.append(_lease(generation))
    os.environ[CHOSEN] = base + os.pathsep + generation
    import site

    site.addsitedir(site_packages)


def _generation(base: str) -> str:
    """Return the generation that who started this process is in; else the one in use."""
    of, _, chosen = os.environ.get(CHOSEN, "").rpartition(os.pathsep)
    generation = os.path.realpath(base)
    beside = os.path.dirname(chosen) == os.path.dirname(generation)
    return chosen if of == base and beside and os.path.isdir(chosen) else generation


def _why_not(base: str, generation: str) -> str:
    """Return why this Python cannot have the packages of an environment, and what to do."""
    try:
        there = [name for name in os.listdir(generation + "/lib") if name.startswith("python")]
    except PermissionError:
        return f"fleetwheel: this user may not read {base}: ask who runs this host"
    except OSError:
        return f"fleetwheel: {base}, which {sys.prefix} is built on, is not on this host any more"
    import shlex

    root, name = os.path.dirname(os.path.dirname(base)), os.path.basename(base)
    own = _packages(os.path.dirname(__file__))
    here = shlex.quote(sys.prefix)
    again = [f"mv {here} {here}.old", f"{shlex.quote(root + '/bin/overlay')} {here} {name}"]
    again += [f"{here}/bin/uv pip install {' '.join(map(shlex.quote, own))}"] if own else []
    return (
        f"fleetwheel: {base} has {', '.join(there) or 'no Python'} now. {sys.prefix} was made for"
        f" python{sys.version_info[0]}.{sys.version_info[1]}, as was what is installed in it:"
        f" {', '.join(own) or 'nothing'}. Make it again:\n  " + " &&\n  ".join(again)
    )


def _packages(site_packages: str) -> "list[str]":
    """Return what is installed here, as ``name==version``; not what brought the installer."""
    infos = [name for name in sorted(os.listdir(site_packages)) if name.endswith(".dist-info")]
    found = [info[: -len(".dist-info")].partition("-")[::2] for info in infos]
    return [f"{name}=={version}" for name, version in found if name not in ("pip", "setuptools")]


def _lease(generation: str) -> "int | None":
    """Return a file of the generation that is open, and locked for reading, as long as we run.

    Who cannot write to the file can take no write lock of it, and so cannot keep this one away;
    with flock everybody could. Children share it.
    """
    try:
        import fcntl
        import struct

        handle = os.open(generation + os.sep + "pyvenv.cfg", os.O_RDONLY)
        lock = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(handle, 37, lock)  # F_OFD_SETLK of Linux 3.15, which Python knows from 3.9 on
    except (ImportError, OSError):
        return None  # Windows refuses to remove a program that runs; elsewhere the lease is advice
    return handle

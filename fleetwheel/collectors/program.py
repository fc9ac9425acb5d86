"""The program for hosts as it gets there, and how a host runs it that has no copy of it.

Then nothing is installed and no file is left: the command line holds a fixed one-liner, and
standard input one JSON document with the program and its input, so that neither secrets nor text
from elsewhere appear in a process list or pass through a shell.
"""

import base64
import json
from functools import cache
from typing import Any

from fleetwheel.collectors._script import KEPT, SECTIONS, kept, short_script
from fleetwheel.collectors._windows import KEPT as KEPT_BATCH
from fleetwheel.collectors._windows import kept_batch, short_batch
from fleetwheel.collectors.places import Places
from fleetwheel.node import pack

BOOTSTRAP = "import json,sys;d=json.load(sys.stdin);exec(compile(d['program'],'node','exec'),d)"
"""Runs ``program`` with the other keys of the document as its global names."""


@cache
def program_files() -> dict[str, bytes]:
    """Return the files of the program for hosts, by path, with the questions that it is asked."""
    return {
        **pack.program(),
        KEPT: kept(*SECTIONS).encode(),
        KEPT_BATCH: kept_batch(*SECTIONS).encode(),
    }


@cache
def digest() -> str:
    """Return what names this version of the program on hosts."""
    return pack.digest_of(program_files())


@cache
def _archive() -> str:
    return base64.b64encode(pack.packed(program_files())).decode()


def document(action: str, input: Any) -> str:
    """Return the JSON document that ``BOOTSTRAP`` reads: the whole program and its input."""
    unpack = program_files()["fleetwheel/node/unpack.py"].decode()
    given = {"archive": _archive(), "action": action, "input": input}
    return json.dumps({"program": unpack, "document": given, "__name__": "__main__"})


def short_question() -> str:
    """Return the line that asks a host with this version of the program everything."""
    return short_script(digest(), *SECTIONS)


def short_batch_question(places: Places, root: str, gpu_seconds: int) -> str:
    """Return the same for a Windows host."""
    return short_batch(digest(), places, root, gpu_seconds)

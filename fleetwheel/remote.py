"""The program for hosts as it gets there: packed, and how a host runs it that has no copy of it.

Then nothing is installed and no file is left: the command line holds a fixed one-liner, and
standard input one JSON document with the program and its input, so that neither secrets nor text
from elsewhere appear in a process list or pass through a shell.
"""

import base64
import inspect
import json
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import pynvml

from fleetwheel.node.place import digest_of
from fleetwheel.packing import packed

BOOTSTRAP = "import json,sys;d=json.load(sys.stdin);exec(compile(d['program'],'node','exec'),d)"
"""Runs ``program`` with the other keys of the document as its global names."""


@cache
def program() -> dict[str, bytes]:
    """Return the files of the program for hosts, by path."""
    here = files("fleetwheel")
    node = {f"fleetwheel/node/{name}": text for name, text in _modules(here / "node").items()}
    return {
        "__main__.py": node["fleetwheel/node/__main__.py"],
        "fleetwheel/__init__.py": b"",
        **node,
        "pynvml.py": inspect.getsource(pynvml).encode(),
    }


def _modules(folder: Traversable) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            found |= {f"{entry.name}/{name}": text for name, text in _modules(entry).items()}
        elif entry.name.endswith(".py"):
            found[entry.name] = entry.read_bytes()
    return found


@cache
def digest() -> str:
    """Return what names this version of the program on hosts."""
    return digest_of(program())


@cache
def _archive() -> str:
    return base64.b64encode(packed(program())).decode()


def document(action: str, input: Any) -> str:
    """Return the JSON document that ``BOOTSTRAP`` reads: the whole program and its input."""
    unpack = program()["fleetwheel/node/unpack.py"].decode()
    given = {"archive": _archive(), "action": action, "input": input}
    return json.dumps({"program": unpack, "document": given, "__name__": "__main__"})

"""Running one of fleetwheel's probes with a Python on a host, over standard input.

Nothing is installed and no file is left: the command line holds a fixed one-liner, and standard
input holds one JSON document with the program and its input, so that neither secrets nor text
from elsewhere appear in a process list or pass through a shell.
"""

import json
from importlib.resources import files
from typing import Any

BOOTSTRAP = "import json,sys;d=json.load(sys.stdin);exec(compile(d['program'],'probe','exec'),d)"
"""Runs ``program`` with the document's keys (``program``, ``input``) as its global names."""


def source(probe: str) -> str:
    """Return the text of a program in ``fleetwheel/probes``, such as ``smoke``."""
    return (files("fleetwheel.probes") / f"{probe}.py").read_text(encoding="utf-8")


def document(probe: str, input: Any) -> str:
    """Return the JSON document that ``BOOTSTRAP`` reads: the program and its input."""
    return json.dumps({"program": source(probe), "input": input, "__name__": "__main__"})

"""The NVML probe as text that fits into a command: a zip archive that Python runs, in base64."""

import base64
import inspect
from functools import cache
from importlib.resources import files

import pynvml

from fleetwheel.node.pack import packed


@cache
def nvml_probe() -> str:
    """Return fleetwheel/node/nvml.py and the installed pynvml, the same text from the same files.

    It is 70 KB; nothing in it needs quoting in a shell.
    """
    program = (files("fleetwheel.node") / "nvml.py").read_bytes()
    texts = {"__main__.py": program, "pynvml.py": inspect.getsource(pynvml).encode()}
    return base64.b64encode(packed(texts)).decode()

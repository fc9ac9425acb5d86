"""What people find an environment by: a kernelspec for Jupyter, and a file for the module command.

They lead to ``environments/NAME``, never to a generation: what starts by them starts in the one
that is in use then.
"""

import json
import re
from pathlib import PurePosixPath
from typing import Any

from fleetwheel.host.profile import Python
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock.lock import Lock
from fleetwheel.node.publish import mark_of

KERNEL = "ipykernel"
"""The package without which Jupyter starts no kernel in an environment."""


def publish_of(
    name: str, root: str, os: str, settings: Settings, lock: Lock, python: Python
) -> dict[str, Any]:
    """Return what a host needs to know to make an environment found (node/publish.py)."""
    asked, files = settings.publish, {}
    if os == "linux" and asked.jupyter and KERNEL in lock.packages:
        files["jupyter"] = (f"fleetwheel-{name}/kernel.json", kernelspec(root, name))
    if os == "linux" and asked.modules:
        files["modules"] = (f"fleetwheel/{name}", module_file(root, name, lock, python))
    return {
        "wanted": {
            kind: {"place": _place(getattr(asked, kind)), "name": file, "text": text}
            for kind, (file, text) in files.items()
        },
        "group": settings.group,
        **settings.trust.model_dump(mode="json"),
    }


def _place(said: bool | str) -> str | None:
    return said if isinstance(said, str) else None


def kernelspec(root: str, name: str) -> str:
    """Return the kernel.json of an environment.

    Its programs come before the server's, and what the server has in PYTHONPATH stays there: it
    would shadow packages. In ``env`` a ``$`` begins a variable of the server, ``$$`` is one.
    Source: "Kernel specs" of jupyter_client's documentation.
    """
    place = _path(root, name)
    document = {
        "argv": [f"{place}/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": f"PyTorch ({name})",
        "language": "python",
        "env": {
            "PATH": f"{_literal(place)}/bin:${{PATH}}",
            "PYTHONPATH": "",
            "VIRTUAL_ENV": _literal(place),
        },
        "metadata": {"debugger": True, "fleetwheel": _marked(root, name)},
    }
    return json.dumps(document, indent=1) + "\n"


def module_file(root: str, name: str, lock: Lock, python: Python) -> str:
    """Return the module file of an environment, in Tcl as Lmod and Environment Modules read it."""
    return (
        "#%Module1.0\n"
        f"# {_marked(root, name)}\n"
        f"module-whatis {{{_about(lock, python)}}}\n"
        "conflict fleetwheel\n"
        f"prepend-path PATH {_word(_path(root, name))}/bin\n"
    )


def _about(lock: Lock, python: Python) -> str:
    """Return what an environment is: ``PyTorch 2.13.0 for CUDA 13.0, Python 3.12``."""
    variant = lock.choice.variant
    cuda = f"for CUDA {'.'.join(map(str, variant.version))}" if not variant.cpu else "without CUDA"
    return f"PyTorch {lock.choice.torch} {cuda}, Python {python.minor}"


def _path(root: str, name: str) -> str:
    return f"{PurePosixPath(root)}/environments/{name}"


def _marked(root: str, name: str) -> str:
    return f"{mark_of(PurePosixPath(root), name)} each deploy replaces it"


def _literal(text: str) -> str:
    return text.replace("$", "$$")


def _word(text: str) -> str:
    """Return a text as one word of Tcl."""
    return re.sub(r'([\s\[\]{}$"\\;#])', r"\\\1", text)

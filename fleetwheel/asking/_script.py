"""The shell text of questions, put together from the files beside this module."""

from functools import cache
from importlib.resources import files


@cache
def script(*sections: str) -> str:
    """Return the POSIX sh text that asks these sections: platform, pythons, environments, gpu.

    Its positional parameters are the root directory (empty for the user's own), the seconds that
    nvidia-smi gets, and a tree to read /etc, /proc, /sys and /dev from (empty for the real one).
    """
    here = files("fleetwheel.asking")
    texts = [(here / f"{name}.sh").read_text(encoding="utf-8") for name in ("frame", *sections)]
    return "\n".join([*texts, f"answer {' '.join(sections)}"])

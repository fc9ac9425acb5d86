"""The shell text of questions, put together from the files beside this module."""

from functools import cache
from importlib.resources import files

from fleetwheel.collectors._nvml_probe import nvml_probe


@cache
def rule() -> str:
    """Return the shell functions that say whether a path can be trusted (``trust.sh``)."""
    return (files("fleetwheel.collectors") / "trust.sh").read_text(encoding="utf-8")


@cache
def script(*sections: str) -> str:
    """Return the POSIX sh text that asks these sections: platform, pythons, environments, gpu.

    Its positional parameters are the root directory (empty for the user's own), the seconds that
    NVML and nvidia-smi get, a tree to read /etc, /proc, /sys and /dev from (empty for the real
    one), and the users and groups that are trusted besides root and the asking user. With gpu it
    carries the NVML probe: 80 KB, where a command may have 128.
    """
    here = files("fleetwheel.collectors")
    texts = [rule()]
    texts += [(here / f"{name}.sh").read_text(encoding="utf-8") for name in ("frame", *sections)]
    if "gpu" in sections:
        texts.append(f"nvml_probe={nvml_probe()}")
    return "\n".join([*texts, f"answer {' '.join(sections)}"])

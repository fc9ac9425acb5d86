"""The shell text of questions, put together from the files beside this module."""

import re
from functools import cache
from importlib.resources import files

from fleetwheel.collectors._nvml_probe import nvml_probe

SECTIONS = ("platform", "pythons", "environments", "gpu")
KEPT = "question.sh"
"""Where the program for hosts holds the text."""
OPEN = re.compile(r"(\b(do|then|else|in)|[{(|]|;;)$")
"""How a line ends after which a shell expects more of the same command."""


@cache
def rule() -> str:
    """Return the shell functions that say whether a path can be trusted (``trust.sh``)."""
    return _text("trust")


@cache
def script(*sections: str) -> str:
    """Return the POSIX sh text that asks these sections: platform, pythons, environments, gpu.

    Its positional parameters are the root directory (empty for the user's own), the seconds that
    NVML and nvidia-smi get, a tree to read /etc, /proc, /sys and /dev from (empty for the real
    one), and the users and groups that are trusted besides root and the asking user. With gpu it
    carries the NVML probe: 80 KB, where a command may have 128.
    """
    sent = f"nvml_probe={nvml_probe()}" if "gpu" in sections else ""
    return "\n".join([kept(*sections), "node=", sent, _answer(*sections)])


@cache
def kept(*sections: str) -> str:
    """Return what a host keeps of the question: all but what asks it, and the NVML probe."""
    return "\n".join(map(_text, ("trust", "root", "frame", *sections)))


@cache
def short_script(digest: str, *sections: str) -> str:
    """Return the same question as one line, for a host that keeps this version of the program.

    Another one says ``node absent`` alone. The positional parameters are the same.
    """
    found = f"node=$root/lib/node-{digest}"
    ask = f'. "$node/{KEPT}"; {_answer(*sections)}'
    begin = f"{_one_line(_text('root'))}; asked_root=$1; find_root; {found}"
    return f'{begin}; if own "$node"; then {ask}; else echo node absent; fi'


def _answer(*sections: str) -> str:
    return f"answer {' '.join(sections)}"


def _text(name: str) -> str:
    return (files("fleetwheel.collectors") / f"{name}.sh").read_text(encoding="utf-8")


def _one_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    whole = [line for line in lines if line and not line.startswith("#")]
    ends = [" " if OPEN.search(line) else "; " for line in whole]
    return "".join(line + end for line, end in zip(whole, ends, strict=True)).rstrip("; ")

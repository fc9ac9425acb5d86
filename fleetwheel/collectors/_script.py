"""The shell text of questions, put together from the files beside this module."""

import re
from functools import cache
from importlib.resources import files

from fleetwheel.collectors._nvml_probe import nvml_probe
from fleetwheel.node.trust import places, programs, rule

SECTIONS = ("platform", "pythons", "environments", "gpu")
KEPT = "question.sh"
"""Where the program for hosts holds the text."""
KNOW = 'own_path=$PATH; PATH=/usr/bin:/bin:$PATH; know_trusted "$4" "$5"'
"""Nothing on the user's own PATH runs before it is looked at."""
OPEN = re.compile(r"(\b(do|then|else|in)|[{(|]|;;)$")
"""How a line ends after which a shell expects more of the same command."""


@cache
def script(*sections: str) -> str:
    """Return the POSIX sh text that asks these sections: platform, pythons, environments, gpu.

    Its positional parameters are the root directory (empty for the user's own), the seconds that
    NVML and nvidia-smi get, a tree to read /etc, /proc, /sys and /dev from (empty for the real
    one), and the users and groups that are trusted besides root and the asking user. With gpu it
    carries the NVML probe: 97 KB in all, where a command may have 128.
    """
    sent = f"nvml_probe={nvml_probe()}" if "gpu" in sections else ""
    begin = [rule(), _text("root"), KNOW]
    return "\n".join([*begin, kept(*sections), "node=", sent, _answer(*sections)])


@cache
def kept(*sections: str) -> str:
    """Return what a host keeps of the question: all but the rule of trust, root and NVML probe."""
    return "\n".join([places(), programs(), *map(_text, ("frame", *sections))])


@cache
def short_script(digest: str, *sections: str) -> str:
    """Return the same question as one line, for a host that keeps this version of the program.

    It is read from where the rule has found it, whatever becomes of the links to it meanwhile.
    Another host says ``node absent`` alone. The positional parameters are the same.
    """
    begin = "; ".join([_one_line(rule()), _one_line(_text("root")), KNOW])
    find = "asked_root=$1; find_root"
    found = f'trusts_all "$root/lib/node-{digest}" && [ -f "$at/{KEPT}" ]'
    ask = f'node=$at; . "$node/{KEPT}"; {_answer(*sections)}'
    return f"{begin}; {find}; if {found}; then {ask}; else echo node absent; fi"


def _answer(*sections: str) -> str:
    return f"answer {' '.join(sections)}"


def _text(name: str) -> str:
    return (files("fleetwheel.collectors") / f"{name}.sh").read_text(encoding="utf-8")


def _one_line(text: str) -> str:
    lines = [line.strip() for line in text.replace("\\\n", "").splitlines()]
    whole = [line for line in lines if line and not line.startswith("#")]
    ends = [" " if OPEN.search(line) else ";" for line in whole]
    return "".join(line + end for line, end in zip(whole, ends, strict=True)).rstrip(";")

"""The batch file that asks a Windows host, put together from the files beside this module."""

import base64
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from fleetwheel.collectors._nvml_probe import nvml_probe
from fleetwheel.connection.quoting import set_for_cmd

PROGRAMS = ("python", "environments", "nvml")
BACKGROUND = 'if "%~1"=="background" goto %~2'
KEPT = "question.cmd"
"""Where the program for hosts holds the batch file."""
NOT_IN_PATHS = '"*?<>|'
CHUNK = 4000
"""Characters of a line; cmd takes 8191."""


def batch(*sections: str, root: str = "", gpu_seconds: int = 20) -> str:
    """Return the batch file that asks these sections: platform, pythons, environments, gpu.

    + root: the root directory; empty for ``%ProgramData%\\fleetwheel``
    + gpu_seconds: what NVML and nvidia-smi get before the driver counts as hung
    """
    sent = _lines("archive", nvml_probe()) if "gpu" in sections else []
    begin = [BACKGROUND, "set node=", *_values(root, gpu_seconds)]
    return "\n".join([*begin, *_asked(sections), *sent])


@cache
def kept_batch(*sections: str) -> str:
    """Return the batch file that a host keeps beside the program that asks NVML.

    The values stand in variables when it is called.
    """
    begin = ["@echo off", "setlocal DisableDelayedExpansion", BACKGROUND, 'set "node=%~dp0."']
    return "\r\n".join("\n".join([*begin, *_asked(sections)]).split("\n")) + "\r\n"


def short_batch(digest: str, root: str = "", gpu_seconds: int = 20) -> str:
    """Return what asks all that the kept batch file asks; ``node absent`` where there is none."""
    place = _plain(root).replace("/", "\\") or r"%ProgramData%\fleetwheel"
    if _plain(root):
        place = place.replace("%", "%%")
    file = rf'"{place}\lib\node-{digest}\{KEPT}"'
    # Without call, which would expand percent signs once more; nothing comes after it.
    ask = f"if exist {file} ({file}) else echo node absent"
    return "&".join([*_values(root, gpu_seconds), ask])


def _values(root: str, gpu_seconds: int) -> list[str]:
    asked = set_for_cmd("asked_root", _plain(root))
    return [asked, set_for_cmd("gpu_seconds", str(gpu_seconds))]


def _plain(root: str) -> str:
    """Return a root as it may stand in double quotes: there cmd reads everything else as it is."""
    plain = "".join(character for character in root if character not in NOT_IN_PATHS)
    return plain.rstrip("/\\")


def _asked(sections: Sequence[str]) -> list[str]:
    calls = [f"call :ask_{section}\necho {section} ended 0" for section in sections]
    return [
        "call :begin",
        *(["call :start_gpu"] if "gpu" in sections else []),
        *calls,
        "call :end",
        "exit /b 0",
        _text(),
    ]


@cache
def _text() -> str:
    here = files("fleetwheel.collectors")
    lines = [(here / "windows.cmd").read_text(encoding="utf-8").rstrip()]
    for name in PROGRAMS:
        program = (here / f"windows_{name}.py").read_bytes()
        lines += _lines(name, base64.b64encode(program).decode())
    return "\n".join(lines)


def _lines(name: str, encoded: str) -> list[str]:
    """Return a long text as lines that cmd takes for labels, and passes over."""
    chunks = (encoded[start : start + CHUNK] for start in range(0, len(encoded), CHUNK))
    return [f"::{name} {chunk}" for chunk in chunks]

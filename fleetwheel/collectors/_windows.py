"""The batch file that asks a Windows host, put together from the files beside this module."""

import base64
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from fleetwheel.collectors._nvml_probe import nvml_probe
from fleetwheel.collectors.places import Places
from fleetwheel.connection.quoting import echo_for_cmd, set_for_cmd

PROGRAMS = ("python", "environments", "nvml")
BACKGROUND = 'if "%~1"=="background" goto %~2'
KEPT = "question.cmd"
"""Where the program for hosts holds the batch file."""
NOT_IN_PATHS = '"*?<>|'
SAID = 500
"""Characters of a reason that are told."""
CHUNK = 4000
"""Characters of a line; cmd takes 8191."""


def places_batch(root: str = "") -> str:
    """Return the batch file that asks what there is to run and read, and who can change it."""
    asked = ["call :begin", "call :ask", "call :end", "echo places ended 0", "exit /b 0"]
    return "\n".join([set_for_cmd("asked_root", _plain(root)), *asked, _file("places")])


def batch(*sections: str, places: Places, root: str = "", gpu_seconds: int = 20) -> str:
    """Return the batch file that asks these sections: platform, pythons, environments, gpu.

    + places: what may be run and read
    + root: the root directory; empty for ``%ProgramData%\\fleetwheel``
    + gpu_seconds: what NVML and nvidia-smi get before the driver counts as hung
    """
    sent = _lines("archive", nvml_probe()) if "gpu" in sections else []
    begin = [BACKGROUND, "set node=", *_values(places, root, gpu_seconds)]
    return "\n".join([*begin, *_asked(sections), *sent])


@cache
def kept_batch(*sections: str) -> str:
    """Return the batch file that a host keeps beside the program that asks NVML.

    The values stand in variables when it is called.
    """
    begin = ["@echo off", "setlocal DisableDelayedExpansion", BACKGROUND, 'set "node=%~dp0."']
    return "\r\n".join("\n".join([*begin, *_asked(sections)]).split("\n")) + "\r\n"


def short_batch(digest: str, places: Places, root: str = "", gpu_seconds: int = 20) -> str:
    """Return what asks all that the kept batch file asks; ``node absent`` where there is none.

    Nothing of a root is run that others could change.
    """
    if places.distrusted:
        return "echo node absent"
    place = _plain(root).replace("/", "\\") or r"%ProgramData%\fleetwheel"
    if _plain(root):
        place = place.replace("%", "%%")
    file = rf'"{place}\lib\node-{digest}\{KEPT}"'
    # Without call, which would expand percent signs once more; nothing comes after it.
    ask = f"if exist {file} ({file}) else echo node absent"
    return "&".join([*_values(places, root, gpu_seconds), ask])


def _values(places: Places, root: str, gpu_seconds: int) -> list[str]:
    """Return the lines that say what may be run, and name what may not."""
    values = {
        "asked_root": _plain(root),
        "gpu_seconds": str(gpu_seconds),
        "distrusted": "yes" if places.distrusted else "",
        "smi": places.smi,
        "pythons": str(len(places.pythons)),
        **{f"trusted_python_{n}": path for n, path in enumerate(places.pythons, 1)},
    }
    said = {
        "environments distrusted": (places.distrusted,) if places.distrusted else (),
        "pythons skipped": places.skipped_pythons,
        "gpu skipped": places.skipped_smi,
    }
    lines = (echo_for_cmd(f"{key} {why[:SAID]}") for key, whys in said.items() for why in whys)
    return [*(set_for_cmd(name, value) for name, value in values.items()), *lines]


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
    lines = [_file("windows")]
    for name in PROGRAMS:
        program = (files("fleetwheel.collectors") / f"windows_{name}.py").read_bytes()
        lines += _lines(name, base64.b64encode(program).decode())
    return "\n".join(lines)


def _file(name: str) -> str:
    return (files("fleetwheel.collectors") / f"{name}.cmd").read_text(encoding="utf-8").rstrip()


def _lines(name: str, encoded: str) -> list[str]:
    """Return a long text as lines that cmd takes for labels, and passes over."""
    chunks = (encoded[start : start + CHUNK] for start in range(0, len(encoded), CHUNK))
    return [f"::{name} {chunk}" for chunk in chunks]

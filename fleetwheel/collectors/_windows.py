"""The batch file that asks a Windows host, put together from the files beside this module."""

import base64
from functools import cache
from importlib.resources import files

from fleetwheel.collectors._nvml_probe import nvml_probe
from fleetwheel.connection.quoting import set_for_cmd

PROGRAMS = ("python", "environments", "nvml")
NOT_IN_PATHS = '"*?<>|'
CHUNK = 4000
"""Characters of a line; cmd takes 8191."""


def batch(*sections: str, root: str = "", gpu_seconds: int = 20) -> str:
    """Return the batch file that asks these sections: platform, pythons, environments, gpu.

    + root: the root directory; empty for ``%ProgramData%\\fleetwheel``
    + gpu_seconds: what NVML and nvidia-smi get before the driver counts as hung
    """
    # Inside double quotes cmd reads everything else as it is.
    plain = "".join(character for character in root if character not in NOT_IN_PATHS)
    calls = [f"call :ask_{section}\necho {section} ended 0" for section in sections]
    return "\n".join(
        [
            'if "%~1"=="background" goto %~2',
            set_for_cmd("asked_root", plain.rstrip("/\\")),
            set_for_cmd("gpu_seconds", str(gpu_seconds)),
            "call :begin",
            *(["call :start_gpu"] if "gpu" in sections else []),
            *calls,
            "call :end",
            "exit /b 0",
            _text(),
            *(_lines("archive", nvml_probe()) if "gpu" in sections else []),
        ]
    )


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

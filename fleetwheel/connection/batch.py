"""What sshd on Windows is given to run a command: one line for cmd, or a batch file."""

import re
from collections.abc import Mapping

from fleetwheel.connection.quoting import for_cmd, for_powershell, set_for_cmd
from fleetwheel.errors import FleetwheelError

LONGEST = 8191
"""UTF-16 units of a line that cmd takes, in a batch file too."""
ROOM = 300
"""What may stand around a line: cmd's own path, and the user's profile."""
TEMP = r"AppData\Local\Temp\fleetwheel"
"""Where batch files alone go, below the user's profile, in which sshd and SFTP both start."""
OUTPUT = ("chcp 65001>nul", "set PYTHONUTF8=1")
"""Makes cmd and its own commands write UTF-8, and Python to a pipe."""
AT_HOME = {
    "cmd": 'cd /d "%USERPROFILE%"',
    "powershell": "Set-Location -LiteralPath $env:USERPROFILE",
}
"""How each default shell goes where sshd starts it, unless the machine's settings say otherwise."""


def batch_settings(env: Mapping[str, str], directory: str | None) -> list[str]:
    """Return the commands that go to a directory, or end with exit code 1, and set variables.

    Raises FleetwheelError for what cmd cannot set.
    """
    sets = [set_for_cmd(name, value) for name, value in env.items()]
    if not directory:
        return sets
    # An empty variable sets the error level, so these come after.
    return [f"cd /d {for_cmd(_backslashes(directory))}", "(if errorlevel 1 exit 1)", *sets]


def one_line(lines: list[str]) -> str | None:
    """Return what runs these lines with cmd as the default shell; None where it would not do.

    Beside its length, what parts a line for cmd from one in a batch file is the percent sign.
    Delayed expansion, which gives the exclamation mark a meaning, can be turned off in a file only.
    """
    line = "&".join([AT_HOME["cmd"], *OUTPUT, *lines])
    several = any("\n" in text for text in lines)
    special = any(set(text) & set("%!") for text in lines)
    return None if several or special or units(line) > LONGEST - ROOM else line


def batch_file(lines: list[str]) -> tuple[dict[str, str], bytes]:
    """Return variables to set, and the batch file that runs these lines then.

    In which code page cmd reads a batch file depends on its version, so all that is not ASCII
    arrives in a variable. Raises FleetwheelError for a line that cmd does not take.
    """
    words: dict[str, str] = {}

    def named(found: re.Match[str]) -> str:
        return f"%{words.setdefault(found[0], f'FLEETWHEEL_{len(words)}')}%"

    text = "\n".join(["@echo off", "setlocal DisableDelayedExpansion", *OUTPUT, *lines])
    for line in text.split("\n"):
        _refuse_longer(units(line), LONGEST)
    file = re.sub(r"[^\x00-\x7f]+", named, text).replace("\r\n", "\n").replace("\n", "\r\n")
    return {name: word for word, name in words.items()}, f"{file}\r\n".encode()


def start(shell: str, name: str, words: Mapping[str, str]) -> str:
    """Return what runs a batch file in TEMP for a default shell of sshd, with its exit code.

    Raises FleetwheelError where the variables are more than cmd takes in a line.
    """
    path = rf"{TEMP}\{name}"
    if shell == "powershell":
        sets = [f"$env:{name}={for_powershell(word)}" for name, word in words.items()]
        return "; ".join([*sets, AT_HOME[shell], f"cmd.exe /d /c {path}", "exit $LASTEXITCODE"])
    sets = [set_for_cmd(name, word) for name, word in words.items()]
    line = "&".join([*sets, AT_HOME[shell], path])
    _refuse_longer(units(line), LONGEST - ROOM)
    return line


def sftp_path(path: str) -> str:
    """Return a Windows path as SFTP names it: ``C:\\x`` is ``/C:/x``."""
    path = path.replace("\\", "/")
    return f"/{path}" if re.match("[A-Za-z]:", path) else path


def _backslashes(path: str) -> str:
    return path.replace("/", "\\")


def units(text: str) -> int:
    """Return the length of a text for Windows."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _refuse_longer(length: int, longest: int) -> None:
    if length > longest:
        raise FleetwheelError(
            f"a command has a line of {length} characters, and cmd takes {longest}",
            hint="send long data on standard input, or in a file",
        )

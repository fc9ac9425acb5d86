"""How sshd on Windows makes a command line of a command, and names its files.

Source: PowerShell/openssh-portable v9.8.1.0, contrib/win32/win32compat: do_exec_windows() and
build_commandline_string(), rewritten from what they do.
"""

import re
from pathlib import Path

CMD = r"c:\windows\system32\cmd.exe"
POWERSHELL = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe"
LONGEST = {CMD: 8191, POWERSHELL: 32766}
"""Characters of a command line that cmd, and CreateProcess, accept."""


def command_line(shell: str, command: str) -> str:
    """Return what CreateProcess gets: nothing is escaped for cmd, quotes are for others."""
    if shell == CMD:
        return f'"{shell}" /c "{_rewritten(command)}"'
    return f'"{shell}" -c {_argument(_rewritten(command))}'


def _rewritten(command: str) -> str:
    """A command that only begins with these names becomes these programs."""
    return re.sub(
        r"(?i)^(?:(scp)|internal-sftp|sftp-server)(?:\.exe)?",
        lambda found: "scp.exe" if found[1] else "sftp-server.exe",
        command,
    )


def _argument(text: str) -> str:
    escaped = re.sub(r'(\\*)"', lambda found: found[1] * 2 + r"\"", text)
    return f'"{escaped}"' if " " in text and not text.startswith("'") else escaped


def to_file(prefix: Path, home: str, path: str) -> Path:
    """Return the file of ``/C:/x``, ``C:\\x`` or a path below home, in any letter case."""
    path = path.replace("\\", "/")
    absolute = re.match(r"/?([A-Za-z]):(.*)", path, re.DOTALL)
    drive, below = absolute.groups() if absolute else (home[0], f"{home[2:]}/{path}")
    place = prefix / "dosdevices" / f"{drive.lower()}:"
    for part in _parts(below):
        place = place / _spelled(place, part)
    return place


def to_path(prefix: Path, home: str, path: str) -> str:
    """Return the full ``/C:/x`` of a path as a client may write it, spelled as on disk."""
    drive, *parts = to_file(prefix, home, path).relative_to(prefix / "dosdevices").parts
    return "/" + "/".join([drive.upper(), *parts])


def _parts(path: str) -> list[str]:
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return parts


def _spelled(directory: Path, name: str) -> str:
    if (directory / name).exists() or not directory.is_dir():
        return name
    return next((it.name for it in directory.iterdir() if it.name.lower() == name.lower()), name)

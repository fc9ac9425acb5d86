"""A terminal session as a picture: a real deploy over SSH to the hosts of tests/rig.

``python -m tests.terminal_picture FILE.svg`` runs it, which takes root and two minutes.
"""

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.rig.fleet import Gpu, HostSpec, fleet
from tests.rig.fleet_deploy import FleetProject

COLUMNS = 124
OLD = Gpu(name="Tesla K40m", capability="3.5", driver="470.223.02", cuda="11.4")
HOSTS = [HostSpec("ws-01"), HostSpec("ws-02"), HostSpec("lab-07", gpu=OLD), HostSpec("lab-08")]
SESSION = (
    "pyinfra -y inventory.py deploys/torch.py --data packages=numpy",
    "fleetwheel drift inventory.py",
)
FONTS = re.compile(r"\s*@font-face \{.*?\}\n", re.DOTALL)
"""rich names web fonts, which a picture in a repository should not fetch."""


def at_a_terminal(command: str, directory: Path) -> str:
    """Run a command as at a terminal, and return what it showed, with its colours."""
    terminal, inside = pty.openpty()
    programs = Path(sys.executable).parent
    with subprocess.Popen(
        ["sh", "-c", command],
        cwd=directory,
        env={
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "COLUMNS": str(COLUMNS),
            "TERM": "xterm-256color",
        },
        stdin=inside,
        stdout=inside,
        stderr=inside,
    ):
        os.close(inside)
        shown = b""
        try:
            while chunk := os.read(terminal, 65536):
                shown += chunk
        except OSError:  # Linux says so that the other end was closed
            pass
    os.close(terminal)
    return shown.decode().replace("\r\n", "\n")


def main(picture: Path) -> None:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as place, fleet(Path(place) / "rig", HOSTS) as rig:
        project = FleetProject(Path(place) / "project", rig)
        project.inventory()
        rig["lab-08"].kill()
        for command in SESSION:
            console.print(f"[bold green]$[/] {command}")
            console.print(Text.from_ansi(at_a_terminal(command, project.directory)))
    picture.write_text(FONTS.sub("", console.export_svg(title="fleetwheel")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

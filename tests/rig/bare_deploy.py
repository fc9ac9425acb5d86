"""Onboarding of a bare host from a copy of the project."""

import os
import pty
import subprocess
from pathlib import Path

from tests.project import Project, copy_of_checkout


class Controller:
    """A project directory whose inventory is one bare host."""

    def __init__(self, directory: Path, inventory: str) -> None:
        directory.mkdir()
        self.project = Project(copy_of_checkout(directory), Path())
        (directory / "inventory" / "lab.yaml").write_text(inventory)

    def onboard(self, *options: str) -> subprocess.CompletedProcess[str]:
        program = self.project.command()[0]
        return subprocess.run(
            [program, *options, "inventory.py", "deploys/onboard.py"],
            cwd=self.project.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            start_new_session=True,  # no terminal: sudo's password is asked for at /dev/tty
        )

    def onboard_at_a_terminal(self, password: str) -> str:
        """Onboard as a person does, who gives the password when asked; return what was said."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.project.directory)
            words = ["-y", "--use-sudo-password", "inventory.py", "deploys/onboard.py"]
            os.execv(self.project.command()[0], ["pyinfra", *words])
        said = ""
        while True:
            try:
                text = os.read(terminal, 4096).decode(errors="replace")
            except OSError:  # it has ended
                os.waitpid(pid, 0)
                return said
            said += text
            if text.rstrip().endswith("sudo password:"):
                os.write(terminal, f"{password}\n".encode())

"""A Windows host for tests: Wine with real CPython, uv.exe and cmd, behind an SSH server.

The server builds command lines as sshd on Windows does. What this is not: PowerShell, the real
sshd, a GPU driver, user account control.
"""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.rig.windows import prefix as wine

__all__ = ["Rig", "windows_rig"]


@dataclass(frozen=True)
class Rig:
    """How to reach the host, and what lies on its disk."""

    directory: Path
    port: int
    password: str
    address: str = "127.0.0.1"
    user: str = "tester"

    @property
    def key(self) -> Path:
        """The private key that logs in."""
        return self.directory / "id"

    @property
    def known_hosts_line(self) -> str:
        kind, key = (self.directory / "host.pub").read_text().split()[:2]
        return f"[{self.address}]:{self.port} {kind} {key}"

    @property
    def known_hosts(self) -> Path:
        """A file that expects the server's key."""
        path = self.directory / "known_hosts"
        path.write_text(f"{self.known_hosts_line}\n")
        return path

    @property
    def drive_c(self) -> Path:
        return self.directory / "prefix/drive_c"

    @property
    def data(self) -> dict[str, object]:
        """What pyinfra's host data says of this host."""
        return {
            "ssh_hostname": self.address,
            "ssh_port": self.port,
            "ssh_user": self.user,
            "ssh_key": str(self.key),
            "ssh_known_hosts_file": str(self.known_hosts),
            "ssh_strict_host_key_checking": "yes",
        }

    def drop_after(self, size: int) -> None:
        """Let the connection drop when a client has sent this many more bytes of files or input."""
        (self.directory / "drop-after").write_text(str(size))

    def stall_after(self, size: int) -> None:
        """Let the server take a break of 5 seconds then."""
        (self.directory / "stall-after").write_text(str(size))

    def nvidia_smi(
        self, text: str, *, name: str = "default", code: int = 0, delay: int = 0
    ) -> None:
        """Let nvidia-smi.exe say this, exit with ``code``, after ``delay`` milliseconds.

        ``name`` is for one set of arguments: all of them with a hyphen for every character but
        letters and digits, such as ``--query-gpu-name``.
        """
        script = self.drive_c / "windows/system32/nvidia-smi.script"
        script.mkdir(exist_ok=True)
        (script / f"{name}.txt").write_bytes(text.replace("\n", "\r\n").encode())
        (script / f"{name}.code").write_text(str(code))
        (script / f"{name}.delay").write_text(str(delay))


@contextmanager
def windows_rig(directory: Path, shell: str = "cmd", port: int = 0) -> Iterator[Rig]:
    """Run a Windows host in ``directory``, which must not exist, until the block ends.

    ``shell`` is sshd's default shell, cmd or powershell. The first call on a machine takes half a
    minute, later ones about two seconds.
    """
    directory.mkdir()
    for name in ("host", "id"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True
        )
    prefix = wine.fresh(directory / "prefix")
    with _wine(prefix), _server(directory, shell, port) as rig:
        yield rig


@contextmanager
def _wine(prefix: Path) -> Iterator[None]:
    """Keep a Wine server, and the services that the first program starts, while in use."""
    environment = wine.environment(prefix)

    def run(*command: str | Path) -> int:
        nothing = subprocess.DEVNULL
        return subprocess.run(
            command, env=environment, stdin=nothing, stdout=nothing, stderr=nothing, timeout=120
        ).returncode

    # It comes back when it is ready: a program that is earlier starts a server that does not stay.
    assert run(wine.WINESERVER, "-p") == 0
    try:
        assert run(wine.WINE, "cmd", "/c", "ver") == 0
        yield
    finally:
        run(wine.WINESERVER, "-k")
        run(wine.WINESERVER, "-w")


@contextmanager
def _server(directory: Path, shell: str, port: int) -> Iterator[Rig]:
    password = secrets.token_hex(8)
    command = [sys.executable, "-m", "tests.rig.windows.server", directory, "--shell", shell]
    server = subprocess.Popen(
        [*command, "--port", str(port)],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin and server.stdout
    with server:
        server.stdin.write(f"{password}\n")
        server.stdin.flush()
        try:
            yield Rig(directory, int(server.stdout.readline()), password)
        finally:
            server.terminate()

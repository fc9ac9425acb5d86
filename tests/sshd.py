"""An SSH server of one's own on loopback, with the keys that go with it."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def sshd(directory: Path, *options: str) -> Iterator[int]:
    """Run sshd and give its port.

    The directory gets the keys ``host``, ``id`` (whom the server lets in) and ``stranger``.
    ``options`` are further lines of its configuration.
    """
    assert PROGRAM, "sshd is not installed: scripts/install-test-tools.sh"
    for key in ("host", "stranger", "id"):
        _keygen(directory / key)
    port = _free_port()
    (directory / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host\nPidFile none\n"
        f"AuthorizedKeysFile {directory}/id.pub\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nSubsystem sftp internal-sftp\n" + "\n".join(options) + "\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([PROGRAM, "-D", "-e", "-q", "-f", directory / "sshd_config"])
    try:
        deadline = time.monotonic() + 10
        while not _listening(port):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait()


def known_hosts(directory: Path, name: str, port: int) -> Path:
    """Write a known_hosts file that expects this key of the server."""
    key = " ".join((directory / f"{name}.pub").read_text().split()[:2])
    path = directory / f"known-{name}"
    path.write_text(f"[127.0.0.1]:{port} {key}\n")
    return path


def _keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0

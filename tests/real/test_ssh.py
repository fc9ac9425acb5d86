"""The main job over real SSH: one host that works, one that is down, one whose key is wrong."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project import Project

pytestmark = pytest.mark.real
SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")


def keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of an sshd of this user's on loopback; its files lie in tmp_path."""
    if SSHD is None:
        pytest.skip("sshd is not installed: scripts/install-test-tools.sh")
    for key in ("host", "stranger", "id"):
        keygen(tmp_path / key)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nPidFile none\n"
        f"AuthorizedKeysFile {tmp_path}/id.pub\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", tmp_path / "sshd_config"])
    deadline = time.monotonic() + 10
    while not listening(port):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield port
    server.terminate()
    server.wait()


def listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def known_hosts(tmp_path: Path, name: str, port: int) -> Path:
    """Write a known_hosts file that expects this key of the server."""
    key = " ".join((tmp_path / f"{name}.pub").read_text().split()[:2])
    path = tmp_path / f"known-{name}"
    path.write_text(f"[127.0.0.1]:{port} {key}\n")
    return path


def test_a_fleet_of_which_some_fail(project: Project, port: int, tmp_path: Path) -> None:
    (project.directory / "inventory" / "lab.yaml").write_text(f"""\
defaults: {{key: {tmp_path}/id, address: 127.0.0.1, port: {port}}}
groups:
  lab:
    known_hosts: {known_hosts(tmp_path, "host", port)}
    hosts:
      up:
      down: {{port: 1}}
hosts:
  imposter: {{known_hosts: {known_hosts(tmp_path, "stranger", port)}}}
""")
    done = project.deploy()
    newest = max((project.directory / "reports").glob("*.json"))
    status = {host["name"]: host["status"] for host in json.loads(newest.read_text())["hosts"]}
    assert status == {"up": "changed", "down": "unreachable", "imposter": "unreachable"}, (
        done.stdout
    )
    assert done.returncode == 1
    assert project.python("import torch; print(torch.__version__)")
    again = project.run("-y", "deploys/torch.py", "--limit", "up")
    assert again.returncode == 0, again.stdout
    assert project.report()["status"] == "unchanged"

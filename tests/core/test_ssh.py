"""The main job over real SSH: one host that works, one that is down, one whose key is wrong."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project import Project
from tests.sshd import PROGRAM, known_hosts, sshd

pytestmark = pytest.mark.real


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of an sshd of this user's on loopback; its files lie in tmp_path."""
    if PROGRAM is None:
        pytest.skip("sshd is not installed: scripts/install-test-tools.sh")
    with sshd(tmp_path) as port:
        yield port


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

"""What the mirror has done where systemd runs, which no host of the real tests has."""

import os
import subprocess
from pathlib import Path

import pytest

from fleetwheel.operations import mirror
from tests.project import copy_of_checkout, run_pyinfra

INVENTORY = """\
hosts = [("@fake/m1", {{"fake_delay": 0, "fake_delay_jitter": 0, "fake_responses": {{
    "uname": "Linux",
    "command -v useradd": "/usr/sbin/useradd",
    "systemctl show": "Id=fleetwheel-mirror.service\\nSubState={state}",
}}}})]
"""
DEPLOY = """\
from pyinfra.api import operation

from fleetwheel.facts.mirror import Ground
from fleetwheel.operations import mirror

GROUND = Ground(nginx="/usr/sbin/nginx", systemd=True, root=True)

@operation()
def start():
    yield from mirror._start("/opt/f/mirror", GROUND)

start()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_checkout(tmp_path_factory.mktemp("project"))


def told(project: Path, state: str) -> list[str]:
    """Return what changes something on a host with systemd, in its order."""
    (project / "lab.py").write_text(INVENTORY.format(state=state))
    (project / "start.py").write_text(DEPLOY)
    said = run_pyinfra(project, "-y", "-vv", "lab.py", "start.py").stdout
    commands = [line.partition(">>> ")[2] for line in said.splitlines() if ">>> " in line]
    changing = ("timeout ", "systemctl ")
    return [command for command in commands if command.startswith(changing)]


@pytest.mark.parametrize(("state", "last"), [("dead", "start"), ("running", "reload")])
def test_nginx_runs_as_a_service_of_its_own_user(project: Path, state: str, last: str) -> None:
    assert told(project, state) == [
        "timeout 60 runuser -u fleetwheel-mirror -- /usr/sbin/nginx -e /opt/f/mirror/run/error.log"
        " -c /opt/f/mirror/nginx.conf -t -q",
        "systemctl enable fleetwheel-mirror.service",
        "systemctl daemon-reload",
        f"systemctl {last} fleetwheel-mirror.service",
    ]


@pytest.mark.parametrize("kind", ["fifo", "zeros", "nothing", "no number"])
def test_what_nginx_says_of_its_process_has_an_end(tmp_path: Path, kind: str) -> None:
    pid = tmp_path / "run/nginx.pid"
    pid.parent.mkdir()
    if kind == "fifo":
        os.mkfifo(pid)
    elif kind == "zeros":
        pid.symlink_to("/dev/zero")
    elif kind == "no number":
        pid.write_text("../home/theirs")
    command = ["sh", "-c", mirror.RELOAD_OR_START, tmp_path, "touch", tmp_path / "started"]
    subprocess.run(command, check=True, timeout=20)
    assert (tmp_path / "started").exists()

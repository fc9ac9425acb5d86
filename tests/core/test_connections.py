"""Runs of pyinfra over real SSH: strangers, unknown keys, busy sshds, a host without sudo."""

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import hostile_server as server
from tests.hostile_server import serving
from tests.project import copy_of_checkout, run_pyinfra
from tests.sshd import PROGRAM, known_hosts, sshd

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(PROGRAM is None, reason="sshd: scripts/install-test-tools.sh"),
]
STRANGERS = (
    server.a_line_that_steers,
    server.an_endless_line,
    server.a_huge_packet,
    server.a_disconnect,
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return copy_of_checkout(tmp_path / "project")


def way(directory: Path, port: int) -> dict[str, object]:
    """Return pyinfra's data of a host at which this sshd listens."""
    return {
        "ssh_hostname": "127.0.0.1",
        "ssh_port": port,
        "ssh_key": f"{directory}/id",
        "ssh_known_hosts_file": str(known_hosts(directory, "host", port)),
    }


def test_strangers_cost_a_healthy_host_nothing(project: Path, tmp_path: Path) -> None:
    with sshd(tmp_path) as port, ExitStack() as stack:
        hosts: dict[str, dict[str, object]] = {"healthy": way(tmp_path, port)}
        for talk in STRANGERS:
            strange = stack.enter_context(serving(talk))
            hosts[talk.__name__] = {"ssh_hostname": "127.0.0.1", "ssh_port": strange}
        (project / "lab.py").write_text(f"lab = {[*hosts.items()]!r}\n")
        done = run_pyinfra(project, "-y", "--debug", "lab.py", "exec", "--", "echo", "a\x1b[2Jb")
    assert "a?[2Jb" in done.stdout
    assert not set(done.stdout) & set("\x1b\x07")
    for talk in STRANGERS:
        assert f"[{talk.__name__}]" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_dry_run_goes_on_without_the_hosts_that_are_down(project: Path) -> None:
    (project / "lab.py").write_text(
        "lab = [('@fake/mute', {'fake_delay': 0}), ('down', {'ssh_hostname': '127.0.0.1',"
        " 'ssh_port': 9})]\n"
    )
    done = run_pyinfra(project, "--dry", "lab.py", "deploys/torch.py")
    assert done.returncode == 1, done.stdout  # a host failed
    assert "EOFError" not in done.stdout
    assert "\ndown        unreachable" in done.stdout
    assert "\n@fake/mute  failed" in done.stdout


def test_an_unknown_key_is_refused_without_an_inventory_too(project: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    with sshd(tmp_path) as port:
        given = way(tmp_path, port) | {"ssh_known_hosts_file": str(empty)}
        data = [word for item in given.items() for word in ("--data", "{}={}".format(*item))]
        done = run_pyinfra(project, "-y", *data, "@ssh/127.0.0.1", "deploys/torch.py")
    assert "unreachable" in done.stdout
    assert "`fleetwheel add HOST` shows its keys" in done.stdout
    assert empty.read_text() == ""


def test_a_host_without_sudo_says_so_in_a_line(project: Path, tmp_path: Path) -> None:
    if shutil.which("sudo"):
        pytest.skip("there is a sudo here")
    with sshd(tmp_path) as port:
        hosts = [("far", way(tmp_path, port) | {"_sudo": True})]
        (project / "lab.py").write_text(f"lab = {hosts!r}\n")
        done = run_pyinfra(project, "-y", "lab.py", "deploys/torch.py")
    assert "Traceback" not in done.stdout
    assert "\nfar   failed" in done.stdout
    assert "the host has no sudo" in done.stdout


def test_one_session_at_a_time_is_enough(project: Path, tmp_path: Path) -> None:
    """Sending a file leaves a session open, for which another has no room."""
    (project / "mine.py").write_text(
        "from pyinfra.operations import files, server\n"
        "for number in range(3):\n"
        f"    files.put(src='config.py', dest=f'{tmp_path}/copy-{{number}}')\n"
        "    server.shell(commands=['true'])\n"
    )
    with sshd(tmp_path, "MaxSessions 1") as port:
        (project / "lab.py").write_text(f"lab = {[('far', way(tmp_path, port))]!r}\n")
        done = run_pyinfra(project, "-y", "lab.py", "mine.py")
    assert done.returncode == 0, done.stdout
    assert len(list(tmp_path.glob("copy-*"))) == 3


def test_30_hosts_behind_one_jump_host(project: Path, tmp_path: Path) -> None:
    """sshd drops some of more than ten logins at a time, by its default."""
    with sshd(tmp_path) as port:
        known = known_hosts(tmp_path, "host", port)
        (tmp_path / "config").write_text(
            f"Host *\n HostName 127.0.0.1\n Port {port}\n IdentityFile {tmp_path}/id\n"
            f" UserKnownHostsFile {known}\nHost behind-*\n ProxyJump jump\n"
        )
        data = {"ssh_config_file": f"{tmp_path}/config", "ssh_known_hosts_file": str(known)}
        hosts = [(f"behind-{number}", data) for number in range(30)]
        (project / "lab.py").write_text(f"lab = {hosts!r}\n")
        done = run_pyinfra(project, "-y", "lab.py", "exec", "--", "true", seconds=300)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("Connected") == 30

"""Bare Debian hosts become members: real apt, real uv, real torch for CPU, over real SSH."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.bare import USER, Bare, bare_host, missing
from tests.rig.bare_deploy import Controller

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]
VERSION = "-c 'import torch; print(torch.__version__)'"
HAS_PYTHON = "command -v python3 || echo none"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    """A host that is bare for the first test of this module, which then follow each other."""
    with bare_host(tmp_path_factory.mktemp("bare") / "host") as bare:
        yield bare


def test_a_user_without_sudo_is_told_what_to_do(bare: Bare, tmp_path: Path) -> None:
    controller = Controller(tmp_path / "project", bare.inventory(USER))
    done = controller.onboard("-y")
    assert done.returncode == 1
    assert "may not install one" in done.stdout
    assert bare.run(HAS_PYTHON).strip() == "none"
    assert "fleetwheel" not in bare.run("find / -xdev -name '*fleetwheel*'")


def test_a_password_that_nobody_can_type_fails_that_host_alone(bare: Bare, tmp_path: Path) -> None:
    controller = Controller(tmp_path / "project", bare.inventory(USER, sudo="true"))
    (controller.project.directory / "inventory/this.yaml").write_text('hosts: {"@local": }')
    assert "sudo asks for a password" in controller.onboard("--dry").stdout
    checked = subprocess.run(
        [Path(sys.executable).with_name("fleetwheel"), "facts", "inventory.py", "--json"],
        cwd=controller.project.directory,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert checked.returncode == 4, checked.stderr
    assert "sudo asks for a password" in checked.stdout
    assert checked.stdout.count('"glibc"') == 1, "@local has answered"


def test_a_dry_run_installs_nothing(bare: Bare, tmp_path: Path) -> None:
    done = Controller(tmp_path / "project", bare.inventory()).onboard("--dry")
    assert done.returncode == 0, done.stdout
    assert "install python3 by apt" in done.stdout
    assert bare.run(HAS_PYTHON).strip() == "none"


def test_package_sources_that_are_down_are_named(bare: Bare, tmp_path: Path) -> None:
    sources = "/etc/apt/sources.list"
    dead = "deb http://127.0.0.1:1/debian bookworm main"
    bare.run(f"mv {sources} /root/; echo '{dead}' >{sources}; rm -rf /var/lib/apt/lists/*")
    controller = Controller(tmp_path / "project", bare.inventory())
    done = controller.onboard("-y")
    bare.run(f"mv /root/sources.list {sources}")
    assert done.returncode == 1
    why = controller.project.report()["why"]
    assert "python3 cannot be installed by apt" in why
    assert "127.0.0.1:1" in why
    assert "fix the package sources" in why


def test_root_makes_it_a_member_and_then_changes_nothing(bare: Bare, tmp_path: Path) -> None:
    controller = Controller(tmp_path / "project", bare.inventory())
    done = controller.onboard("-y")
    assert done.returncode == 0, done.stdout
    entry = controller.project.report()
    assert (entry["status"], entry["smoke"]["passed"]) == ("changed", True)
    python = "/opt/fleetwheel/current/bin/python"
    assert bare.run(f"{python} {VERSION}", USER).strip() == entry["choice"]["packages"]["torch"]
    closed = "find /opt/fleetwheel -not -name .lock -not -perm -o=r -not -type l"
    assert bare.run(closed) == "", "every user shares the environments"
    assert bare.run(". /opt/fleetwheel/current/bin/activate && python " + VERSION, USER)
    again = controller.onboard("-y")
    assert again.returncode == 0, again.stdout
    assert controller.project.report()["status"] == "unchanged"


def test_a_jump_host_on_the_way(bare: Bare, tmp_path: Path) -> None:
    """The host is its own jump host; its sshd sees who comes."""
    way = f"  HostName 127.0.0.1\n  Port {bare.port}\n  IdentityFile {bare.directory}/id\n"
    way += f"  UserKnownHostsFile {bare.directory}/known_hosts\n"
    config = tmp_path / "config"
    config.write_text(f"Host jump\n  User {USER}\n{way}Host inner\n  ProxyJump jump\n{way}")
    inventory = bare.inventory(ssh_config=config, address="inner").replace("bare:", "inner:")
    controller = Controller(tmp_path / "project", inventory.replace(f"    port: {bare.port}\n", ""))
    done = controller.onboard("-y")
    assert done.returncode == 0, done.stdout
    assert controller.project.report()["smoke"]["passed"] is True


def test_with_a_python_there_a_user_needs_no_sudo(bare: Bare, tmp_path: Path) -> None:
    done = Controller(tmp_path / "project", bare.inventory(USER)).onboard("-y")
    assert done.returncode == 0, done.stdout
    python = f"/home/{USER}/.local/share/fleetwheel/current/bin/python"
    assert bare.run(f"{python} {VERSION}", USER).strip()


def test_a_user_with_sudo_does_as_root(tmp_path: Path) -> None:
    """First with a password, given at the terminal, then without one."""
    with bare_host(tmp_path / "host", sudoers="ALL=(ALL) ALL") as bare:
        bare.run(f"echo {USER}:s3cret | chpasswd")
        controller = Controller(tmp_path / "project", bare.inventory(USER, sudo="true"))
        said = controller.onboard_at_a_terminal("s3cret")
        entry = controller.project.report()
        assert (entry["status"], entry["smoke"]["passed"]) == ("changed", True), said
        assert bare.run("stat -c %U /opt/fleetwheel/current/bin/python").strip() == "root"
        assert "s3cret" not in said
        for path in (tmp_path / "project").rglob("*.json"):
            assert "s3cret" not in path.read_text()
        bare.run("sed -i 's/) ALL/) NOPASSWD: ALL/' /etc/sudoers.d/rig")
        done = controller.onboard("-y")
        assert done.returncode == 0, done.stdout
        assert controller.project.report()["status"] == "unchanged"

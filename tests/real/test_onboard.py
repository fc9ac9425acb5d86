"""Bare Debian hosts become members: real apt, real uv, real torch for CPU, over real SSH."""

import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project import Project, copy_of_checkout
from tests.rig.bare import USER, Bare, bare_host, missing

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]
PUSH = "distribution=push"
VERSION = "-c 'import torch; print(torch.__version__)'"
HAS_PYTHON = "command -v python3 || echo none"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    """A host that is bare for the first test of this module, which then follow each other."""
    with bare_host(tmp_path_factory.mktemp("bare") / "host") as bare:
        yield bare


class Controller:
    """A project directory whose inventory is one bare host."""

    def __init__(self, directory: Path, inventory: str) -> None:
        directory.mkdir()
        self.project = Project(copy_of_checkout(directory), Path())
        (directory / "inventory" / "lab.yaml").write_text(inventory)

    def onboard(self, *options: str) -> subprocess.CompletedProcess[str]:
        program = self.project.command()[0]
        return subprocess.run(
            [program, *options, "inventory.py", "deploys/onboard.py", "--data", PUSH],
            cwd=self.project.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )

    def onboard_at_a_terminal(self, password: str) -> str:
        """Onboard as a person does, who gives the password when asked; return what was said."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.project.directory)
            words = ["-y", "--use-sudo-password", "inventory.py", "deploys/onboard.py"]
            os.execv(self.project.command()[0], ["pyinfra", *words, "--data", PUSH])
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


def test_a_user_without_sudo_is_told_what_to_do(bare: Bare, tmp_path: Path) -> None:
    controller = Controller(tmp_path / "project", bare.inventory(USER))
    done = controller.onboard("-y")
    assert done.returncode == 1
    assert "may not install one" in done.stdout
    assert bare.run(HAS_PYTHON).strip() == "none"
    assert "fleetwheel" not in bare.run("find / -xdev -name '*fleetwheel*'")


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
    assert "mend the package sources" in why


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
    with bare_host(tmp_path / "host", sudoers="ALL=(ALL) NOPASSWD: ALL") as bare:
        controller = Controller(tmp_path / "project", bare.inventory(USER, sudo="true"))
        done = controller.onboard("-y")
        assert done.returncode == 0, done.stdout
        assert controller.project.report()["smoke"]["passed"] is True
        assert bare.run("stat -c %U /opt/fleetwheel/current/bin/python").strip() == "root"


def test_a_user_gives_the_password_for_sudo_at_the_terminal(tmp_path: Path) -> None:
    with bare_host(tmp_path / "host", sudoers="ALL=(ALL) ALL") as bare:
        bare.run(f"echo {USER}:s3cret | chpasswd")
        controller = Controller(tmp_path / "project", bare.inventory(USER, sudo="true"))
        said = controller.onboard_at_a_terminal("s3cret")
        entry = controller.project.report()
        assert (entry["status"], entry["smoke"]["passed"]) == ("changed", True), said
        assert "s3cret" not in said
        for path in (tmp_path / "project").rglob("*.json"):
            assert "s3cret" not in path.read_text()

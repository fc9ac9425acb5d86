"""A user of a host who lies in wait where others work: nothing of that user's runs as root."""

import base64
import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.project import run_pyinfra
from tests.rig.bare import USER, Bare, bare_host, missing
from tests.rig.bare_deploy import Controller

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]
OTHER = "mallory"
FLEET = """
useradd --create-home mallory
echo 'mallory:*' | chpasswd -e
mkdir -p /etc/cron.d /srv/fleet/.venv/bin
printf '#!/bin/sh\\n' >/srv/fleet/.venv/bin/fleetwheel
chmod 755 /srv/fleet /srv/fleet/.venv /srv/fleet/.venv/bin /srv/fleet/.venv/bin/fleetwheel
"""
LIE_IN_WAIT = """
sent=$1 target=$2
umask 0
: >"$sent"
echo ready
until test -s "$sent"; do :; done
echo '* * * * * root touch /run/taken' >"$sent"
until test -s "$target"; do :; done
rm -f "$sent"
"""
"""Rewrites a file that came to a name known beforehand, until root has it."""
CRONTAB = "/etc/cron.d/fleetwheel-drift"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    directory = tmp_path_factory.mktemp("bare") / "host"
    with bare_host(directory, sudoers="ALL=(ALL) NOPASSWD: ALL") as bare:
        bare.run(FLEET)
        yield bare


def deploy(bare: Bare, directory: Path, name: str, **said: object) -> str:
    """Run a deploy as a user who has sudo; return what it says."""
    controller = Controller(directory, bare.inventory(USER, sudo="true", **said))
    directory = controller.project.directory
    return run_pyinfra(directory, "-y", "inventory.py", f"deploys/{name}.py").stdout


@contextmanager
def lying_in_wait(bare: Bare, sent: str, target: str) -> Iterator[None]:
    """Have the other user run ``LIE_IN_WAIT`` on the host."""
    known = f"UserKnownHostsFile={bare.directory}/known_hosts"
    ssh = ["ssh", "-p", str(bare.port), "-i", bare.directory / "id", "-o", known]
    with subprocess.Popen(
        [*ssh, f"{OTHER}@127.0.0.1", "timeout 30 sh -s", sent, target],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write(LIE_IN_WAIT)
        process.stdin.close()
        assert process.stdout.readline() == "ready\n"
        yield
        process.kill()


def test_what_root_is_sent_passes_through_no_file_of_others(bare: Bare, tmp_path: Path) -> None:
    name = hashlib.sha1(f"{CRONTAB}.new".encode()).hexdigest()
    with lying_in_wait(bare, f"/tmp/pyinfra-{name}", f"{CRONTAB}.new"):
        said = deploy(bare, tmp_path / "project", "schedule", schedule="{directory: /srv/fleet}")
    assert " changed" in said, said
    assert "taken" not in bare.run(f"cat {CRONTAB}*")
    assert bare.run("stat -c '%U %a' " + CRONTAB) == "root 644\n"
    assert bare.run(f"stat -c '%U %s' /tmp/pyinfra-{name}") == f"{OTHER} 0\n"


SEND = """
from io import StringIO
from pyinfra.api import operation
from fleetwheel.operations import _push

@operation()
def send():
    yield _push.upload(StringIO("for a third user\\n"), "/home/third/sent")

send(_sudo=True, _sudo_user="third")
"""


def test_a_third_user_is_sent_files_too(bare: Bare, tmp_path: Path) -> None:
    """Where that user may read no file of the one who logs in, and there is no setfacl."""
    bare.run("useradd --create-home third && chmod 700 /home/third")
    controller = Controller(tmp_path / "project", bare.inventory(USER))
    (controller.project.directory / "send.py").write_text(SEND)
    done = run_pyinfra(controller.project.directory, "-y", "inventory.py", "send.py")
    assert done.returncode == 0, done.stdout
    assert bare.run("cat /home/third/sent") == "for a third user\n"
    assert bare.run("stat -c '%U %a' /home/third/sent") == "third 644\n"


VARIABLES = ("PYTHONPATH", "PYTHONHOME", "LD_PRELOAD", "BASH_ENV", "ENV", "TMPDIR", "UV_INDEX")


def test_no_variable_of_who_logs_in_reaches_root(bare: Bare, tmp_path: Path) -> None:
    exports = [f"export {name}=/home/{USER}/theirs" for name in VARIABLES]
    lines = "\n".join([*exports, f"export PATH=/home/{USER}/theirs:$PATH"])
    bare.run(f"echo {base64.b64encode(lines.encode()).decode()} | base64 -d >/home/{USER}/.bashrc")
    try:
        own = bare.run("env 2>/dev/null", USER)
        controller = Controller(tmp_path / "project", bare.inventory(USER, sudo="true"))
        command = ("-y", "-v", "inventory.py", "exec", "--", "env")
        roots = run_pyinfra(controller.project.directory, *command).stdout
    finally:
        bare.run(f"rm /home/{USER}/.bashrc")
    assert {name for name in (*VARIABLES, "PATH") if f"{name}=/home/{USER}/theirs" in own} == {
        *VARIABLES,
        "PATH",
    }
    assert "SUDO_USER=" in roots, roots
    assert "theirs" not in roots

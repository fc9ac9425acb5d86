"""The schedule put on a machine and taken away: real files and real systemd-analyze.

The machine is a mount namespace in which /etc, /run, /srv, /var/lib and /usr/local/sbin are its
own. systemd cannot run in it, so systemctl is a program that keeps in a file what it was told.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleetwheel.collectors import program
from fleetwheel.node.place import WINDOWS_LAUNCHER
from tests.project import copy_of_checkout, run_pyinfra
from tests.rig.windows import Rig, windows_rig
from tests.rig.windows.calls import connect_and_call
from tests.rig.windows.prefix import missing
from tests.samples import lock_with, record_of, state_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace"),
    pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze"),
]
SYSTEMCTL = """\
#!/bin/sh
case "$1" in is-*) ;; *) echo "$*" >>/run/told ;; esac
case "$1" in
enable) touch /run/enabled ;;
restart) touch /run/active ;;
disable) rm -f /run/enabled /run/active ;;
is-enabled) test -e /run/enabled ;;
is-active) test -e /run/active ;;
esac
"""
MOUNTS = """
set -e
cp -a /etc "$0/etc"
for place in /run /srv /var/lib /usr/local/sbin; do mount -t tmpfs -o mode=755 tmpfs "$place"; done
mount --bind "$0/etc" /etc
mkdir -p /srv/fleet/.venv/bin /etc/systemd/system /etc/cron.d
printf '#!/bin/sh\n' >/srv/fleet/.venv/bin/fleetwheel
chmod +x /srv/fleet/.venv/bin/fleetwheel
echo ready
exec sleep 600
"""
FILES = (
    "/etc/systemd/system/fleetwheel-drift.service",
    "/etc/systemd/system/fleetwheel-drift.timer",
    "/etc/systemd/system/fleetwheel-drift-hook.service",
    "/etc/cron.d/fleetwheel-drift",
    "/usr/local/sbin/fleetwheel-pull",
    "/etc/systemd/system/fleetwheel-pull.service",
    "/etc/systemd/system/fleetwheel-pull.timer",
    "/etc/cron.d/fleetwheel-pull",
    "/usr/local/sbin/fleetwheel-slurm-health",
    "/usr/local/sbin/fleetwheel-slurm-prolog",
)
PYINFRA = Path(sys.executable).with_name("pyinfra")
DIRECTORY = "directory: /srv/fleet"
PULL = f"{DIRECTORY}, mode: pull, source: /srv/source.git, prometheus: /srv/metrics/fleet.prom"


class Namespace:
    """A machine with a file system of its own."""

    def __init__(self, base: Path) -> None:
        self.project = copy_of_checkout(base / "project")
        self.programs = base / "bin"
        self.programs.mkdir()
        (self.programs / "systemctl").write_text(SYSTEMCTL)
        (self.programs / "systemctl").chmod(0o755)
        self.process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", MOUNTS, base], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"

    def run(self, *command: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", "-t", str(self.process.pid), "-m", "sh", "-c", 'cd "$0" && exec "$@"']
        path = f"{self.programs}:{os.environ['PATH']}"
        return subprocess.run(
            [*enter, self.project, *command],
            env={**os.environ, "PATH": path, "COLUMNS": "300", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )

    def schedule(
        self, said: str, *options: str, trust: str = "{}"
    ) -> subprocess.CompletedProcess[str]:
        """Run the deploy with a schedule in the inventory."""
        lab = self.project / "lab.yaml"
        lab.write_text(f'hosts: {{"@local": {{schedule: {{{said}}}, trust: {trust}}}}}\n')
        return self.run(
            *(PYINFRA, "inventory.py", "deploys/schedule.py", *(options or ["-y"])),
            FLEETWHEEL_INVENTORY=str(lab),
        )

    def there(self) -> set[str]:
        return {path for path in FILES if self.run("test", "-f", path).returncode == 0}

    def tree(self) -> str:
        """Return every file of the machine that a schedule could touch, with its time of change."""
        places = ("/etc/systemd/system", "/etc/cron.d", "/run", "/srv", "/usr/local", "/var/lib")
        return self.run("find", *places, "-printf", "%p %T@ %m %u\n").stdout


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Namespace]:
    (tmp_path / "project").mkdir()
    machine = Namespace(tmp_path)
    yield machine
    machine.process.kill()
    machine.process.communicate()


def test_systemd(machine: Namespace) -> None:
    machine.run("mkdir", "-p", "/run/systemd/system")
    hook = 'at: 03:15, hook: [logger, "50% drift"]'
    before = machine.tree()
    dry = machine.schedule(f"{DIRECTORY}, {hook}", "--dry")
    assert dry.returncode == 0, dry.stdout
    assert "would change" in dry.stdout
    assert machine.tree() == before

    done = machine.schedule(f"{DIRECTORY}, {hook}")
    assert done.returncode == 0, done.stdout
    assert machine.there() == {*FILES[:3]}
    assert machine.run("systemd-analyze", "verify", "--man=no", *FILES[:2]).stdout == ""
    assert "enable fleetwheel-drift.timer" in machine.run("cat", "/run/told").stdout
    assert machine.run("stat", "-c", "%a %U", "/var/lib/fleetwheel-drift").stdout == "700 root\n"

    before = machine.tree()
    again = machine.schedule(f"{DIRECTORY}, {hook}")
    assert "unchanged" in again.stdout
    assert machine.tree() == before

    assert machine.schedule(DIRECTORY).returncode == 0
    assert machine.there() == {*FILES[:2]}
    assert "OnFailure" not in machine.run("cat", FILES[0]).stdout

    assert machine.schedule(f"{DIRECTORY}, present: false").returncode == 0
    assert machine.there() == set()
    assert machine.run("test", "-e", "/run/enabled").returncode != 0
    assert "unchanged" in machine.schedule(f"{DIRECTORY}, present: false").stdout


MIRROR = "/etc/systemd/system/fleetwheel-mirror.service"


def remove(machine: Namespace, what: str, *options: str) -> str:
    """Run deploys/remove.py with an inventory that says nothing; return what that prints."""
    lab = machine.project / "lab.yaml"
    lab.write_text('hosts: {"@local": {root: /srv/root}}\n')
    done = machine.run(
        *(PYINFRA, "inventory.py", "deploys/remove.py", "--data", f"what={what}"),
        *(options or ["-y"]),
        FLEETWHEEL_INVENTORY=str(lab),
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_schedule_goes_that_the_inventory_does_not_know(machine: Namespace) -> None:
    machine.run("mkdir", "-p", "/run/systemd/system")
    assert machine.schedule(f"{DIRECTORY}, hook: [logger]").returncode == 0
    before = machine.tree()
    assert "the schedule" in remove(machine, "schedule", "--dry")
    assert machine.tree() == before
    remove(machine, "schedule")
    assert machine.there() == set()
    assert machine.run("test", "-e", "/run/enabled").returncode != 0
    assert "nothing to remove" in remove(machine, "schedule")


def test_all_of_fleetwheel_goes(machine: Namespace) -> None:
    """A mirror as its deploy leaves it where systemd runs, which it does not here."""
    machine.run("mkdir", "-p", "/run/systemd/system", "/srv/root/mirror/cache", "/srv/root/envs")
    machine.run("touch", "/srv/root/certificates.pem", "/srv/root/mirror/nginx.conf", MIRROR)
    state = '{"schema": "fleetwheel.state/2", "environments": {}}'
    machine.run("sh", "-c", 'echo "$0" >/srv/root/state.json', state)
    machine.run("useradd", "--system", "--no-create-home", "fleetwheel-mirror")
    assert machine.schedule(DIRECTORY).returncode == 0
    before = machine.tree()
    planned = remove(machine, "everything", "--dry")
    for word in ("the schedule", "the mirror", "/var/lib/fleetwheel-drift", "under /srv/root"):
        assert word in planned
    assert machine.tree() == before
    remove(machine, "everything")
    gone = ("/srv/root", "/var/lib/fleetwheel-drift", MIRROR)
    assert [path for path in gone if machine.run("test", "-e", path).returncode == 0] == []
    assert machine.there() == set()
    assert machine.run("id", "fleetwheel-mirror").returncode != 0
    assert machine.run("test", "-d", "/srv/fleet/.venv").returncode == 0, "the project is yours"
    told = machine.run("cat", "/run/told").stdout
    assert "disable --now fleetwheel-mirror.service" in told
    assert "disable --now fleetwheel-drift.timer" in told
    assert "nothing to remove" in remove(machine, "everything")


def test_a_timer_that_somebody_stopped_runs_again(machine: Namespace) -> None:
    machine.run("mkdir", "-p", "/run/systemd/system")
    machine.schedule(DIRECTORY)
    machine.run("rm", "/run/active")
    assert machine.schedule(DIRECTORY).returncode == 0
    assert machine.run("test", "-e", "/run/active").returncode == 0


NODE = "mode: slurm"
PROGRAM = "/opt/fleetwheel/bin/fleetwheel-node"
SCONTROL = """\
#!/bin/sh
# Slurm as it lists its settings while /run/slurm.conf names a program.
test ! -e /run/down || exit 1
if test -e /run/slurm.conf; then echo "Prolog                  = $(cat /run/slurm.conf)"; fi
"""


def test_slurm_runs_the_check(machine: Namespace) -> None:
    machine.run("mkdir", "-p", "/run/systemd/system")
    assert "the host has no scontrol" in machine.schedule(NODE).stdout
    (machine.programs / "scontrol").write_text(SCONTROL)
    (machine.programs / "scontrol").chmod(0o755)
    machine.run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/opt")
    refused = machine.schedule(NODE)
    assert refused.returncode == 1
    assert f"{PROGRAM} is not on this host, and Slurm would run it" in refused.stdout
    machine.run("install", "-D", "/dev/null", PROGRAM)
    machine.run("chown", "daemon", PROGRAM)
    assert f"{PROGRAM} belongs to daemon" in machine.schedule(NODE).stdout
    machine.run("chown", "root", PROGRAM)

    machine.schedule(DIRECTORY)
    before = machine.tree()
    assert "would change" in machine.schedule(NODE, "--dry").stdout
    assert machine.tree() == before
    done = machine.schedule(NODE)
    assert done.returncode == 0, done.stdout
    assert f"HealthCheckProgram={FILES[8]}" in done.stdout
    assert machine.there() == {*FILES[8:]}
    assert machine.run("stat", "-c", "%a %U", *FILES[8:]).stdout == "755 root\n" * 2
    assert machine.run("test", "-e", "/run/enabled").returncode != 0, "the check's timer is gone"
    assert "unchanged" in machine.schedule(NODE).stdout

    machine.run("sh", "-c", 'echo "$0" >/run/slurm.conf', FILES[9])
    for away in (f"{NODE}, present: false", DIRECTORY):
        kept = machine.schedule(away)
        assert kept.returncode == 1
        assert f"Slurm still runs {FILES[9]}, and without its prolog" in kept.stdout
        assert machine.there() == {*FILES[8:]}
    conf = 'mkdir -p /etc/slurm && echo "Prolog=$0" >/etc/slurm/slurm.conf && touch /run/down'
    machine.run("sh", "-c", conf, FILES[9])
    machine.run("rm", "/run/slurm.conf")
    assert "Slurm still runs" in machine.schedule(DIRECTORY).stdout, "slurm.conf, without slurmctld"
    machine.run("sh", "-c", "sed -i 's/^/#/' /etc/slurm/slurm.conf")
    assert machine.schedule(f"{NODE}, present: false").returncode == 0
    assert machine.there() == set()


def test_a_time_that_systemd_does_not_know_leaves_nothing(machine: Namespace) -> None:
    machine.run("mkdir", "-p", "/run/systemd/system")
    done = machine.schedule(f'{DIRECTORY}, at: "25:00"')
    assert done.returncode == 1
    assert "25:00" in done.stdout
    assert machine.there() == set()


def test_cron_where_there_is_no_systemd(machine: Namespace) -> None:
    done = machine.schedule(f"{DIRECTORY}, at: 03:15, user: daemon")
    assert done.returncode == 0, done.stdout
    assert machine.there() == {FILES[3]}
    assert machine.run("stat", "-c", "%a %U", FILES[3]).stdout == "644 root\n"
    assert machine.run("stat", "-c", "%U", "/srv/fleet/reports").stdout == "daemon\n"
    assert "unchanged" in machine.schedule(f"{DIRECTORY}, at: 03:15, user: daemon").stdout

    machine.run("mkdir", "-p", "/run/systemd/system")
    refused = machine.schedule(DIRECTORY)
    assert refused.returncode == 1
    reason = "/srv/fleet/reports belongs to daemon (1), and root would run what lies there"
    assert reason in refused.stdout
    assert "say so in the inventory: trust: {users: [daemon]}" in refused.stdout
    machine.run("chown", "root:", "/srv/fleet/reports")
    assert machine.schedule(DIRECTORY).returncode == 0
    assert machine.there() == {*FILES[:2]}


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("chown daemon /srv/fleet", "/srv/fleet belongs to daemon (1)"),
        ("chown daemon /srv", "/srv belongs to daemon (1)"),
        ("chmod 2775 /srv/fleet", "group root (0) can write to /srv/fleet"),
        (
            "chown daemon /srv/fleet/.venv/bin/fleetwheel",
            "/srv/fleet/.venv/bin/fleetwheel belongs to daemon (1)",
        ),
        (
            "touch /srv/fleet/drift.py && chmod 666 /srv/fleet/drift.py",
            "everyone can write to /srv/fleet/drift.py",
        ),
        (
            "install -o daemon /dev/null /srv/theirs"
            " && ln -s /srv/theirs /srv/fleet/.venv/bin/python",
            "/srv/theirs belongs to daemon (1)",
        ),
        (
            "install -d -o daemon /srv/theirs && ln -s ../theirs /srv/fleet/facts",
            "/srv/theirs belongs to daemon (1)",
        ),
    ],
)
def test_root_runs_nothing_that_others_can_change(
    machine: Namespace, command: str, why: str
) -> None:
    machine.run("sh", "-c", command)
    done = machine.schedule(DIRECTORY)
    assert done.returncode == 1
    assert f"{why}, and root would run what lies there" in done.stdout, done.stdout
    assert machine.there() == set()
    assert machine.schedule(f"{DIRECTORY}, user: bin").returncode == 1


def test_a_user_runs_what_is_that_users_own_or_roots(machine: Namespace) -> None:
    machine.run("sh", "-c", "chown -R daemon:daemon /srv/fleet && chmod -R g+w /srv/fleet")
    done = machine.schedule(f"{DIRECTORY}, user: daemon")
    assert done.returncode == 0, done.stdout
    machine.run("chgrp", "-R", "users", "/srv/fleet")
    done = machine.schedule(f"{DIRECTORY}, user: daemon, at: hourly")
    assert "group users (100) can write to /srv/fleet, and daemon would run" in done.stdout
    trusted = machine.schedule(f"{DIRECTORY}, user: daemon, at: hourly", trust="{groups: [users]}")
    assert trusted.returncode == 0, trusted.stdout


def test_a_pull_takes_the_place_of_a_check(machine: Namespace) -> None:
    machine.run("mkdir", "-p", "/run/systemd/system")
    machine.schedule(DIRECTORY)
    before = machine.tree()
    assert "would change" in machine.schedule(PULL, "--dry").stdout
    assert machine.tree() == before

    done = machine.schedule(PULL)
    assert done.returncode == 0, done.stdout
    assert machine.there() == {*FILES[4:7]}
    told = machine.run("cat", "/run/told").stdout
    assert "disable --now fleetwheel-drift.timer\n" in told
    assert "enable fleetwheel-pull.timer\n" in told
    modes = machine.run("stat", "-c", "%a", FILES[4], "/srv/metrics", "/var/lib/fleetwheel-pull")
    assert modes.stdout.split() == ["755", "755", "700"]

    before = machine.tree()
    assert "unchanged" in machine.schedule(PULL).stdout
    assert machine.tree() == before
    assert machine.schedule(f"{PULL}, present: false").returncode == 0
    assert machine.there() == set()


def test_a_pull_needs_git_and_somewhere_to_pull_from(machine: Namespace) -> None:
    git = shutil.which("git")
    assert git
    machine.run("mount", "--bind", "/dev/null", git)
    done = machine.schedule(PULL)
    assert done.returncode == 1
    assert "the host has no git" in done.stdout
    entries = {f"{{schedule: {{{DIRECTORY}}}}}": "needs a source", "": "this host no schedule"}
    for entry, words in entries.items():
        lab = machine.project / "lab.yaml"
        lab.write_text(f'hosts: {{"@local": {entry}}}\n')
        deploy = ["-y", "inventory.py", "deploys/schedule.py", "--data", "mode=pull"]
        done = machine.run(PYINFRA, *deploy, FLEETWHEEL_INVENTORY=str(lab))
        assert done.returncode == 1
        assert words in done.stdout
    assert machine.there() == set()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("directory: /srv/other", "no project directory /srv/other"),
        ("directory: /etc", "/etc/.venv/bin/fleetwheel is no program"),
        (f"{DIRECTORY}, user: nosuchuser", "there is no user nosuchuser"),
        (f'{DIRECTORY}, at: "Mon 03:15"', "needs systemd"),
    ],
)
def test_what_cannot_be(machine: Namespace, said: str, words: str) -> None:
    done = machine.schedule(said)
    assert done.returncode == 1
    assert words in done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    assert machine.there() == set()


def test_a_host_without_a_schedule_is_left_alone(machine: Namespace) -> None:
    lab = machine.project / "lab.yaml"
    lab.write_text('hosts: {"@local": }\n')
    before = machine.tree()
    done = machine.run(
        PYINFRA, "-y", "inventory.py", "deploys/schedule.py", FLEETWHEEL_INVENTORY=str(lab)
    )
    assert done.returncode == 0, done.stdout
    assert machine.tree() == before


LOCK = lock_with({"torch": "2.13.0+cpu"})
WINDOWS_ROOT = r"C:\fleet & co"


@dataclass
class WindowsFleet:
    """A Windows host that keeps the program for hosts, the real one, and nothing else."""

    rig: Rig
    project: Path

    def __post_init__(self) -> None:
        home = self.directory / f"lib/node-{program.digest()}"
        for path, content in program.program_files().items():
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_bytes(content)
        there = rf"{WINDOWS_ROOT}\lib\{home.name}"
        launcher = WINDOWS_LAUNCHER.format(python=r"C:\Python311\python.exe", program=there)
        (self.directory / "bin").mkdir()
        (self.directory / "bin/fleetwheel-node.cmd").write_text(launcher, newline="")

    @property
    def directory(self) -> Path:
        return self.rig.drive_c / "fleet & co"

    def schedule(self, *options: str, **said: object) -> str:
        """Run the deploy and return what it says."""
        schedule = {
            "directory": "/srv/fleet",
            "at": "03:15",
            "hook": ["C:\\windows\\arguments.exe", "100%"],
        }
        data = self.rig.data | {"schedule": schedule | said, "root": WINDOWS_ROOT}
        (self.project / "lab.py").write_text(f"hosts = [('@winssh/w', {data})]\n")
        done = run_pyinfra(self.project, *(options or ["-y"]), "lab.py", "deploys/schedule.py")
        self.ended = done.returncode
        return done.stdout

    def remove(self, *options: str) -> str:
        """Run deploys/remove.py; the inventory has no environment but the default."""
        data = self.rig.data | {"root": WINDOWS_ROOT}
        (self.project / "lab.py").write_text(f"hosts = [('@winssh/w', {data})]\n")
        command = [*(options or ["-y"]), "lab.py", "deploys/remove.py"]
        done = run_pyinfra(self.project, *command)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def register(self, *edits: str) -> None:
        """Keep the task as Task Scheduler does, perhaps edited: Wine keeps a few settings alone."""
        text = (self.directory / "schedule/fleetwheel-drift.xml").read_bytes().decode("utf-16")
        if edits:
            text = text.replace(*edits)
        task = self.rig.drive_c / "windows/system32/tasks/fleetwheel-drift"
        task.write_bytes(text.encode("utf-16"))

    def run_task(self) -> dict[str, Any]:
        """Run the task's batch file by hand: Wine keeps tasks, and runs none."""
        batch = rf"{WINDOWS_ROOT}\bin\fleetwheel-drift.cmd"
        (answer,) = connect_and_call(self.rig.data, {"run": [[batch]], "arguments": {}})
        return answer


@pytest.mark.skipif(bool(missing()), reason=str(missing()))
def test_task_scheduler(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    with windows_rig(tmp_path / "windows") as rig:
        fleet = WindowsFleet(rig, copy_of_checkout(tmp_path / "project"))
        state = fleet.directory / "schedule"
        task = rig.drive_c / "windows/system32/tasks/fleetwheel-drift"
        assert "unchanged" in fleet.schedule(present=False)
        assert "would change" in fleet.schedule("--dry")
        assert not state.exists()
        assert " changed" in fleet.schedule()
        assert task.is_file()
        fleet.register()
        assert "unchanged" in fleet.schedule()

        answer = fleet.run_task()
        report = json.loads((state / "last.json").read_text())
        assert (report["status"], report["why"][:8]) == ("critical", "package:")
        assert answer["stdout"] == ["4:100%"], answer
        assert not answer["ok"], "the hook hid the exit code"

        assert "unchanged" not in fleet.schedule(at="daily")
        fleet.register("<Settings>", "<Settings><Enabled>false</Enabled>")
        assert "unchanged" not in fleet.schedule(at="daily")
        fleet.register()
        assert "unchanged" in fleet.schedule(at="daily")

        (fleet.directory / "bin").chmod(0o777)
        assert r"Everyone can write to C:\fleet & co\bin" in fleet.schedule(at="daily")
        assert fleet.ended != 0
        (fleet.directory / "bin").chmod(0o755)

        fleet.schedule(present=False)
        assert not task.exists()
        assert not [*state.glob("*.xml"), *(fleet.directory / "bin").glob("fleetwheel-drift*")]
        assert "unchanged" in fleet.schedule(present=False)


@pytest.mark.skipif(bool(missing()), reason=str(missing()))
def test_a_windows_host_without_fleetwheel(tmp_path: Path) -> None:
    """An environment goes first, then the task and all that is ours."""
    (tmp_path / "project").mkdir()
    with windows_rig(tmp_path / "windows") as rig:
        fleet = WindowsFleet(rig, copy_of_checkout(tmp_path / "project"))
        root = fleet.directory
        ids = {"default": f"2.13.0-cp311-{'a' * 12}-1", "vision": f"2.13.0-cp311-{'b' * 12}-1"}
        (root / "environments").mkdir()
        for name, link, up in (
            ("default", "current", ""),
            ("vision", "environments/vision", "..\\"),
        ):
            generation = root / "envs" / ids[name]
            generation.mkdir(parents=True)
            (generation / "pyvenv.cfg").touch()
            (generation / "RECORD").touch()
            (generation / "torch.dll").write_bytes(b"x" * 3_000_000)
            (root / link).write_text(f"{up}envs\\{ids[name]}\n")
        records = {name: record_of(LOCK, id) for name, id in ids.items()}
        (root / "state.json").write_text(state_of(**records).text())
        fleet.schedule()
        (root / "notes.txt").touch()

        goes = f"its link, its record and 1 generation ({ids['vision']})"
        assert f"would remove {goes}; frees 3 MB" in fleet.remove("--dry")
        assert (root / "envs" / ids["vision"]).is_dir()
        assert f"removed {goes}; freed 3 MB" in fleet.remove()
        assert not (root / "environments/vision").exists()
        assert [path.name for path in root.glob("envs/*")] == [ids["default"]]
        assert "nothing to remove" in fleet.remove()

        said = fleet.remove("-y", "--data", "what=everything")
        assert "the schedule" in said
        assert "notes.txt stays: it is not fleetwheel's" in said
        assert not (rig.drive_c / "windows/system32/tasks/fleetwheel-drift").exists()
        assert [path.name for path in root.iterdir()] == ["notes.txt"]
        assert "nothing to remove" in fleet.remove("-y", "--data", "what=everything")

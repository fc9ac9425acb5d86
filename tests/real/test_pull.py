"""Hosts that pull: what is committed arrives without the controller, and what is wrong does not.

The hosts of the test fleet have no systemd, so the crontab's program is run as cron would.
"""

import json
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.project import PARTS, run_pyinfra
from tests.rig.fleet import Fleet, HostSpec, fleet, missing
from tests.rig.fleet_deploy import FleetProject
from tests.small_wheels import make_wheel

TOOLS = [tool for tool in ("git", "flock", "ssh-keygen") if not shutil.which(tool)]
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
    pytest.mark.skipif(bool(TOOLS), reason=f"no {TOOLS}: scripts/install-test-tools.sh"),
]
TORCH = """
import os, sys
__version__ = "2.13.0+cpu"
frame = sys._getframe()
while frame and not {"tell", "task"} <= frame.f_locals.keys():
    frame = frame.f_back
if frame:
    tell = frame.f_locals["tell"]
    tell(torch={"version": __version__, "cuda": None}, planned=["nothing"])
    tell(check={"name": "nothing", "passed": True, "error": 0.0, "bound": 1.0, "ms": 1})
    os._exit(0)
"""
"""A torch that passes its smoke test by what it says."""
TEXTFILE = "/srv/metrics/fleetwheel.prom"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Source:
    """A git repository of the project, served over HTTP, and who may sign its commits."""

    def __init__(self, base: Path, rig: Fleet, wheels: Path) -> None:
        self.base, self.rig, self.wheels = base, rig, wheels
        self.served = base / "served"
        self.project = FleetProject(base / "project", rig)
        self.repository = str(self.served / "fleet.git")
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", self.repository], check=True)
        self.git("init", "-q", "-b", "main")
        key = base / "signer"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        settings = {"user.name": "Test", "user.email": "t@example.org", "gpg.format": "ssh"}
        for name, value in {**settings, "user.signingkey": f"{key}.pub"}.items():
            self.git("config", name, value)
        handler = partial(Quiet, directory=str(self.served))
        self.server = ThreadingHTTPServer((str(rig.controller), 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{self.rig.controller}:{self.server.server_port}/fleet.git"

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.project.directory), *arguments]
        return subprocess.check_output(command, text=True).strip()

    def ask_for(self, release: int, *, by_file: bool = False, **schedule: object) -> None:
        """Write an inventory that asks for a release of a small package, or has a file do so."""
        file = self.project.directory / "teams/lab/requirements.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"torch==2.13.0\nballast=={release}.0\n")
        named = {"requirements": str(file.relative_to(self.project.directory))}
        pull = {"source": self.url, "verify": True, "directory": "/srv/fleet", "delay": 0}
        self.project.inventory(
            torch="2.13.0",
            accelerator="cpu",
            packages=[f"ballast=={release}.0"],
            sources=[str(self.wheels)],
            environments={"default": named if by_file else {}},
            schedule={**pull, "prometheus": TEXTFILE, "at": "hourly", **schedule},
        )

    def commit(self, *options: str) -> str:
        """Commit and publish what the project holds, and return the commit."""
        self.git("add", *PARTS, "teams")
        self.git("commit", "-q", "-m", "change", *options)
        self.git("push", "-q", "--force", self.repository, "HEAD:main")
        subprocess.run(["git", "-C", self.repository, "update-server-info"], check=True)
        return self.git("rev-parse", "HEAD")

    def go_away(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def schedule(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run deploys/schedule.py on the controller."""
        return run_pyinfra(
            self.project.directory, "-y", "inventory.py", "deploys/schedule.py", *options
        )

    def pull(self, host: str) -> tuple[int, str]:
        """Do what cron would do; return the exit code and what was said."""
        said = self.rig[host].run(
            "env -i HOME=/srv /bin/sh -c /usr/local/sbin/fleetwheel-pull 2>&1; echo $?"
        )
        before, _, code = said.rstrip().rpartition("\n")
        return int(code), before

    def gauges(self, host: str) -> dict[str, str]:
        """Return the lines of the text file as Prometheus would read them: gauge to value."""
        lines = self.rig[host].run(f"cat {TEXTFILE}").splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))

    def stages(self, host: str) -> dict[str, float]:
        """Return how each stage of the last pull ended."""
        begin, end = f'fleetwheel_pull_exit_code{{host="{host}",stage="', '"}'
        return {
            gauge.removeprefix(begin).removesuffix(end): float(value)
            for gauge, value in self.gauges(host).items()
            if gauge.startswith(begin)
        }

    def commit_of(self, host: str) -> str:
        """Return the commit that the text file names."""
        (key,) = (key for key in self.gauges(host) if key.startswith("fleetwheel_pull_info"))
        return key.split('commit="')[1].removesuffix('"}')

    def ballast(self, host: str) -> str:
        python = "/opt/fleetwheel/current/bin/python"
        said = self.rig[host].run(f"{python} -c 'import ballast; print(ballast.__version__)'")
        return said.strip()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    base = tmp_path_factory.mktemp("pull")
    # Hosts have a /tmp of their own, and see the rest of this machine.
    wheels = Path(tempfile.mkdtemp(prefix="fleetwheel-pull-", dir="/var/tmp"))
    try:
        python = f"cp{sys.version_info.major}{sys.version_info.minor}"
        tag = f"{python}-{python}-manylinux_2_28_{platform.machine()}"
        make_wheel(wheels, "torch", "2.13.0+cpu", tag=tag, files={"torch/__init__.py": TORCH})
        for release in (1, 2, 3):
            make_wheel(wheels, "ballast", f"{release}.0")
        with fleet(base / "fleet", [HostSpec("a"), HostSpec("b")]) as rig:
            source = Source(base, rig, wheels)
            signer = " ".join((base / "signer.pub").read_text().split()[:2])
            for host in rig.hosts.values():
                for own in ("/root", "/tmp"):
                    # What a host has in their place would hide the Python of the tests.
                    if any(
                        Path(used).is_relative_to(own) for used in (sys.prefix, sys.base_prefix)
                    ):
                        host.run(f"umount -l {own}")
                host.run(
                    f"mkdir -p /etc/cron.d /srv/fleet && ln -s {sys.prefix} /srv/fleet/.venv"
                    f" && echo '* {signer}' >/etc/signers"
                    " && git config --system gpg.ssh.allowedSignersFile /etc/signers"
                )
            yield source
            source.go_away()
    finally:
        shutil.rmtree(wheels)


GOOD = {"source": 0, "trust": 0, "install": 0, "deploy": 0, "check": 0}


def test_it_is_set_up_once(source: Source) -> None:
    source.ask_for(1)
    source.commit("-S")
    done = source.schedule("--data", "mode=pull")
    assert done.returncode == 0, done.stdout
    assert " changed" in done.stdout
    assert "/usr/local/sbin/fleetwheel-pull" in source.rig["a"].run("cat /etc/cron.d/fleetwheel-*")
    again = source.schedule("--data", "mode=pull")
    assert "unchanged" in again.stdout
    assert " changed" not in again.stdout, again.stdout


def test_a_commit_arrives_at_every_host(source: Source) -> None:
    for release in (1, 2):
        source.ask_for(release, by_file=release == 2)
        commit = source.git("rev-parse", "HEAD") if release == 1 else source.commit("-S")
        with ThreadPoolExecutor() as together:
            ends = list(together.map(source.pull, source.rig.hosts))
        assert [code for code, _ in ends] == [0, 0], ends
        for host in source.rig.hosts:
            assert source.stages(host) == GOOD
            assert source.commit_of(host) == commit
            assert source.ballast(host) == f"{release}.0"
    gauges = source.gauges("b")
    assert gauges['fleetwheel_host_up{host="b"}'] == "1.0"
    assert source.rig["b"].run(f"stat -c %a {TEXTFILE}") == "644\n"
    last = json.loads(source.rig["b"].run("cat /var/lib/fleetwheel-pull/last.json"))
    assert [host["name"] for host in last["hosts"]] == ["b"]


def test_an_unsigned_commit_is_refused(source: Source) -> None:
    before = source.commit_of("a")
    source.ask_for(3)
    source.commit()
    code, said = source.pull("a")
    assert code != 0
    assert "has no signature that this host accepts" in said
    assert source.stages("a") == GOOD | {"source": 1}
    assert source.commit_of("a") == before
    assert source.ballast("a") == "2.0"


def test_history_that_was_rewritten_is_refused(source: Source) -> None:
    before = source.commit_of("a")
    source.git("reset", "-q", "--soft", "HEAD~2")
    source.commit("-S")
    code, said = source.pull("a")
    assert code != 0
    assert "history was rewritten" in said
    assert source.commit_of("a") == before


def test_a_source_that_is_away(source: Source) -> None:
    source.go_away()
    code, said = source.pull("b")
    assert code != 0, said
    stages = source.stages("b")
    assert stages.pop("source") != 0
    assert stages == {"trust": 0, "install": 0, "deploy": 0, "check": 0}
    assert source.ballast("b") == "2.0"


def test_what_came_from_a_signer_who_is_no_longer_accepted_does_not_run(source: Source) -> None:
    source.rig["b"].run("mv /etc/signers /etc/former; : >/etc/signers")
    code, said = source.pull("b")
    source.rig["b"].run("mv /etc/former /etc/signers")
    assert code != 0
    assert "has no signature that this host accepts" in said
    stages = source.stages("b")
    assert stages.pop("source") != 0
    assert stages == {"trust": 1, "install": 0, "deploy": 0, "check": 0}, "what ran before stays"


def test_it_is_taken_away(source: Source) -> None:
    source.ask_for(2, present=False)
    assert source.schedule().returncode == 0
    source.rig["a"].run("! ls /etc/cron.d/fleetwheel-pull /usr/local/sbin/fleetwheel-pull")

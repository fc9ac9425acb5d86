"""Faults at random moments of a change: ``current`` works after each, the next run heals the rest.

Each strikes once, with FAULTS=100 a hundred times. FAULTS_SEED gives the moments of an earlier run
again.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetwheel.connection.keepalive import SILENCE_S
from tests.rig.fleet import Fleet, HostSpec, fleet, missing
from tests.rig.fleet_deploy import FleetProject
from tests.small_wheels import make_wheel

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
TIMES = int(os.environ.get("FAULTS", "1"))
SEED = int(os.environ.get("FAULTS_SEED", random.SystemRandom().randrange(10**6)))
LATEST = SILENCE_S + 15
"""Seconds after which a run goes on without the host that was struck."""


class Lab:
    """Two hosts with torch in use, of which the first has the faults."""

    def __init__(self, base: Path, rig: Fleet) -> None:
        self.base, self.rig, self.release = base, rig, 0
        self.project = FleetProject(base / "project", rig)
        self.change()
        code, said = self.project.deploy()
        assert code == 0, said
        self.change()
        began = time.monotonic()
        code, said = self.project.deploy()
        assert code == 0, said
        self.usual = time.monotonic() - began
        """Seconds that a change takes when nothing goes wrong."""

    def change(self) -> None:
        """Let the inventory ask for the next release of a small package."""
        self.release += 1
        make_wheel(self.base / "wheels", "ballast", f"{self.release}.0")
        self.project.inventory(
            torch="2.13.0",
            packages=["numpy", f"ballast=={self.release}.0"],
            sources=[str(self.base / "wheels")],
        )

    def works(self) -> None:
        """Every host's environment in use computes."""
        for host in self.rig.hosts.values():
            said = host.run(
                "/opt/fleetwheel/current/bin/python -c 'import torch, ballast; print(7)'"
            )
            assert said.strip() == "7", host.spec.name

    def heals(self) -> None:
        """The next run brings every host to what is asked for."""
        code, said = self.project.deploy()
        assert code == 0, said
        wanted = f"import ballast; assert ballast.__version__ == '{self.release}.0'"
        for host in self.rig.hosts.values():
            host.run(f'/opt/fleetwheel/current/bin/python -c "{wanted}"')


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    base = tmp_path_factory.mktemp("faults")
    with fleet(base / "fleet", [HostSpec("struck"), HostSpec("other")]) as rig:
        yield Lab(base, rig)


def _nothing(rig: Fleet) -> None:
    """There is nothing to mend."""


FAULTS: dict[str, tuple[Callable[[Fleet], object], Callable[[Fleet], object]]] = {
    "killed": (lambda rig: rig["struck"].kill(), lambda rig: rig["struck"].start()),
    "cut off": (lambda rig: rig["struck"].cut(), lambda rig: rig["struck"].heal()),
    "sshd restarted": (lambda rig: rig["struck"].restart_sshd(), _nothing),
    "disk full": (
        lambda rig: rig["struck"].fill(64 << 10),
        lambda rig: rig["struck"].run("rm /root/ballast"),
    ),
}


@pytest.mark.parametrize("time_of", range(TIMES))
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_one_host(lab: Lab, fault: str, time_of: int) -> None:
    strike, mend = FAULTS[fault]
    lab.change()
    running = lab.project.begin()
    time.sleep(_moment(lab, fault, time_of))
    struck_at = time.monotonic()
    try:
        strike(lab.rig)
        said = _end(running)
    finally:
        running.kill()
        mend(lab.rig)
    assert time.monotonic() - struck_at < lab.usual + LATEST, said
    assert lab.project.status()["other"] in ("changed", "unchanged"), said
    lab.works()
    lab.heals()


@pytest.mark.parametrize("time_of", range(TIMES))
def test_the_controller_is_killed(lab: Lab, time_of: int) -> None:
    lab.change()
    running = lab.project.begin()
    time.sleep(_moment(lab, "controller", time_of))
    os.killpg(running.pid, signal.SIGKILL)
    _end(running)
    assert lab.project.status(), "the last report can be read"
    lab.works()
    lab.heals()


def test_a_slow_link(lab: Lab) -> None:
    lab.rig.slow("struck", 100)
    lab.change()
    lab.heals()


def _moment(lab: Lab, fault: str, time_of: int) -> float:
    """Return seconds after the beginning of a run, any time until it would end."""
    moment = random.Random(f"{SEED} {fault} {time_of}").uniform(0, lab.usual)
    print(f"FAULTS_SEED={SEED}: {fault} after {moment:.2f} of {lab.usual:.1f} s")
    return moment


def _end(running: subprocess.Popen[str]) -> str:
    try:
        return running.communicate(timeout=240)[0]
    finally:
        running.kill()

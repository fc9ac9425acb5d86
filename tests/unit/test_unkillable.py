"""An nvidia-smi that no signal ends, as one that hangs in the kernel: frozen by its cgroup."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwheel.host.profile import DriverState
from tests.machine import Machine

FREEZER = Path("/sys/fs/cgroup/freezer")


@pytest.fixture
def freezer() -> Iterator[Path]:
    """A cgroup of its own; that of version 2 would not do, because SIGKILL ends what it froze."""
    group = FREEZER / f"fleetwheel-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no freezer of cgroup version 1 to write to: {error}")
    yield group
    for pid in (group / "cgroup.procs").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    (group / "freezer.state").write_text("THAWED")
    deadline = time.perf_counter() + 5
    while (group / "cgroup.procs").read_text() and time.perf_counter() < deadline:
        time.sleep(0.05)
    group.rmdir()


@pytest.mark.parametrize("timeout", ['exec /usr/bin/timeout "$@"', "exit 127"])
def test_an_nvidia_smi_that_cannot_be_killed_is_hung(
    machine: Machine, freezer: Path, timeout: str
) -> None:
    """With coreutils' timeout, which sends SIGKILL, and on a host that has none."""
    machine.program("bin/timeout", timeout)
    machine.program(
        "bin/nvidia-smi",
        f"echo $$ >{freezer}/cgroup.procs\necho FROZEN >{freezer}/freezer.state\nexec sleep 60",
    )
    state = machine.state(gpu_seconds=1)
    time.sleep(1.5)  # timeout has sent SIGTERM and SIGKILL by now
    assert (freezer / "cgroup.procs").read_text().split()
    assert state.profile.driver.state is DriverState.HUNG
    assert state.profile.pythons and state.installation.free_bytes

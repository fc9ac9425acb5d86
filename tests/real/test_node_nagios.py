"""Debian's Nagios runs ``fleetwheel-node check`` as an unprivileged user."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwheel.collectors import program
from tests import node_program
from tests.node_host import Host
from tests.rig.nagios import missing, nagios, unpacked
from tests.samples import CPU_HOST, state_of

PYTHON = Path("/usr/bin/python3")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
    pytest.mark.skipif(not PYTHON.exists(), reason="no Python that every user may run"),
    pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has a GPU"),
]


@pytest.fixture
def host() -> Iterator[Host]:
    """A host as a deploy leaves it, in a place where every user may look."""
    place = Path(tempfile.mkdtemp(prefix="fleetwheel-nagios-"))
    place.chmod(0o755)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    host = Host(place / "root", CPU_HOST.model_copy(update={"boot_id": boot}))
    (host.generation / "bin/python").unlink()
    (host.generation / "bin/python").symlink_to(PYTHON)
    (host.root / "state.json").write_text(state_of(host.record).text())
    given = {"root": str(host.root), "digest": program.digest()}
    assert json.loads(node_program.run_sent(PYTHON, "place", given).stdout)["ok"]
    yield host
    shutil.rmtree(place)


def test_nagios_sees_what_differs(host: Host) -> None:
    place = host.root.parent
    started = unpacked(place / "package")
    if started is None:
        pytest.skip("apt has no nagios4-core")
    before = {path: path.lstat().st_mtime_ns for path in host.root.rglob("*")}
    command = f"{host.root}/bin/fleetwheel-node check --format nagios"
    with nagios(started, place / "nagios", command, "nobody") as running:
        green = running.wait(0)
        assert green["plugin_output"] == "FLEETWHEEL OK - torch 2.13.0 cpu, as deployed"
        assert green["performance_data"].startswith("differences=0;;;0 gpus=0;;;0 time=")
        assert float(green["check_execution_time"]) < 5
        assert {path: path.lstat().st_mtime_ns for path in host.root.rglob("*")} == before
        stray = host.install("stray", "1.0")
        red = running.wait(2)
        assert red["plugin_output"] == (
            "FLEETWHEEL CRITICAL - package: stray: expected not there, found 1.0"
        )
        assert "repair: run deploys/torch.py for this host" in red["long_plugin_output"]
        shutil.rmtree(stray)
        running.wait(0)
        newer = state_of(host.record).text().replace("fleetwheel.state/2", "fleetwheel.state/3")
        (host.root / "state.json").write_text(newer)
        unknown = running.wait(3)
        assert "written in the schema fleetwheel.state/3" in unknown["plugin_output"]

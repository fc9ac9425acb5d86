"""What the options of ``fleetwheel`` do, the same in every command that has them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fleetwheel.inventory.load import VARIABLE
from fleetwheel.inventory.recorded import HostSnapshot, save_snapshots
from tests.project import copy_of_checkout
from tests.samples import GPU_HOST, host

FLEETWHEEL = Path(sys.executable).with_name("fleetwheel")
HOST = "@fake/ws-01"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project directory whose inventory is one recorded host with nothing on it."""
    directory = copy_of_checkout(tmp_path_factory.mktemp("project"))
    state = host(GPU_HOST)
    recorded = HostSnapshot(name="ws-01", profile=state.profile, installation=state.installation)
    save_snapshots(directory / "recorded", [recorded])
    return directory


def run(project: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FLEETWHEEL, *words],
        cwd=project,
        env={**os.environ, "COLUMNS": "200", VARIABLE: "recorded", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("how", ["--dry-run", "--yes"])
def test_a_rollback_of_a_host_with_nothing_on_it_is_refused(project: Path, how: str) -> None:
    done = run(project, "rollback", how, "--json", "-")
    (found,) = json.loads(done.stdout)["hosts"]
    assert (found["status"], found["why"]) == ("refused", "nothing was deployed here")
    assert done.returncode == 4

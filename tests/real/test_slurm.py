"""Debian's Slurm drains a node that has changed, and lets jobs in again after a deploy."""

import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleetwheel.inventory.schedule import Schedule
from fleetwheel.schedule.slurm import HEALTH, PROLOG, SlurmJob
from tests.project import Project, copy_of_checkout
from tests.rig.slurm import Slurm, environment, missing, slurm, unpacked

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]
STRAY = "fleetwheel: package: stray: expected not there, found 1.0"
STRAY_OTHER = "fleetwheel: package: other: expected not there, found 1.0"
WATCHED = """\
#!/bin/sh
# Has the health check told apart: each one that ends leaves a line, none begins while it is paused.
test ! -e {base}/paused || exit 0
export {environment}
{base}/fleetwheel-slurm-health 2>>{base}/said
code=$?
echo "$code" >>{base}/checks
exit "$code"
"""


@dataclass
class Node:
    """A host with torch, which Slurm watches."""

    project: Project
    slurm: Slurm
    base: Path

    def deploy(self) -> None:
        done = self.project.deploy()
        assert done.returncode == 0, done.stdout

    def install_stray(self, name: str = "stray") -> None:
        """Put a package into the environment, as a person with pip would."""
        libraries = next((self.project.root / "current/lib").glob("python*")) / "site-packages"
        metadata = libraries / f"{name}-1.0.dist-info/METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")

    def remove_stray(self, name: str = "stray") -> None:
        for path in (self.project.root / "envs").rglob(f"{name}-1.0.dist-info"):
            shutil.rmtree(path)

    def wait_for_checks(self) -> list[str]:
        """Return the exit codes of all checks, once two more have ended: one has seen it all."""
        before = self.checks()
        self.slurm.wait(lambda state, reason: len(self.checks()) >= len(before) + 2)
        return self.checks()

    def checks(self) -> list[str]:
        path = self.base / "checks"
        return path.read_text().split() if path.exists() else []


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    base = tmp_path_factory.mktemp("slurm")
    tree = unpacked(base / "packages")
    if tree is None:
        pytest.skip("apt does not have Slurm")
    (base / "project").mkdir()
    project = Project(copy_of_checkout(base / "project"), base / "root")
    assert project.deploy().returncode == 0
    job = SlurmJob(Schedule(mode="slurm"), "node", given_root=str(project.root))
    texts = {Path(path).name: text for path, text in job.files(systemd=True).items()}
    words = shlex.join("=".join(item) for item in environment(tree, base / "cluster").items())
    texts["watched"] = WATCHED.format(base=base, environment=words)
    for name, text in texts.items():
        (base / name).write_text(text)
        (base / name).chmod(0o755)
    prolog = base / Path(PROLOG).name
    assert Path(HEALTH).name in texts
    with slurm(tree, base / "cluster", base / "watched", prolog) as running:
        yield Node(project, running, base)


def well(state: str, reason: str) -> bool:
    return state in ("IDLE", "IDLE*") and not reason


def drained(state: str, reason: str) -> bool:
    return "DRAIN" in state


def test_a_changed_node_is_drained_until_a_deploy(node: Node) -> None:
    node.slurm.wait(well)
    python = node.project.root / "current/bin/python"
    imported = node.slurm.run("srun", python, "-c", "import torch; print(torch.ones(2).sum())")
    assert imported.stdout.splitlines()[-1] == "tensor(2.)"

    node.install_stray()
    assert node.slurm.wait(drained)[1] == STRAY
    assert node.slurm.run("srun", "--immediate=1", "true").returncode != 0
    node.install_stray("other")
    node.slurm.wait(lambda state, reason: reason == f"{STRAY_OTHER} (and 1 more)")
    node.remove_stray("other")
    node.slurm.wait(lambda state, reason: reason == STRAY)
    (node.project.root / "bin/fleetwheel-node").rename(node.base / "away")
    try:
        gone = f"fleetwheel: {node.project.root}/bin/fleetwheel-node is gone"
        node.slurm.wait(lambda state, reason: reason == gone and "DRAIN" in state)
    finally:
        (node.base / "away").rename(node.project.root / "bin/fleetwheel-node")

    node.deploy()
    node.slurm.wait(well)
    assert node.slurm.run("srun", "true").returncode == 0
    assert {*node.wait_for_checks()} == {"0"}


def test_a_node_that_an_admin_drained_stays_so(node: Node) -> None:
    """Neither its reason nor its state changes, whatever the check finds."""
    node.slurm.wait(well)
    node.slurm.update("state=drain", "reason=the fan rattles")
    node.wait_for_checks()
    assert node.slurm.node() == ("IDLE+DRAIN", "the fan rattles")
    node.install_stray()
    node.wait_for_checks()
    assert node.slurm.node() == ("IDLE+DRAIN", "the fan rattles")
    node.remove_stray()
    node.wait_for_checks()
    assert node.slurm.node() == ("IDLE+DRAIN", "the fan rattles")
    node.slurm.update("state=undrain")
    node.slurm.wait(well)


def test_an_admin_takes_over_a_drained_node(node: Node) -> None:
    node.install_stray()
    node.slurm.wait(drained)
    node.slurm.update("state=drain", "reason=RMA 4711")
    node.remove_stray()
    node.wait_for_checks()
    assert node.slurm.node() == ("IDLE+DRAIN", "RMA 4711")
    node.slurm.update("state=undrain")
    node.slurm.wait(well)


def test_where_the_check_cannot_tell_nothing_changes(node: Node) -> None:
    node.slurm.wait(well)
    state = node.project.root / "state.json"
    text = state.read_text()
    state.write_text(text.replace("fleetwheel.state/2", "fleetwheel.state/9"))
    try:
        node.wait_for_checks()
        assert node.slurm.wait(well)
    finally:
        state.write_text(text)
    said = (node.base / "said").read_text()
    assert f"the check could not be made, so {node.slurm.name} stays as it is" in said
    assert "the schema fleetwheel.state/9" in said


def test_no_job_starts_where_the_prolog_finds_a_difference(node: Node) -> None:
    """Between two health checks; Slurm itself then drains the node, for a reason of its own."""
    node.slurm.wait(well)
    (node.base / "paused").touch()
    try:
        node.install_stray()
        begun = node.base / "begun"
        node.slurm.run("srun", "--immediate=5", "touch", begun, seconds=60)
        reason = node.slurm.wait(drained)[1]
        assert not begun.exists()
        assert "prolog" in reason.lower()
    finally:
        node.remove_stray()
        (node.base / "paused").unlink()
    node.slurm.run("scancel", "--state=PENDING", "--user=root")
    node.slurm.update("state=undrain")
    node.slurm.wait(well)

"""Roots that another user prepared: every command refuses them and runs nothing that lies there."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.project import Project

STRANGER = 4711
FLEETWHEEL = Path(sys.executable).with_name("fleetwheel")
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="giving files to others takes root")


@pytest.fixture
def prepared(project: Project, tmp_path: Path) -> Project:
    """A root of another user, with programs that leave a mark where they run."""
    for name in ("bin/uv", "pythons/x/bin/python3", "bin/fleetwheel-node"):
        program = project.root / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\necho {name} >>{tmp_path}/mark\n")
        program.chmod(0o755)
    for path in (project.root, *project.root.rglob("*")):
        os.chown(path, STRANGER, STRANGER)
    return project


def said_by_fleetwheel(project: Project, *words: str) -> str:
    inventory = project.directory / "inventory" / "lab.yaml"
    inventory.write_text(
        f'hosts: {{"@local": {{root: "{project.root}", trust: {{groups: [50]}}}}}}\n'
    )
    done = subprocess.run(
        [FLEETWHEEL, *words], cwd=project.directory, capture_output=True, text=True, check=False
    )
    return done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--dry", "deploys/torch.py"),
        ("-y", "deploys/torch.py"),
        ("-y", "deploys/onboard.py"),
        ("-y", "deploys/smoke.py"),
        ("-y", "deploys/drift.py"),
        ("-y", "deploys/rollback.py"),
    ],
    ids=" ".join,
)
def test_no_deploy_runs_what_lies_there(
    prepared: Project, tmp_path: Path, words: tuple[str, ...]
) -> None:
    before = prepared.tree()
    done = prepared.run(*words)
    assert not (tmp_path / "mark").exists()
    reason = f"{prepared.root} is not used: {prepared.root} belongs to unknown ({STRANGER})"
    assert reason in done.stdout
    assert prepared.tree() == before


def test_neither_facts_nor_drift_runs_what_lies_there(prepared: Project, tmp_path: Path) -> None:
    reason = f"{prepared.root} belongs to unknown ({STRANGER})"
    (host,) = json.loads(said_by_fleetwheel(prepared, "facts", "inventory.py", "--json"))["hosts"]
    assert any(reason in problem for problem in host["profile"]["problems"])
    (entry,) = json.loads(
        said_by_fleetwheel(prepared, "drift", "inventory.py", "--deep", "--json", "-")
    )["hosts"]
    assert entry["status"] == "failed" and reason in entry["why"]
    assert entry["trust"] == {"users": [], "groups": ["50"]}
    assert not (tmp_path / "mark").exists()


def test_a_new_root_where_everyone_can_write(small: Project) -> None:
    with tempfile.TemporaryDirectory() as shared:
        Path(shared).chmod(0o1777)
        small.root = Path(shared) / "lab" / "root"
        done = small.deploy(smoke="none")
        assert small.report()["status"] == "changed", done.stdout
        assert {path.stat().st_mode & 0o777 for path in (small.root, small.root.parent)} == {0o755}
        done = small.deploy(smoke="none")
        assert small.report()["status"] == "unchanged", done.stdout

"""deploys/smoke.py on this machine, with real torch for CPU; the tests follow each other."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project

pytestmark = pytest.mark.real


def smoke(project: Project, *arguments: str) -> tuple[int, str, dict[str, Any]]:
    """Run the smoke test: exit code, output and the host's record afterwards."""
    done = project.run(*(arguments or ("-y",)), "deploys/smoke.py")
    return done.returncode, done.stdout, project.record()


def test_without_an_environment_there_is_nothing_to_test(project: Project) -> None:
    done = project.run("-y", "deploys/smoke.py")
    assert done.returncode == 1
    assert "no environment is in use" in done.stdout
    assert not project.root.exists()


def test_a_dry_run_says_what_would_be_tested(deployed: Project) -> None:
    before = deployed.tree()
    code, said, _ = smoke(deployed, "--dry")
    assert code == 0, said
    assert "test torch 2." in said
    assert deployed.tree() == before


def test_a_pass_is_recorded_and_nothing_else_changes(deployed: Project) -> None:
    current, before = (deployed.root / "current").readlink(), deployed.generations()
    old = deployed.record()
    code, said, record = smoke(deployed)
    assert code == 0, said
    assert deployed.report()["smoke"]["passed"] is True
    newest = max((deployed.directory / "reports").glob("*.json"))
    assert json.loads(newest.read_text())["kind"] == "smoke"
    assert record["smoke"]["at"] > old["smoke"]["at"]
    assert {**record, "smoke": None} == {**old, "smoke": None}
    assert ((deployed.root / "current").readlink(), deployed.generations()) == (current, before)
    assert deployed.deploy().returncode == 0
    assert deployed.report()["status"] == "unchanged"


def test_a_failure_takes_the_pass_away_and_leaves_the_environment(deployed: Project) -> None:
    current = (deployed.root / "current").readlink()
    package = Path(deployed.python("import torch; print(torch.__file__)"))
    package.unlink()  # a hard link: writing to it would reach uv's cache
    package.write_text("raise ImportError('libgomp.so.1: cannot open shared object file')")
    code, said, record = smoke(deployed)
    assert code == 1
    assert "a library that torch 2.13.0+cpu needs cannot be loaded" in said
    assert "the host's record has no pass now" in said
    assert deployed.report()["status"] == "failed"
    assert record["smoke"] is None
    assert (deployed.root / "current").readlink() == current

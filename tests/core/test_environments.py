"""Several environments by `fleetwheel deploy` and its kin, on this machine with small wheels."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.project import Project

FLEETWHEEL = Path(sys.executable).with_name("fleetwheel")
LAB = """
defaults: {{root: {root}, smoke: none, environments: {environments}}}
hosts: {{"@local": {{}}}}
"""


class Lab:
    """This machine, and what it is to have."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def run(self, command: str, environments: dict[str, Any], *words: str) -> tuple[int, str]:
        text = LAB.format(root=self.project.root, environments=json.dumps(environments))
        (self.project.directory / "inventory").mkdir(exist_ok=True)
        (self.project.directory / "inventory/lab.yaml").write_text(text)
        done = subprocess.run(
            [FLEETWHEEL, command, *words],
            cwd=self.project.directory,
            env={**os.environ, "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout + done.stderr

    def states(self) -> dict[str, str]:
        newest = max((self.project.directory / "reports").glob("*.json"))
        (host,) = json.loads(newest.read_text())["hosts"]
        return {each["name"]: each["status"] for each in host["environments"]}


def test_what_cannot_be_is_refused_and_the_rest_is_done(small: Project) -> None:
    lab = Lab(small)
    wanted = {"bad": {"torch": "1.0.0"}, "closed": {"group": "nobody-knows"}, "good": {}}
    expected = {"default": "changed", "bad": "refused", "closed": "refused", "good": "changed"}
    code, said = lab.run("deploy", wanted, "--dry-run")
    assert "there is no group nobody-knows on the host" in said
    assert said.count(" refused ") == 2
    code, said = lab.run("deploy", wanted, "--yes", "--detailed-exitcodes")
    assert lab.states() == expected, said
    assert code == 6
    assert (small.root / "current").exists() and (small.root / "environments/good").exists()
    code, said = lab.run("deploy", wanted)
    assert code == 4, "nothing is left to be asked about"


def test_a_name_that_no_host_has_is_found_before_anything_is_asked(small: Project) -> None:
    lab = Lab(small)
    for command in ("deploy", "drift", "smoke", "rollback"):
        code, said = lab.run(command, {"vision": {}}, "--environment", "vison")
        assert (code, "did you mean vision?" in said) == (1, True), said
    assert not (small.directory / "reports").exists()


def test_an_inventory_in_yaml_is_told_where_it_belongs(small: Project) -> None:
    code, said = Lab(small).run("deploy", {}, "inventory/lab.yaml", "--dry-run")
    assert (code, "FLEETWHEEL_INVENTORY=inventory/lab.yaml" in said) == (1, True), said

"""Module files on systems with the real module commands: Lmod, and Environment Modules."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwheel.deploy.signposts import publish_of
from fleetwheel.inventory.settings import Settings
from tests.node_program import unpacked
from tests.rig.trees import REPOSITORIES, System, missing, system
from tests.samples import PYTHON, lock_with, record_of

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]
LOCK = lock_with({"torch": "2.13.0+cpu"})
ID = "2.13.0+cpu-cp311-0123456789ab-1"
ROOT = "/opt/fleetwheel"
NAMES = ("course", "default", "vision")
GENERATION = f"""
umask 022
mkdir -p {ROOT}/envs/{ID}/bin
cd {ROOT}/envs/{ID}
touch pyvenv.cfg RECORD
printf '#!/bin/sh\\necho python of fleetwheel\\n' >/usr/local/bin/pretended-python
chmod 755 /usr/local/bin/pretended-python
ln -s /usr/local/bin/pretended-python bin/python
"""


class Machine:
    """A system with a module command, and what deploys to it."""

    def __init__(self, kind: str, run: System, shared: Path) -> None:
        self.kind, self.system, self.shared = kind, run, shared
        self.directory = f"/etc/{kind}/modules/fleetwheel"
        unpacked(shared)

    def act(self, action: str, document: object) -> str:
        """Run an action of the program for hosts, as root whose umask hides all."""
        (self.shared / "input.json").write_text(json.dumps(document))
        program = f"python3 -I -B {REPOSITORIES}/node {action} <{REPOSITORIES}/input.json"
        return self.system.shell(f"umask 077; {program}")

    def activate(self, name: str, group: str | None = None) -> None:
        settings = Settings.model_validate({"group": group})
        publish = publish_of(name, ROOT, "linux", settings, LOCK, PYTHON)
        record = record_of(LOCK, ID).to_json()
        given = {"root": ROOT, "id": ID, "environment": name, "record": record, "failed": []}
        self.act("activate", {**given, "publish": publish})

    def module(self, *commands: str, user: str = "guest") -> str:
        """Return what a login shell of a user says to commands, on whichever of its outputs."""
        script = "\n".join(commands)
        login = f"cd /; exec 2>&1; {script}"
        return self.system.shell(f"su -s /bin/bash -l -c {shlex.quote(login)} {user} || true")


@pytest.fixture(scope="module", params=["lmod", "environment-modules"])
def machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    base = tmp_path_factory.mktemp("modules")
    for name in ("shared", "disk"):
        (base / name).mkdir()
    with system(request.param, base / "disk", base / "shared") as running:
        machine = Machine(request.param, running, base / "shared")
        running.shell(f"useradd --create-home guest; {GENERATION}")
        for name in NAMES:
            machine.activate(name)
        yield machine


def test_another_user_finds_them(machine: Machine) -> None:
    said = machine.module("module --terse avail fleetwheel")
    assert [line for line in said.splitlines() if line.startswith("fleetwheel/c")]
    for name in NAMES:
        assert f"fleetwheel/{name}" in said
    assert "PyTorch 2.13.0 without CUDA, Python 3.11" in machine.module(
        "module whatis fleetwheel/vision"
    )


@pytest.mark.parametrize("name", NAMES)
def test_one_is_loaded_and_leaves_nothing(machine: Machine, name: str) -> None:
    said = machine.module(
        "before=$PATH",
        f"module load fleetwheel/{name}",
        "command -v python; python",
        f"module unload fleetwheel/{name}",
        '[ "$PATH" = "$before" ] && echo as before',
    )
    place = f"{ROOT}/environments/{name}/bin/python"
    assert said.splitlines() == [place, "python of fleetwheel", "as before"]


def test_two_are_not_there_at_once(machine: Machine) -> None:
    """Lmod takes the second in the place of the first; Environment Modules wants to be told so."""
    said = machine.module(
        "module load fleetwheel/vision",
        "module load fleetwheel/course",
        "echo one of: $(echo $PATH | tr : '\\n' | grep -c /environments/)",
        "module switch fleetwheel/vision fleetwheel/course",
        "echo now: $(command -v python)",
    )
    assert "one of: 1\n" in said
    assert f"now: {ROOT}/environments/course/bin/python" in said
    assert ("conflict" in said) is (machine.kind == "environment-modules")


def test_what_is_for_a_group_is_shown_to_its_members(machine: Machine) -> None:
    machine.system.shell("groupadd vision; useradd --create-home --groups vision ada")
    machine.system.shell(f"cp -a {ROOT}/envs/{ID} {ROOT}/envs/{ID[:-1]}2")
    settings = Settings.model_validate({"group": "vision"})
    publish = publish_of("own", ROOT, "linux", settings, LOCK, PYTHON)
    record = {**record_of(LOCK, f"{ID[:-1]}2").to_json(), "group": "vision"}
    given = {"root": ROOT, "id": f"{ID[:-1]}2", "environment": "own", "record": record}
    machine.act("activate", {**given, "failed": [], "publish": publish})
    said = machine.module("module --terse avail fleetwheel")
    assert "fleetwheel/vision" in said and "fleetwheel/own" not in said
    mine = machine.module("module load fleetwheel/own; python", user="ada")
    assert mine == "python of fleetwheel\n"


def test_they_go_with_their_environments(machine: Machine) -> None:
    machine.act("remove", {"root": ROOT, "environment": "course"})
    said = machine.module("module --terse avail fleetwheel")
    assert "fleetwheel/course" not in said and "fleetwheel/vision" in said
    machine.act("uninstall", {"root": ROOT})
    assert "fleetwheel" not in machine.module("module --terse avail")
    assert machine.system.shell(f"ls {machine.directory} 2>&1 || true").endswith("directory\n")

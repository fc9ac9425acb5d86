"""Environments by name on hosts with different GPUs: each moves, fails and goes by itself."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.rig.fleet import Fleet, Gpu, HostSpec, RunningHost, fleet, missing
from tests.rig.fleet_deploy import FleetProject

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
ROOT = "/opt/fleetwheel"
K80 = Gpu("Tesla K80", "3.7", "470.256.02", "11.4")
CPU = {"accelerator": "cpu"}
SPECS = [
    HostSpec("plain", data=CPU),
    HostSpec("display", Gpu(), data=CPU),
    HostSpec("server", Gpu("NVIDIA H100 80GB HBM3", "9.0"), data=CPU),
    HostSpec("old", K80, data={**CPU, "environments": {"train": {"accelerator": "cu130"}}}),
]
WANTED: dict[str, Any] = {"vision": {"packages": ["numpy", "rich"]}, "course": {"keep": 1}}


class Lab:
    """The hosts and what they are to be."""

    def __init__(self, base: Path, rig: Fleet) -> None:
        self.rig = rig
        self.project = FleetProject(base / "project", rig)
        self.wanted = dict(WANTED)
        self.defaults: dict[str, Any] = {"torch": "2.13.0"}

    def deploy(self, *options: str, deploy: str = "torch") -> tuple[int, str]:
        self.project.inventory(environments=self.wanted, **self.defaults)
        return self.project.deploy(*options, deploy=deploy, timeout=500)

    def states(self) -> dict[str, dict[str, str]]:
        """Return host, environment and status of the newest report."""
        found = self.project.newest()
        return {
            name: {each["name"]: each["status"] for each in host["environments"]}
            for name, host in found.items()
        }


def link(host: RunningHost, name: str) -> str:
    return host.run(f"readlink -f {ROOT}/environments/{name}").strip().rpartition("/")[2]


def imports(host: RunningHost, name: str, package: str) -> bool:
    command = f"{ROOT}/environments/{name}/bin/python -c 'import torch, {package}' && echo yes"
    return host.run(f"{command} || true").strip() == "yes"


@contextmanager
def at_work(host: RunningHost, name: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs in an environment until the block ends."""
    program = "import sys, time; print(sys.prefix, flush=True); time.sleep(600)"
    key, known = host.fleet.directory / "id", host.fleet.known_hosts
    to = ["-i", str(key), "-o", f"UserKnownHostsFile={known}", f"root@{host.address}"]
    command = f'{ROOT}/environments/{name}/bin/python -c "{program}"'
    with subprocess.Popen(["ssh", "-n", "-tt", *to, command], stdout=-1, text=True) as process:
        yield process
        process.kill()


def test_three_environments_on_four_hosts(tmp_path: Path) -> None:
    with fleet(tmp_path / "fleet", SPECS) as rig:
        lab = Lab(tmp_path, rig)
        deploys_all(lab)
        updates_one_and_rolls_another_back(lab)
        holds_one(lab)
        removes_one(lab)


def deploys_all(lab: Lab) -> None:
    """What one environment of a host cannot be costs the others nothing."""
    code, said = lab.deploy()
    made = {"default": "changed", "vision": "changed", "course": "changed"}
    assert lab.states() == {
        "plain": made,
        "display": made,
        "server": made,
        "old": {**made, "train": "refused"},
    }, said
    assert code == 1
    (why,) = (e["why"] for e in lab.project.newest()["old"]["environments"] if e["name"] == "train")
    assert "470" in why
    plain = lab.rig["plain"]
    assert imports(plain, "vision", "rich") and not imports(plain, "default", "rich")
    assert link(plain, "course") == link(plain, "default"), "equal wheels are one generation"
    checked = plain.run(f"{ROOT}/bin/fleetwheel-node check")
    assert checked.startswith("ok: default: torch 2.13.0 cpu, vision: torch 2.13.0 cpu, course: ")


def updates_one_and_rolls_another_back(lab: Lab) -> None:
    """While a process of the third runs, which stays where it started."""
    plain = lab.rig["plain"]
    before = {name: link(plain, name) for name in ("vision", "course")}
    current = plain.run(f"stat -c %i {ROOT}/current")
    with at_work(plain, "course") as process:
        assert process.stdout
        started = process.stdout.readline().strip()
        assert started == f"{ROOT}/envs/{before['course']}"
        lab.wanted["vision"] = {"packages": ["numpy", "tqdm"]}
        code, said = lab.deploy("--limit", "plain", "--data", "environment=vision")
        assert (code, lab.states()) == (0, {"plain": {"vision": "changed"}}), said
        assert imports(plain, "vision", "tqdm") and not imports(plain, "vision", "rich")

        lab.wanted["course"] = {"keep": 1, "packages": ["numpy", "tqdm"]}
        code, said = lab.deploy("--limit", "plain", "--data", "environment=course")
        assert (code, lab.states()) == (0, {"plain": {"course": "changed"}}), said
        assert link(plain, "course") == link(plain, "vision") != before["course"]
        said = plain.run(f"ls {ROOT}/envs")
        assert before["course"] in said, "default uses it, and a process runs from it"

        limits = ("--limit", "plain", "--data", "environment=vision")
        code, said = lab.deploy(*limits, deploy="rollback")
        assert (code, lab.states()) == (0, {"plain": {"vision": "changed"}}), said
        assert "tqdm" in said and "none -> " in said, "it says which packages change"
        assert link(plain, "vision") == before["vision"]
        assert process.poll() is None
    assert plain.run(f"stat -c %i {ROOT}/current") == current, "nobody touched it"
    code, said = lab.deploy("--limit", "plain")
    assert lab.states()["plain"] == {
        "default": "unchanged",
        "vision": "on hold",
        "course": "unchanged",
    }, said
    assert code == 0


def holds_one(lab: Lab) -> None:
    lab.wanted["course"] = {"hold": "the exam", "packages": ["numpy", "pyyaml"]}
    before = link(lab.rig["display"], "course")
    for deploy in ("torch", "drift"):
        code, said = lab.deploy("--limit", "display", "--data", "environment=course", deploy=deploy)
        assert (code, lab.states()) == (0, {"display": {"course": "on hold"}}), said
        assert "the exam" in said
    assert link(lab.rig["display"], "course") == before


def removes_one(lab: Lab) -> None:
    del lab.wanted["vision"]
    display = lab.rig["display"]
    generation = link(display, "vision")
    options = ("--limit", "display")
    code, said = lab.deploy(*options, deploy="drift")
    assert (code, lab.states()["display"]["vision"]) == (1, "drifted"), said
    assert "not in the inventory" in said
    code, said = lab.deploy(*options, deploy="remove")
    assert (code, lab.states()) == (0, {"display": {"vision": "changed"}}), said
    left = display.run(f"ls {ROOT}/envs {ROOT}/environments")
    assert generation not in left and "vision" not in left
    code, said = lab.deploy(*options, deploy="drift")
    assert "vision" not in lab.states()["display"], said
    assert imports(display, "default", "numpy")

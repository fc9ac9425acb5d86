"""A real Jupyter server on a host finds the environments, and starts kernels in them."""

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rig.fleet import Fleet, HostSpec, fleet, missing
from tests.rig.fleet_deploy import FleetProject

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
ROOT = "/opt/fleetwheel"
KERNELS = "/usr/local/share/jupyter/kernels"
HUB = f"{ROOT}/environments/hub/bin"
USERS = """
echo 'umask 077' >/root/.bashrc
groupadd vision
useradd --create-home --groups vision ada
useradd --create-home bob
"""
"""Root's umask is that of security guides; ada is of the group, bob is not."""
ENVIRONMENTS: dict[str, Any] = {
    "hub": {"packages": ["numpy", "jupyter-server"]},
    "open": {"packages": ["numpy", "ipykernel"]},
    "closed": {"packages": ["numpy", "ipykernel", "tqdm"], "group": "vision"},
}


class Lab:
    """A host with Jupyter servers of its users, and what deploys to it."""

    def __init__(self, base: Path, rig: Fleet) -> None:
        self.host = rig["lab"]
        self.project = FleetProject(base / "project", rig)
        self.environments = dict(ENVIRONMENTS)
        text = Path("tests/rig/notebook.py").read_text()
        self.host.run(f"{USERS}\nprintf %s {shlex.quote(text)} >/srv/notebook.py")
        self.host.run("chmod 644 /srv/notebook.py")
        assert self.host.run("umask").strip() == "0077"

    def deploy(self, *options: str, deploy: str = "torch") -> tuple[int, str]:
        wanted = {"torch": "2.13.0", "accelerator": "cpu", "environments": self.environments}
        self.project.inventory(**wanted)
        return self.project.deploy(*options, deploy=deploy, timeout=500)

    def states(self) -> dict[str, str]:
        found = self.project.newest()["lab"]["environments"]
        return {each["name"]: each["status"] for each in found}

    def generation(self, name: str) -> str:
        return self.host.run(f"readlink -f {ROOT}/environments/{name}").strip()


class Server:
    """The Jupyter server of one user."""

    def __init__(self, lab: Lab, user: str, port: int) -> None:
        self.lab, self.user = lab, user
        self.base = f"http://127.0.0.1:{port}"
        options = f"--port={port} --ip=127.0.0.1 --no-browser --IdentityProvider.token=tests"
        self.as_user(f"setsid {HUB}/jupyter-server {options} >log 2>&1 </dev/null &")
        until = time.monotonic() + 60
        while "is running at" not in self.as_user("cat log"):
            assert time.monotonic() < until, self.as_user("cat log")
            time.sleep(0.5)

    def as_user(self, command: str) -> str:
        return self.lab.host.run(f"su -l {self.user} -c {shlex.quote(command)}")

    def notebook(self, *words: str) -> str:
        program = [f"{HUB}/python", "/srv/notebook.py", self.base, *words]
        return self.as_user(shlex.join(program)).strip()

    def kernels(self) -> set[str]:
        specs = json.loads(self.notebook("specs"))
        return {name for name in specs if name.startswith("fleetwheel")}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    base = tmp_path_factory.mktemp("jupyter")
    with fleet(base / "fleet", [HostSpec("lab", disk="8g")]) as rig:
        lab = Lab(base, rig)
        code, said = lab.deploy()
        assert (code, lab.states()) == (
            0,
            dict.fromkeys(("default", "hub", "open", "closed"), "changed"),
        ), said
        yield lab


@pytest.fixture(scope="module")
def bob(lab: Lab) -> Server:
    return Server(lab, "bob", 8801)


def test_each_user_is_shown_what_that_user_can_run(lab: Lab, bob: Server) -> None:
    """An environment without ipykernel has no kernel, and nothing is said of that."""
    assert bob.kernels() == {"fleetwheel-open"}
    ada = Server(lab, "ada", 8802)
    assert ada.kernels() == {"fleetwheel-open", "fleetwheel-closed"}
    kernel = ada.notebook("start", "fleetwheel-closed")
    assert ada.notebook("run", kernel, "import tqdm; print(tqdm.__name__)") == "tqdm"
    assert "Permission denied" in bob.as_user(f"ls {ROOT}/environments/closed/bin 2>&1 || true")
    hidden = f"ls {ROOT}/cache 2>&1 || true"
    assert "Permission denied" in bob.as_user(hidden), "it holds the same files"
    checked = f"{ROOT}/bin/fleetwheel-node check || true"
    assert "it is for group vision alone; run the check as root" in bob.as_user(checked)
    assert lab.host.run(checked).startswith("ok: ")


def test_a_kernel_stays_in_its_generation_and_the_next_starts_in_the_new(
    lab: Lab, bob: Server
) -> None:
    compute = "import torch; print(torch.ones(3, 3).matmul(torch.ones(3)).sum().item())"
    where = "import sys; print(sys.prefix)"
    before = lab.generation("open")
    kernel = bob.notebook("start", "fleetwheel-open")
    assert bob.notebook("run", kernel, compute) == "9.0"
    assert bob.notebook("run", kernel, where) == before
    said = bob.notebook("run", kernel, "!which python; pip install rich")
    assert said.splitlines()[0].strip() == f"{ROOT}/environments/open/bin/python"

    lab.environments["open"] = {"packages": ["numpy", "ipykernel", "rich"], "keep": 1}
    code, said = lab.deploy("--data", "environment=open")
    assert (code, lab.states()) == (0, {"open": "changed"}), said
    after = lab.generation("open")
    assert after != before
    assert bob.notebook("run", kernel, where) == before
    assert "No module named 'rich'" in bob.notebook("run", kernel, "import rich")
    assert bob.notebook("run", kernel, "import torch.fft; print('fft')") == "fft"
    assert lab.host.run(f"test -d {before} && echo kept").strip() == "kept", "a kernel runs there"

    second = bob.notebook("start", "fleetwheel-open")
    assert bob.notebook("run", second, where) == after
    assert bob.notebook("run", second, f"import rich; {compute}") == "9.0"
    bob.notebook("restart", kernel)
    assert bob.notebook("run", kernel, where) == after


def test_drift_and_deploy_look_at_the_kernelspec(lab: Lab, bob: Server) -> None:
    code, said = lab.deploy()
    assert (code, {*lab.states().values()}) == (0, {"unchanged"}), said
    lab.host.run(f"rm {KERNELS}/fleetwheel-open/kernel.json")
    code, said = lab.deploy(deploy="drift")
    assert (code, lab.states()["open"]) == (1, "drifted"), said
    assert f"kernelspec {KERNELS}/fleetwheel-open/kernel.json" in said
    checked = lab.host.run(f"{ROOT}/bin/fleetwheel-node check || true")
    assert checked.startswith(f"warning: open: {KERNELS}/fleetwheel-open/kernel.json is not there")
    assert bob.kernels() == set()
    code, said = lab.deploy()
    assert (code, lab.states()["open"], lab.states()["hub"]) == (0, "changed", "unchanged"), said
    assert bob.kernels() == {"fleetwheel-open"}


def test_it_goes_with_the_environment(lab: Lab, bob: Server) -> None:
    del lab.environments["open"]
    code, said = lab.deploy("--data", "in_use=true", deploy="remove")
    assert code == 0 and f"{KERNELS}/fleetwheel-open/kernel.json" in said
    assert bob.kernels() == set()
    assert lab.host.run(f"ls {KERNELS}").split() == ["fleetwheel-closed"]

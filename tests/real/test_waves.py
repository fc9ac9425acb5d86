"""A roll-out in waves over real SSH: the next hosts begin when those before them are well."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project import copy_of_checkout, run_pyinfra, with_environment
from tests.small_wheels import make_wheel
from tests.sshd import PROGRAM, known_hosts, sshd

pytestmark = pytest.mark.real


class Lab:
    """Three hosts behind one sshd, each with a root of its own, to be served one by one."""

    def __init__(self, base: Path, port: int) -> None:
        self.base, self.project = base, base / "project"
        self.project.mkdir()
        copy_of_checkout(self.project)
        known = known_hosts(base, "host", port)
        way = f"key: {base}/id, address: 127.0.0.1, port: {port}, known_hosts: {known}"
        hosts = "".join(f"  h{number}: {{root: {base}/root{number}}}\n" for number in range(3))
        (self.project / "inventory" / "lab.yaml").write_text(
            f"defaults: {{{way}, serial: 1}}\nhosts:\n{hosts}"
        )

    def deploy(self, *options: str, **environment: str) -> str:
        """Run a deploy and return what it says."""
        return run_pyinfra(
            self.project,
            "-y",
            "inventory.py",
            "deploys/torch.py",
            *options,
            env=environment,
            seconds=300,
        ).stdout

    def built(self, number: int) -> bool:
        return (self.base / f"root{number}" / "envs").exists()

    def why(self) -> dict[str, str]:
        """Return status and reason of each host."""
        newest = max((self.project / "reports").glob("*.json"))
        hosts = map(with_environment, json.loads(newest.read_text())["hosts"])
        return {host["name"]: f"{host['status']}: {host['why']}" for host in hosts}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    if PROGRAM is None:
        pytest.skip("sshd is not installed: scripts/install-test-tools.sh")
    with sshd(tmp_path) as port:
        yield Lab(tmp_path, port)


def test_a_wave_that_fails_ends_the_roll_out(lab: Lab, tmp_path: Path) -> None:
    """The made-up torch is installed, and fails its smoke test."""
    wheels = tmp_path / "wheels"
    make_wheel(wheels, "torch", "2.13.0+cpu", tag="cp311-cp311-manylinux_2_28_x86_64")
    make_wheel(wheels, "numpy", "2.4.0")
    lab.deploy(
        PIP_CONFIG_FILE=os.devnull,
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(wheels),
        FLEETWHEEL_PYTORCH_INDEX="http://127.0.0.1:9",
    )
    why = lab.why()
    assert why["h0"].startswith("failed: ") and "kept in envs/" in why["h0"]
    for other in ("h1", "h2"):
        assert why[other] == "not begun: wave 1 of the roll-out (h0) did not end well"
    assert [lab.built(number) for number in range(3)] == [True, False, False]


def test_a_wave_that_is_well_lets_the_next_one_begin(lab: Lab) -> None:
    said = lab.deploy("--limit", "h0", "--limit", "h1")
    assert {words.split(":")[0] for words in lab.why().values()} == {"changed"}, said
    assert said.index("[h0] Success") < said.index("[h1] testing")

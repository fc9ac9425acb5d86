"""A mixed fleet over SSH: who can be served is, the others are named with the reason."""

import time
from pathlib import Path

import pytest

from tests.python_list import serving
from tests.rig.fleet import Gpu, HostSpec, fleet, missing
from tests.rig.fleet_deploy import FleetProject
from tests.small_wheels import make_wheel

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
CONNECT_TIMEOUT = 10
"""Seconds, as pyinfra has it when the inventory says nothing."""


def test_a_mixed_fleet(tmp_path: Path) -> None:
    cpu = {"accelerator": "cpu"}
    old = Gpu("Tesla K80", "3.7", "470.256.02", "11.4")
    specs = [
        HostSpec("cpu"),
        HostSpec("display", Gpu(), data=cpu),
        HostSpec("old-driver", old, data={"accelerator": "cu130"}),
        HostSpec("no-python", python=False),
        HostSpec("small-disk", disk="100m"),
        HostSpec("no-programs", data={"root": "/srv/fleetwheel"}),
        HostSpec("no-such-torch", data={"torch": "2.99.0"}),
        HostSpec("gone"),
    ]
    with fleet(tmp_path / "fleet", specs) as rig:
        rig["gone"].cut()
        rig["cpu"].run("mount -o remount,noexec /tmp")
        rig["no-programs"].run("mount -t tmpfs -o noexec tmpfs /srv")
        project = FleetProject(tmp_path / "project", rig)
        project.inventory(torch="2.13.0")
        code, said = project.deploy()
        assert code == 1, said
        assert project.status() == {
            "cpu": "changed",
            "display": "changed",
            "old-driver": "refused",
            "no-python": "refused",
            "small-disk": "failed",
            "no-programs": "failed",
            "no-such-torch": "refused",
            "gone": "unreachable",
        }, said
        why = {name: host["why"] for name, host in project.report().items()}
        assert "470" in why["old-driver"]
        assert "no Python" in why["no-python"]
        assert "105 MB free" in why["small-disk"]
        assert "noexec" in why["no-programs"]
        assert "2.99.0" in why["no-such-torch"]
        assert all(name in said for name in rig.hosts)
        assert rig["cpu"].commands() <= 10, "a new host costs more than 10 commands"

        commands, connections = rig["cpu"].commands(), rig["cpu"].connections()
        code, said = project.deploy("--limit", "cpu")
        assert (code, project.status()) == (0, {"cpu": "unchanged"}), said
        assert rig["cpu"].commands() - commands <= 4
        assert rig["cpu"].connections() - connections == 1


def test_a_host_without_a_way_out_is_told_before_anything_changes(tmp_path: Path) -> None:
    """The source is on this machine's loopback, which is not that of the host."""
    wheel = make_wheel(tmp_path / "wheels", "ballast", "1.0")
    with (
        fleet(tmp_path / "fleet", [HostSpec("alone")]) as rig,
        serving(wheel.parent, "127.0.0.1") as url,
    ):
        project = FleetProject(tmp_path / "project", rig)
        (wheel.parent / "links.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
        project.inventory(torch="2.13.0", packages=["ballast"], sources=[f"{url}/links.html"])
        code, said = project.deploy()
        assert (code, project.status()) == (1, {"alone": "failed"}), said
        why = project.report()["alone"]["why"]
        assert why.startswith("the host cannot connect to http://127.0.0.1:"), why
        assert "distribution: push" in why
        assert rig["alone"].run("ls /opt/fleetwheel 2>/dev/null || true") == ""


def test_hosts_that_are_down_cost_one_connect_timeout(tmp_path: Path) -> None:
    """Nobody is served, so that the two runs differ by the hosts that are down alone."""
    with fleet(tmp_path / "fleet", [HostSpec(f"h{number:02}") for number in range(20)]) as rig:
        project = FleetProject(tmp_path / "project", rig)
        project.inventory(torch="2.99.0")
        began = time.monotonic()
        project.deploy()
        all_up = time.monotonic() - began
        for name in ("h03", "h17"):
            rig[name].cut()
        began = time.monotonic()
        code, said = project.deploy()
        some_down = time.monotonic() - began
        status = project.status()
        assert code == 1
        assert {name for name in status if status[name] == "unreachable"} == {"h03", "h17"}, said
        assert some_down < all_up + CONNECT_TIMEOUT + 5

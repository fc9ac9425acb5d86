"""Driver plans run by zypper: repositories with SUSE's modules and NVIDIA's libraries by name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetwheel.host.profile import Kernel, Profile
from fleetwheel.onboarding.driver_plan import plan_driver
from tests.rig.rpms import Rpm, repository
from tests.rig.trees import StepError, System, missing, system
from tests.unit.test_driver_hosts import A100, NVSWITCH, having
from tests.unit.test_driver_plan import LEAP, SLES, profile

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]
EARLY, LATE, NEWER = "580.82.07", "580.105.08", "595.58.03"
BUILT_FOR = "k6.4.0_150600.23.73"
KMP = "nvidia-open-driver-G06-signed-cuda-kmp-default"
KERNEL = Kernel(boot="6.4.0-150600.23.73-default")
SET_UP = """
mkdir -p /etc/zypp/repos.d
printf '[main]\\ngpgcheck = off\\n' >/etc/zypp/zypp.conf
printf '[system]\\nname=system\\nenabled=1\\ngpgcheck=0\\nbaseurl=file:///repositories/system\\n' \\
    >/etc/zypp/repos.d/system.repo
printf '#!/bin/sh\\necho "$0 $*" >>/root/programs.log\\n' >/usr/local/sbin/systemctl
chmod +x /usr/local/sbin/systemctl
"""


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SUSE's modules of an early and a late 580; NVIDIA has a newer branch besides."""
    shared = tmp_path_factory.mktemp("rpms")
    modules = [
        Rpm(KMP, f"{version}_{BUILT_FOR}", (f"Provides: nvidia-open-driver-G06 = {version}",))
        for version in (EARLY, LATE)
    ]
    libraries = [
        Rpm(name, version)
        for version in (EARLY, LATE, NEWER)
        for name in ("nvidia-persistenced", "nvidia-fabricmanager")
    ]
    libraries += [
        Rpm("nvidia-compute-utils-G06", version, (f"Requires: nvidia-persistenced = {version}",))
        for version in (EARLY, LATE, NEWER)
    ]
    with system("zypper", tmp_path_factory.mktemp("disk"), shared) as builder:
        repository(builder, shared, "system", modules)
        repository(builder, shared, "sles15/x86_64", libraries)
        lacking = [rpm for rpm in libraries if rpm.name != "nvidia-fabricmanager"]
        repository(builder, shared, "opensuse15/x86_64", lacking)
    return shared


@pytest.fixture
def suse(repositories: Path, tmp_path: Path) -> Iterator[System]:
    (tmp_path / "disk").mkdir()
    with system("zypper", tmp_path / "disk", repositories) as suse:
        suse.shell(SET_UP)
        yield suse


def host(distribution: str, generation: str = "Ada", **more: Any) -> Profile:
    return profile(distribution, generation, **{"kernel": KERNEL, **more})


def installed(suse: System) -> dict[str, str]:
    rpm = "rpm --dbpath /var/lib/rpm -qa --qf '%{NAME} %{VERSION}\\n'"
    return dict(line.split() for line in suse.shell(rpm).splitlines())


def test_libraries_are_of_the_version_of_the_signed_modules(suse: System) -> None:
    steps = plan_driver(host(LEAP), "install").steps
    said = suse.apply(steps)
    assert installed(suse) == {
        KMP: f"{LATE}_{BUILT_FOR}",
        "nvidia-compute-utils-G06": LATE,
        "nvidia-persistenced": LATE,
    }, said
    suse.apply(steps)
    assert installed(suse)["nvidia-compute-utils-G06"] == LATE


def test_a_newer_library_is_replaced(suse: System) -> None:
    machine = having(host(SLES, A100), bridges=NVSWITCH)
    steps = plan_driver(machine, "580").steps
    suse.apply(steps[:2])
    suse.shell("zypper -n --no-gpg-checks install nvidia-compute-utils-G06 nvidia-fabricmanager")
    assert installed(suse)["nvidia-compute-utils-G06"] == NEWER
    suse.apply(steps)
    there = installed(suse)
    assert there.pop(KMP) == f"{LATE}_{BUILT_FOR}"
    assert set(there.values()) == {LATE}
    assert "nvidia-fabricmanager" in there


def test_without_a_fabric_manager_of_that_version_nothing_is_installed(suse: System) -> None:
    machine = having(host(LEAP, A100), bridges=NVSWITCH)
    with pytest.raises(StepError, match=f"no nvidia-fabricmanager {LATE}"):
        suse.apply(plan_driver(machine, "580").steps)
    assert installed(suse) == {}


def test_a_hold_is_a_lock(suse: System) -> None:
    suse.apply(plan_driver(host(LEAP), "580", hold=True).steps)
    assert "nvidia-compute-utils-G06" in suse.shell("zypper -n locks")

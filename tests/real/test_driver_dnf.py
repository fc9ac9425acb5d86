"""Driver plans run by dnf: repositories with the names, modules and conflicts of NVIDIA's."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetwheel.host.profile import Kernel, Profile
from fleetwheel.onboarding.driver_plan import plan_driver
from tests.rig.rpms import Rpm, alias, drivers, repository, streams_of
from tests.rig.trees import REPOSITORIES, StepError, System, missing, system
from tests.unit.test_driver_hosts import A100, NVSWITCH, having
from tests.unit.test_driver_plan import ALMA_10, AMAZON, ROCKY_9, profile

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]
ROCKY_8 = "Rocky Linux 8.10 (Green Obsidian)"
ROCKY_10 = "Rocky Linux 10.1 (Red Quartz)"
OLD, BOOT = "5.14.0-427.el9.x86_64", "5.14.0-611.el9.x86_64"
KERNEL = Kernel(running=OLD, boot=BOOT)
AMAZON_BOOT = "6.12.55-74.119.amzn2023.x86_64"
EARLY, LATE, NEWER = "580.95.05", "580.126.20", "595.71.05"
WITHOUT_MANAGER = "610.43.02"
OPEN_KMOD = Rpm("nvidia-open-kmod", LATE, (f"Provides: nvidia-kmod = 3:{LATE}",))
"""AlmaLinux's modules, which may be of an older version than NVIDIA's newest driver."""
SET_UP = """
mkdir -p /etc/yum.repos.d /etc/dnf/vars /etc/dnf/plugins
printf '[main]\\nenabled=0\\n' >/etc/dnf/plugins/local.conf
printf '[main]\\nmodule_platform_id=platform:el9\\ngpgcheck=0\\n' >/etc/dnf/dnf.conf
echo 9 >/etc/dnf/vars/releasever
cp /repositories/system/cuda-system.repo /etc/yum.repos.d
for release in 427 611; do mkdir -p /lib/modules/5.14.0-$release.el9.x86_64/build; done
for program in dkms systemctl; do
    printf '#!/bin/sh\\necho "$0 $*" >>/root/programs.log\\n' >/usr/local/sbin/$program
    chmod +x /usr/local/sbin/$program
done
"""


def system_packages() -> list[Rpm]:
    """Return what the distribution has: two kernels, and what a plan asks for beside the driver."""
    found = [
        Rpm(name)
        for name in (
            *("dnf-plugins-core", "epel-release", "python3-dnf-plugin-versionlock"),
            *("oracle-epel-release-el9", "almalinux-release-nvidia-driver"),
        )
    ]
    found.append(Rpm("kernel-uek-devel", "5.15.0", release="312.el9uek"))
    amazon, release = AMAZON_BOOT.removesuffix(".x86_64").split("-")
    found += [
        Rpm("kernel6.12-modules-extra", amazon, release=release),
        Rpm(
            "kernel6.12-devel",
            amazon,
            (f"Provides: kernel-devel-uname-r = {AMAZON_BOOT}",),
            release,
        ),
    ]
    for release in ("427.el9", "611.el9"):
        for flavour in ("", "-64k"):
            uname = f"5.14.0-{release}.x86_64" + (f"+{flavour[1:]}" if flavour else "")
            devel = Rpm(
                f"kernel{flavour}-devel",
                "5.14.0",
                (f"Provides: kernel-devel-uname-r = {uname}",),
                release,
            )
            same = f"Requires: {devel.name} = 5.14.0-{release}"
            matched = Rpm(f"kernel{flavour}-devel-matched", "5.14.0", (same,), release)
            found += [devel, matched]
    return found


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Repositories of NVIDIA's by their names, and that of the distribution."""
    shared = tmp_path_factory.mktemp("rpms")
    all_drivers = drivers((EARLY, LATE, NEWER, WITHOUT_MANAGER))
    packages = [
        rpm
        for rpm in all_drivers
        if (rpm.name, rpm.version) != ("nvidia-fabricmanager", WITHOUT_MANAGER)
    ]
    packages += [Rpm("nvlsm", "2025.10.1"), Rpm("nvidia-container-toolkit", "1.17.8")]
    streams = streams_of(packages)
    with system("dnf", tmp_path_factory.mktemp("disk"), shared) as builder:
        repository(builder, shared, "system", system_packages())
        repository(builder, shared, "almalinux", [OPEN_KMOD])
        repository(builder, shared, "rhel9/x86_64", packages, streams)
        for name in ("rhel8", "amzn2023"):
            alias(shared, "rhel9/x86_64", f"{name}/x86_64")
        repository(builder, shared, "rhel10/x86_64", packages)
    return shared


@pytest.fixture
def el(repositories: Path, tmp_path: Path) -> Iterator[System]:
    """A system without any driver."""
    (tmp_path / "disk").mkdir()
    with system("dnf", tmp_path / "disk", repositories) as el:
        el.shell(SET_UP)
        yield el


def host(distribution: str, generation: str = "Ada", **more: Any) -> Profile:
    return profile(distribution, generation, **{"kernel": KERNEL, **more})


def installed(el: System) -> dict[str, str]:
    lines = el.shell("rpm -qa --qf '%{NAME} %{VERSION}-%{RELEASE}\\n'").splitlines()
    return dict(line.split() for line in lines)


def versions(el: System) -> dict[str, str]:
    """Return the versions of what is installed of the driver, without their releases."""
    return {
        name: version.split("-")[0]
        for name, version in installed(el).items()
        if "nvidia" in name and not re.search("container|release", name)
    }


def transactions(el: System) -> int:
    return len(el.shell("dnf -q history list | tail -n +3 || true").splitlines())


DRIVER = ("nvidia-driver", "nvidia-driver-cuda", "nvidia-driver-libs", "nvidia-kmod-common")


@pytest.mark.parametrize("distribution", [ROCKY_8, ROCKY_9, ROCKY_10])
def test_a_bare_host_gets_the_branch_and_headers_of_the_kernel_that_boots(
    el: System, distribution: str
) -> None:
    said = el.apply(plan_driver(host(distribution), "580").steps)
    there = versions(el)
    assert {there[name] for name in (*DRIVER, "kmod-nvidia-open-dkms")} == {LATE}, said
    assert "kmod-nvidia-latest-dkms" not in there
    assert there["nvidia-persistenced"] == LATE
    assert installed(el)["kernel-devel"] == "5.14.0-611.el9"
    assert f"dkms autoinstall -k {BOOT}" in el.shell("cat /root/programs.log")


def test_amazon_linux_gets_what_its_kernel_leaves_out_too(el: System) -> None:
    el.apply(plan_driver(host(AMAZON, kernel=Kernel(boot=AMAZON_BOOT)), "580").steps)
    assert {versions(el)[name] for name in (*DRIVER, "kmod-nvidia-open-dkms")} == {LATE}
    there = installed(el)
    assert AMAZON_BOOT.startswith(there["kernel6.12-devel"])
    assert AMAZON_BOOT.startswith(there["kernel6.12-modules-extra"])


@pytest.mark.parametrize("distribution", [ROCKY_9, ROCKY_10])
def test_another_branch_and_the_other_kind_replace_what_there_is(
    el: System, distribution: str
) -> None:
    el.apply(plan_driver(host(distribution), "595").steps)
    el.shell("dnf -q -y install nvidia-settings nvidia-container-toolkit")
    assert versions(el)["nvidia-driver"] == NEWER
    said = el.apply(plan_driver(host(distribution, "Pascal"), "install").steps)
    there = versions(el)
    assert set(there.values()) == {LATE}, said
    assert "kmod-nvidia-latest-dkms" in there
    assert "kmod-nvidia-open-dkms" not in there
    assert "nvidia-settings" in there, "what else there was of the driver goes along"
    assert "nvidia-container-toolkit" in installed(el)
    el.apply(plan_driver(host(distribution), "580").steps)
    assert "kmod-nvidia-open-dkms" in versions(el)
    el.apply(plan_driver(host(distribution), "595").steps)
    assert versions(el) == dict.fromkeys(versions(el), NEWER)


@pytest.mark.parametrize("distribution", [ROCKY_9, ROCKY_10])
def test_a_second_run_changes_nothing(el: System, distribution: str) -> None:
    steps = plan_driver(host(distribution), "580").steps
    el.apply(steps)
    before, count = installed(el), transactions(el)
    el.apply(steps)
    assert installed(el) == before
    assert transactions(el) == count


@pytest.mark.parametrize("distribution", [ROCKY_9, ROCKY_10])
def test_fabric_manager_moves_with_the_driver_in_one_transaction(
    el: System, distribution: str
) -> None:
    machine = having(host(distribution, A100), bridges=NVSWITCH)
    el.apply(plan_driver(machine, "595").steps)
    assert versions(el)["nvidia-fabricmanager"] == NEWER
    count = transactions(el)
    el.apply(plan_driver(machine, "580").steps)
    assert set(versions(el).values()) == {LATE}
    assert transactions(el) == count + 1
    assert "systemctl enable nvidia-fabricmanager" in el.shell("cat /root/programs.log")


@pytest.mark.parametrize("distribution", [ROCKY_9, ROCKY_10])
def test_without_a_fabric_manager_of_that_version_nothing_is_replaced(
    el: System, distribution: str
) -> None:
    machine = having(host(distribution, A100), bridges=NVSWITCH)
    el.apply(plan_driver(machine, "580").steps)
    before = versions(el)
    with pytest.raises(StepError) as failed:
        el.apply(plan_driver(machine, "610").steps)
    assert f"no nvidia-fabricmanager {WITHOUT_MANAGER}" in str(failed.value)
    assert f"it has: {EARLY} {LATE} {NEWER}" in str(failed.value)
    assert versions(el) == before


@pytest.mark.parametrize(
    ("distribution", "words"),
    [
        (ROCKY_9, ["no stream 615-open", "595-open"]),
        (AMAZON, ["no stream 615-open", "580-dkms"]),
        (ROCKY_10, ["no nvidia-driver-cuda of branch 615", f"it has: {EARLY} {LATE} {NEWER}"]),
    ],
)
def test_a_branch_that_is_not_there_is_refused_with_what_is(
    el: System, distribution: str, words: list[str]
) -> None:
    with pytest.raises(StepError) as failed:
        el.apply(plan_driver(host(distribution), "615").steps)
    assert all(word in str(failed.value) for word in words), str(failed.value)
    assert versions(el) == {}


def test_exact_locks_of_another_branch_go_and_those_of_others_stay(el: System) -> None:
    el.apply(plan_driver(host(ROCKY_10), "595").steps)
    el.shell("dnf -q -y install nvidia-container-toolkit")
    el.shell("dnf -q versionlock clear")
    el.shell("dnf -q versionlock add '*nvidia*595*' nvidia-container-toolkit")
    assert f"nvidia-driver-3:{NEWER}" in el.shell("dnf -q versionlock list")
    el.apply(plan_driver(host(ROCKY_10), "580").steps)
    assert versions(el)["nvidia-driver"] == LATE
    left = el.shell("dnf -q versionlock list")
    assert NEWER not in left
    assert "nvidia-container-toolkit" in left


def test_the_lock_of_a_branch_lets_its_fixes_through_and_nothing_newer(el: System) -> None:
    el.apply(plan_driver(having(host(ROCKY_10, A100), bridges=NVSWITCH), "580").steps)
    names = " ".join(f"{name}-{EARLY}" for name in versions(el))
    el.shell(f"dnf -q -y downgrade {names}")
    assert set(versions(el).values()) == {EARLY}
    el.shell("dnf -q -y upgrade")
    assert set(versions(el).values()) == {LATE}
    assert el.shell("dnf -q repoquery --qf '%{version}' nvidia-container-toolkit").strip()


def test_a_hold_is_exact(el: System) -> None:
    el.apply(plan_driver(host(ROCKY_10), "580", hold=True).steps)
    assert f"nvidia-driver-3:{LATE}-1.el9" in el.shell("dnf -q versionlock list")


@pytest.mark.parametrize(
    ("distribution", "kernel", "package"),
    [
        (ROCKY_9, f"{BOOT}+64k", "kernel-64k-devel"),
        (ROCKY_9, BOOT, "kernel-devel-matched"),
        ("Oracle Linux Server 9.6", "5.15.0-312.el9uek.x86_64", "kernel-uek-devel"),
    ],
)
def test_headers_are_those_of_the_flavour(
    el: System, distribution: str, kernel: str, package: str
) -> None:
    steps = plan_driver(host(distribution, kernel=Kernel(boot=kernel)), "580").steps
    headers = next(step for step in steps if "headers" in step.what)
    el.apply([headers])
    assert kernel.startswith(installed(el)[package])


def test_almalinux_gets_its_own_packages(el: System, repositories: Path) -> None:
    """Its release package brings the repositories; here they are there before."""
    for name in ("rhel10/x86_64/cuda-rhel10", "almalinux/cuda-almalinux"):
        el.shell(f"cp {REPOSITORIES}/{name}.repo /etc/yum.repos.d")
    machine = having(host(ALMA_10, A100), bridges=NVSWITCH)
    el.apply(plan_driver(machine, "install").steps)
    there = versions(el)
    assert set(there.values()) == {LATE}
    assert "nvidia-fabricmanager" in there
    assert not any(name.startswith("kmod-") for name in there)

"""Driver plans run by apt: Debian 12 and 13 with their own repositories, and small ones by it.

What comes from Debian itself is simulated, for it is hundreds of megabytes; what comes from the
small repositories, which have the names of NVIDIA's and Ubuntu's, is installed.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fleetwheel.collectors import platform, script, sections
from fleetwheel.host.profile import Kernel, Profile
from fleetwheel.onboarding.driver_plan import plan_driver
from tests.rig.debs import Deb, distribution, flat, keyring, nvidia
from tests.rig.trees import StepError, System, missing, system
from tests.unit.test_driver_hosts import A100, B200, NVSWITCH, built, having
from tests.unit.test_driver_plan import BOOKWORM, TRIXIE, UBUNTU, profile

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]
EARLY, LATE, NEWER = "580.95.05", "580.126.20", "595.71.05"
KERNEL = Kernel(running="6.1.0-49-amd64", boot="6.1.0-50-amd64", packages=("amd64",))
SET_UP = """
cat >/usr/local/sbin/apt-get <<'END'
#!/bin/sh
case " $* " in
*' install '*linux-headers-* | *' install '*dracut*) simulate=--simulate ;;
*' install '*) if [ -e /root/simulate ]; then simulate=--simulate; fi ;;
esac
exec /usr/bin/apt-get $simulate "$@"
END
for program in dkms systemctl modinfo; do
    printf '#!/bin/sh\\necho "$0 $*" >>/root/programs.log\\n' >/usr/local/sbin/$program
done
chmod +x /usr/local/sbin/*
"""


def ubuntu_packages() -> list[Deb]:
    """Return what Ubuntu 24.04 has: a branch, one that became another, and their companions."""
    version, other = "580.159.03-0ubuntu0.24.04.1", "595.71.05-0ubuntu0.24.04.1"
    found = []
    for branch, number in (("580", version), ("595", other)):
        for kind in ("-open", ""):
            name = f"nvidia-dkms-{branch}-server{kind}"
            one = ("Provides: nvidia-dkms-kernel", "Conflicts: nvidia-dkms-kernel")
            found += [
                Deb(name, number, one, component="restricted"),
                Deb(
                    f"nvidia-driver-{branch}-server{kind}",
                    number,
                    (
                        f"Depends: {name}, libnvidia-compute-{branch}-server",
                        "Provides: nvidia-driver-any",
                        "Conflicts: nvidia-driver-any",
                    ),
                    component="restricted",
                ),
                Deb(
                    f"nvidia-headless-no-dkms-{branch}-server{kind}", number, component="restricted"
                ),
                Deb(
                    f"linux-modules-nvidia-{branch}-server{kind}-generic",
                    "6.8.0-90.91",
                    component="restricted",
                ),
            ]
        unique = ("Provides: libnvidia-compute", "Conflicts: libnvidia-compute")
        found += [
            Deb(f"libnvidia-compute-{branch}-server", number, unique, component="restricted"),
            Deb(f"nvidia-utils-{branch}-server", number, component="restricted"),
            Deb(f"nvidia-compute-utils-{branch}-server", number, component="restricted"),
        ]
    return [
        Deb("base-files", "1"),
        Deb("ca-certificates", "20240203"),
        *found,
        Deb(
            "nvidia-driver-570-server",
            version,
            (f"Depends: nvidia-driver-580-server (= {version})",),
            component="restricted",
        ),
        *(
            Deb(name, "6.8.0-90.91")
            for name in (
                "linux-image-lowlatency",
                "linux-headers-lowlatency",
                "linux-headers-6.8.0-90-lowlatency",
            )
        ),
        Deb("nvidia-fabricmanager-580", version, component="multiverse"),
        Deb("nvidia-fabricmanager-580", "580.82.07-0ubuntu1", component="multiverse"),
        Deb("nvidia-fabricmanager-595", "595.58.03-0ubuntu1", component="multiverse"),
    ]


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shared = tmp_path_factory.mktemp("debs")
    for name, branches in (
        ("debian12/x86_64", (EARLY, LATE, NEWER)),
        ("debian13/x86_64", ("590.48.01", NEWER)),
        ("ubuntu2404/x86_64", (LATE, NEWER)),
    ):
        flat(shared, name, nvidia(branches))
        keyring(shared, name)
    return shared


@contextmanager
def debian(release: int, repositories: Path, disk: Path) -> Iterator[System]:
    disk.mkdir()
    with system(f"apt-{release}", disk, repositories) as debian:
        debian.shell(SET_UP)
        yield debian


@pytest.fixture
def debian_12(repositories: Path, tmp_path: Path) -> Iterator[System]:
    with debian(12, repositories, tmp_path / "disk") as there:
        yield there


@pytest.fixture
def debian_13(repositories: Path, tmp_path: Path) -> Iterator[System]:
    with debian(13, repositories, tmp_path / "disk") as there:
        yield there


@pytest.fixture
def ubuntu(repositories: Path, tmp_path: Path) -> Iterator[System]:
    """A Debian 12 whose only source is a small Ubuntu."""
    source = distribution(tmp_path / "shared", "Ubuntu", "noble", ubuntu_packages())
    with debian(12, tmp_path / "shared", tmp_path / "disk") as there:
        there.shell(f"rm -f /etc/apt/sources.list.d/*; echo '{source}' >/etc/apt/sources.list")
        yield there


def newest_kernel(there: System, flavour: str) -> str:
    """Return the release of the kernel that Debian has headers for."""
    there.shell("apt-get -q update")
    said = there.shell(f"apt-cache depends linux-headers-{flavour}")
    found = re.search(r"Depends: linux-headers-(\S+)", said)
    assert found, said
    return found[1]


def host(distribution: str, generation: str = "Ada", **more: Any) -> Profile:
    return profile(distribution, generation, **{"kernel": KERNEL, **more})


def installed(there: System) -> dict[str, str]:
    said = there.shell("dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n'")
    lines = [line.split() for line in said.splitlines()]
    return {name: version for name, version, state in lines if state == "ii"}


def drivers(there: System) -> dict[str, str]:
    return {
        name: version.split("-")[0]
        for name, version in installed(there).items()
        if re.match("(lib)?nvidia|libcuda|cuda-drivers", name) and "pinning" not in name
    }


@pytest.mark.parametrize("flavour", ["amd64", "cloud-amd64"])
@pytest.mark.parametrize(
    ("release", "distribution", "branch"), [(12, BOOKWORM, "535"), (13, TRIXIE, "550")]
)
def test_debians_own_driver_and_headers(
    repositories: Path,
    tmp_path: Path,
    release: int,
    distribution: str,
    branch: str,
    flavour: str,
) -> None:
    with debian(release, repositories, tmp_path / "disk") as there:
        boot = newest_kernel(there, flavour)
        kernel = Kernel(boot=boot, packages=(flavour,))
        there.shell("touch /root/simulate")
        said = there.apply(plan_driver(host(distribution, kernel=kernel), "install").steps)
    assert f"Inst linux-headers-{boot} (" in said
    assert f"Inst linux-headers-{flavour} (" in said
    for package in ("nvidia-driver", "nvidia-kernel-dkms", "nvidia-smi", "libcuda1"):
        assert f"Inst {package} ({branch}." in said
    assert "Inst nvidia-persistenced (" in said


def test_the_legacy_driver_of_debian_12_brings_nothing_of_the_newer(debian_12: System) -> None:
    boot = newest_kernel(debian_12, "amd64")
    debian_12.shell("touch /root/simulate")
    steps = plan_driver(host(BOOKWORM, "Kepler", kernel=Kernel(boot=boot)), "install").steps
    said = debian_12.apply(steps)
    assert "Inst nvidia-tesla-470-kernel-dkms (470." in said
    assert "Inst nvidia-persistenced (" in said
    assert not re.findall(r"Inst (?:lib)?nvidia-[a-z0-9-]+ \(535\.2", said)


def test_a_newer_driver_gives_way_to_debians_own(debian_12: System) -> None:
    boot = newest_kernel(debian_12, "amd64")
    kernel = Kernel(boot=boot)
    debian_12.apply(plan_driver(host(BOOKWORM, kernel=kernel), "580").steps)
    assert drivers(debian_12)["nvidia-driver"] == LATE
    debian_12.shell("touch /root/simulate")
    said = debian_12.apply(plan_driver(host(BOOKWORM, kernel=kernel), "535").steps)
    assert f"Inst nvidia-driver [{LATE}-1] (535." in said
    assert f"Inst libcuda1 [{LATE}-1] (535." in said
    assert "Remv nvidia-open" in said


@pytest.mark.parametrize(
    ("release", "distribution", "branch", "version"),
    [(12, BOOKWORM, "580", LATE), (13, TRIXIE, "595", NEWER)],
)
def test_nvidias_repository_is_pinned_to_a_branch(
    repositories: Path,
    tmp_path: Path,
    release: int,
    distribution: str,
    branch: str,
    version: str,
) -> None:
    with debian(release, repositories, tmp_path / "disk") as there:
        kernel = Kernel(boot=newest_kernel(there, "amd64"))
        steps = plan_driver(host(distribution, "Blackwell", kernel=kernel), "install").steps
        there.apply(steps)
        assert set(drivers(there).values()) == {version}
        assert f"nvidia-driver-pinning-{branch}" in installed(there)
        before = installed(there)
        there.apply(steps)
        assert installed(there) == before


def test_branch_and_kind_are_replaced_also_downwards(debian_12: System) -> None:
    kernel = Kernel(boot=newest_kernel(debian_12, "amd64"))
    debian_12.apply(plan_driver(host(BOOKWORM, kernel=kernel), "595").steps)
    assert "nvidia-kernel-open-dkms" in drivers(debian_12)
    debian_12.apply(plan_driver(host(BOOKWORM, "Pascal", kernel=kernel), "580").steps)
    there = drivers(debian_12)
    assert there.pop("nvidia-kernel-dkms") == LATE
    assert "nvidia-kernel-open-dkms" not in there
    assert set(there.values()) == {LATE}


def test_a_branch_that_nvidias_repository_lacks_is_refused(debian_13: System) -> None:
    kernel = Kernel(boot=newest_kernel(debian_13, "amd64"))
    with pytest.raises(StepError, match="nvidia-driver-pinning-620"):
        debian_13.apply(plan_driver(host(TRIXIE, kernel=kernel), "620").steps)
    assert drivers(debian_13) == {}


@pytest.mark.parametrize(("gpu", "nvlsm"), [(A100, False), (B200, True)])
def test_fabric_manager_comes_from_nvidia_in_the_drivers_version(
    debian_12: System, gpu: str, nvlsm: bool
) -> None:
    kernel = Kernel(boot=newest_kernel(debian_12, "amd64"))
    machine = having(host(BOOKWORM, gpu, kernel=kernel), bridges=NVSWITCH)
    debian_12.apply(plan_driver(machine, "595").steps)
    debian_12.apply(plan_driver(machine, "580").steps)
    assert drivers(debian_12)["nvidia-fabricmanager"] == LATE
    assert ("nvlsm" in installed(debian_12)) is nvlsm
    assert "systemctl enable nvidia-fabricmanager" in debian_12.shell("cat /root/programs.log")


def test_dracut_is_used_where_debian_has_it(debian_13: System) -> None:
    """dracut and initramfs-tools exclude each other there."""
    debian_13.shell("apt-get -q update && touch /root/simulate")
    said = debian_13.shell("/usr/bin/apt-get --simulate install dracut")
    assert "Inst initramfs-tools " not in said
    log = "/root/programs.log"
    debian_13.shell(
        f"printf '#!/bin/sh\\necho dracut $* >>{log}\\n' >/usr/local/sbin/dracut;"
        "chmod +x /usr/local/sbin/dracut"
    )
    seen = having(host(TRIXIE), nouveau=True)
    steps = [step for step in plan_driver(seen, "install").steps if "RAM disk" in step.what]
    debian_13.apply(steps)
    assert debian_13.shell(f"cat {log}").strip() == f"dracut --force --kver {KERNEL.boot}"


def test_ubuntus_driver_comes_from_components_that_are_added(ubuntu: System) -> None:
    ubuntu.apply(
        [step for step in plan_driver(host(UBUNTU), "install").steps if "headers" not in step.what]
    )
    assert drivers(ubuntu)["nvidia-driver-580-server-open"] == "580.159.03"
    there = [
        step
        for step in plan_driver(host(UBUNTU, "Pascal"), "install").steps
        if "headers" not in step.what
    ]
    ubuntu.apply(there)
    assert "nvidia-dkms-580-server" in drivers(ubuntu)
    assert "nvidia-dkms-580-server-open" not in drivers(ubuntu)


def test_another_branch_behind_the_name_is_refused_with_what_there_is(ubuntu: System) -> None:
    steps = plan_driver(host(UBUNTU), "580").steps
    disguised = [
        step.model_copy(
            update={
                "command": tuple(
                    word.replace("nvidia-driver-580-server-open", "nvidia-driver-570-server")
                    if word.startswith("nvidia")
                    else ("570" if word == "580" else word)
                    for word in step.command
                )
            }
        )
        for step in steps
        if "headers" not in step.what
    ]
    with pytest.raises(StepError) as failed:
        ubuntu.apply(disguised)
    said = str(failed.value)
    assert "apt would install nvidia-driver-570-server 580.159.03-0ubuntu0.24.04.1, not 570" in said
    assert "nvidia-driver-595-server-open" in said
    assert drivers(ubuntu) == {}


def test_ubuntus_fabric_manager_is_of_the_drivers_version_or_nothing_is_done(
    ubuntu: System,
) -> None:
    machine = having(host(UBUNTU, A100), bridges=NVSWITCH)
    steps = [step for step in plan_driver(machine, "580").steps if "headers" not in step.what]
    ubuntu.apply(steps)
    assert drivers(ubuntu)["nvidia-fabricmanager-580"] == "580.159.03"
    before = installed(ubuntu)
    with pytest.raises(StepError, match=r"apt has no nvidia-fabricmanager-595 595\.71\.05"):
        ubuntu.apply(
            step for step in plan_driver(machine, "595").steps if "headers" not in step.what
        )
    assert installed(ubuntu) == before


UNDER_SECURE_BOOT = """
variable=/seen/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
gpu=/seen/sys/bus/pci/devices/0000:01:00.0
mkdir -p "${variable%/*}" $gpu /seen/etc
printf '\\006\\000\\000\\000\\001' >"$variable"
echo ID=ubuntu >/seen/etc/os-release
echo 0x10de >$gpu/vendor
rm -f /var/cache/apt/*.bin
"""


def kernel_of(there: System) -> Kernel:
    """Return what the host's own answer says of its kernels, as facts ask for it."""
    there.shell(UNDER_SECURE_BOOT)
    answer = there.run("sh", "-c", script("platform"), "sh", "", "5", "/seen").stdout
    kernel = platform.parse_platform(sections(answer.splitlines(), "platform")["platform"]).kernel
    assert there.shell("ls /var/cache/apt").split() == ["archives"], "a question writes nothing"
    return kernel.model_copy(update={"boot": "6.8.0-90-lowlatency"})


def test_dkms_builds_where_ubuntu_signs_no_modules_for_the_kernel(ubuntu: System) -> None:
    ubuntu.shell("apt-get -q update && apt-get -q -y install linux-image-lowlatency")
    kernel = kernel_of(ubuntu)
    assert (kernel.packages, kernel.offered) == (("lowlatency",), ())
    planned = plan_driver(host(UBUNTU, secure_boot=True, kernel=kernel), "580")
    with pytest.raises(StepError, match="no linux-modules-nvidia-580-server-open-lowlatency"):
        ubuntu.apply(planned.steps)
    assert drivers(ubuntu) == {}
    kernel = kernel_of(ubuntu)
    assert "nvidia-driver-580-server-open" in kernel.offered
    again = plan_driver(host(UBUNTU, secure_boot=True, kernel=kernel), "580")
    assert again.at_console
    ubuntu.apply(again.steps)
    assert drivers(ubuntu)["nvidia-dkms-580-server-open"] == "580.159.03"
    ubuntu.shell("rm -r /var/lib/apt/lists")
    assert kernel_of(ubuntu).offered == (), "what is installed says nothing of the lists"


def test_ubuntus_signed_modules_replace_those_of_dkms(ubuntu: System) -> None:
    steps = plan_driver(host(UBUNTU), "580").steps
    ubuntu.apply(step for step in steps if "headers" not in step.what)
    packages = tuple(f"{name} {version}" for name, version in installed(ubuntu).items())
    kernel = Kernel(boot="6.8.0-90-generic", packages=("generic",))
    there = {"state": "not-loaded", "library": "580.159.03", "kernel": kernel}
    waiting = having(
        host(UBUNTU, secure_boot=True, **there),
        packages=packages,
        built=built("580.159.03", kernel.boot),
    )
    ubuntu.apply(plan_driver(waiting, "580").steps)
    assert "linux-modules-nvidia-580-server-open-generic" in installed(ubuntu)
    assert not any(name.startswith("nvidia-dkms") for name in drivers(ubuntu))
    assert drivers(ubuntu)["libnvidia-compute-580-server"] == "580.159.03"


def test_ubuntu_gets_all_from_nvidia_where_nvlsm_is_needed(ubuntu: System, tmp_path: Path) -> None:
    flat(tmp_path / "shared", "ubuntu2404/x86_64", nvidia((LATE, NEWER)))
    keyring(tmp_path / "shared", "ubuntu2404/x86_64")
    steps = [
        step for step in plan_driver(host(UBUNTU, B200), "580").steps if "headers" not in step.what
    ]
    ubuntu.apply(steps)
    there = drivers(ubuntu)
    assert {there[name] for name in ("nvidia-open", "libcuda1", "nvidia-fabricmanager")} == {LATE}
    assert "nvlsm" in installed(ubuntu)
    assert not any("server" in name for name in there)


def test_ubuntus_signed_modules_come_without_dkms(ubuntu: System) -> None:
    kernel = Kernel(boot="6.8.0-90-generic", packages=("generic",))
    ubuntu.apply(plan_driver(host(UBUNTU, secure_boot=True, kernel=kernel), "install").steps)
    there = drivers(ubuntu)
    assert "nvidia-headless-no-dkms-580-server-open" in there
    assert "linux-modules-nvidia-580-server-open-generic" in installed(ubuntu)
    assert not any("dkms-580" in name and "no-dkms" not in name for name in there)

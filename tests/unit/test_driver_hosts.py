"""Driver plans for hosts that have some of it already, and for those that need more."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import BuiltModule, DriverState, Gpu, Kernel, Profile
from fleetwheel.onboarding.driver_facts import facts
from fleetwheel.onboarding.driver_packages import BLACKLIST_FILE
from fleetwheel.onboarding.driver_plan import DriverPlan, plan_driver
from fleetwheel.onboarding.driver_steps import IB_UMAD
from fleetwheel.onboarding.gpu_generations import Limits
from tests.unit.test_driver_plan import (
    ALMA_10,
    AMAZON,
    BOOKWORM,
    FEDORA,
    LEAP,
    ORACLE_9,
    RHEL_8,
    ROCKY_9,
    SLES,
    TRIXIE,
    UBUNTU,
    commands,
    profile,
    refusal,
)

KERNEL = "6.1.0-50-amd64"
UEK = "5.15.0-312.187.5.el9uek.x86_64"
LIBRARY = "580.95.05"
A100, H100, B200, GB200, GB300 = "0x20b2", "0x2330", "0x2901", "0x2941", "0x31c2"
NVSWITCH = ("0000:07:00.0 0x1af1",)


def having(seen: Profile, **installed: Any) -> Profile:
    """Return a host that has this of a driver."""
    there = seen.installed_driver.model_copy(update=installed)
    return seen.model_copy(update={"installed_driver": there})


def built(version: str = LIBRARY, kernel: str = KERNEL, **more: Any) -> tuple[BuiltModule, ...]:
    return (BuiltModule(kernel=kernel, version=version, **{"kind": "open", **more}),)


def last_install(planned: DriverPlan) -> str:
    return next(
        " ".join(step.command) for step in reversed(planned.steps) if "install" in step.command
    )


# NVSwitch machines


@pytest.mark.parametrize(
    ("distribution", "names"),
    [
        (UBUNTU, ["nvidia-driver-580-server-open", "nvidia-fabricmanager-580="]),
        (BOOKWORM, ["nvidia-open", "nvidia-fabricmanager="]),
        (TRIXIE, ["nvidia-open", "nvidia-fabricmanager="]),
        (ROCKY_9, ["kmod-nvidia-open-dkms-=", "nvidia-fabricmanager-="]),
        (ALMA_10, ["nvidia-open-kmod-=", "nvidia-fabricmanager-="]),
        (RHEL_8, ["kmod-nvidia-open-dkms-=", "nvidia-fabricmanager-="]),
        (AMAZON, ["nvidia-driver-cuda-=", "nvidia-fabricmanager-="]),
        (FEDORA, ["nvidia-driver-cuda-=", "nvidia-fabricmanager-="]),
        (ORACLE_9, ["kmod-nvidia-open-dkms-=", "nvidia-fabricmanager-="]),
        (LEAP, ["nvidia-compute-utils-G06=", "nvidia-fabricmanager="]),
        (SLES, ["nvidia-compute-utils-G06=", "nvidia-fabricmanager="]),
    ],
)
def test_fabric_manager_comes_in_one_transaction(distribution: str, names: list[str]) -> None:
    host = having(profile(distribution, A100), bridges=NVSWITCH)
    assert all(name in last_install(plan_driver(host, "install")) for name in names)
    planned = plan_driver(host, "install", hold=True)
    assert "systemctl enable nvidia-fabricmanager" in commands(planned)
    assert "NVSwitches join the GPUs" in planned.summary
    held = planned.steps[-1].command
    assert any("nvidia-fabricmanager" in word for word in held)
    assert "fabricmanager" not in commands(plan_driver(profile(distribution, A100), "install"))


@pytest.mark.parametrize(
    ("gpu", "bridge"), [("Volta", "0x1ac2"), (A100, "0x1af1"), (H100, "0x22a3")]
)
def test_nvswitches_are_known_by_their_ids(gpu: str, bridge: str) -> None:
    host = having(profile(ROCKY_9, gpu), bridges=(f"0000:07:00.0 {bridge}",))
    assert "nvidia-fabricmanager-=" in last_install(plan_driver(host, "install"))
    other = having(profile(ROCKY_9, gpu), bridges=("0000:07:00.0 0x1234",))
    assert "fabricmanager" not in commands(plan_driver(other, "install"))


def test_a_stream_is_not_switched_where_all_has_to_move_at_once() -> None:
    host = having(profile(ROCKY_9, A100), bridges=NVSWITCH)
    said = commands(plan_driver(host, "580"))
    assert "module enable nvidia-driver:580-open" in said
    assert "switch-to" not in said


def test_the_package_had_another_name_before_580() -> None:
    host = having(profile(ROCKY_9, A100), bridges=NVSWITCH)
    assert "nvidia-fabric-manager-=" in commands(plan_driver(host, "570"))


def test_ubuntu_has_fabric_manager_in_multiverse() -> None:
    host = having(profile(UBUNTU, A100), bridges=NVSWITCH)
    assert "Ubuntu restricted multiverse" in commands(plan_driver(host, "install"))
    assert "multiverse" not in commands(plan_driver(profile(UBUNTU, A100), "install"))


@pytest.mark.parametrize("distribution", [UBUNTU, BOOKWORM, TRIXIE, ROCKY_9, LEAP])
@pytest.mark.parametrize("gpu", [B200, "0x3182"])
def test_the_fourth_nvswitch_is_known_by_its_gpus(distribution: str, gpu: str) -> None:
    planned = plan_driver(profile(distribution, gpu), "install")
    assert "nvlsm" in last_install(planned)
    assert "nvidia-fabricmanager" in last_install(planned)
    assert "modules-load.d/fleetwheel-nvlsm.conf" in commands(planned)


def test_ubuntu_gets_nvlsm_and_all_else_from_nvidia() -> None:
    planned = plan_driver(profile(UBUNTU, B200), "install")
    assert "repos/ubuntu2404/x86_64/cuda-keyring" in commands(planned)
    assert "nvidia-driver-pinning-580" in commands(planned)
    assert planned.packages[0] == "nvidia-open"


@pytest.mark.parametrize("gpu", [GB200, GB300])
@pytest.mark.parametrize(
    ("distribution", "name"),
    [
        (UBUNTU, "nvidia-imex-580="),
        (BOOKWORM, "nvidia-imex="),
        (TRIXIE, "nvidia-imex="),
        (ROCKY_9, "nvidia-imex-="),
        (ALMA_10, "nvidia-imex-="),
        (AMAZON, "nvidia-imex-="),
        (FEDORA, "nvidia-imex-="),
        (SLES, "nvidia-imex="),
    ],
)
def test_racks_need_imex_of_the_same_version(distribution: str, name: str, gpu: str) -> None:
    planned = plan_driver(profile(distribution, gpu), "install")
    assert name in last_install(planned)
    assert "fabricmanager" not in commands(planned)
    assert "nodes_config.cfg" in planned.summary


@pytest.mark.parametrize("state", ["fabric-not-ready", "ok"])
def test_a_driver_without_its_fabric_manager_gets_it(state: str) -> None:
    seen = profile(UBUNTU, H100, state=state, version=LIBRARY, library=LIBRARY)
    bridges, packages = ("0000:07:00.0 0x22a3",), ("nvidia-driver-580-server-open 580.95.05-0u1",)
    alone = having(seen, bridges=bridges, packages=packages)
    planned = plan_driver(alone, "install")
    assert "nvidia-fabricmanager-580=" in last_install(planned)
    assert "nvidia-fabricmanager of its version is not" in planned.summary
    other = having(alone, packages=(*packages, "nvidia-fabricmanager-580 580.82.07-0u1"))
    assert plan_driver(other, "install").steps
    same = having(alone, packages=(*packages, "nvidia-fabricmanager-580 580.95.05-1"))
    if state == "ok":
        assert plan_driver(same, "install").nothing
    else:
        assert [step.command for step in plan_driver(same, "install").steps] == [
            ("systemctl", "enable", "nvidia-fabricmanager"),
            ("systemctl", "restart", "nvidia-fabricmanager"),
        ]
        assert "Start nvidia-fabricmanager" in refusal(having(same, packages=()))


def test_modules_are_loaded_before_the_fabric_that_needs_them() -> None:
    seen = profile(UBUNTU, B200, state="not-loaded", library=LIBRARY)
    packages = ("nvidia-fabricmanager 580.95.05-1", "nvlsm 2025.06-1")
    planned = plan_driver(having(seen, built=built(), packages=packages), "install")
    last = [step.command for step in planned.steps if step.command[0] != "sh"]
    assert last == [
        ("modprobe", "nvidia"),
        ("systemctl", "enable", "nvidia-fabricmanager"),
        ("modprobe", "ib_umad"),
        ("systemctl", "restart", "nvidia-fabricmanager"),
    ]
    assert not planned.reboot


def test_a_fabric_that_somebody_else_set_up_is_left_alone() -> None:
    """Fabric Manager in a container, or on the machine that a virtual one with one GPU is on."""
    runs = profile(UBUNTU, B200, state="ok", version=LIBRARY, library=LIBRARY)
    packages = ("nvidia-driver-580-server-open 580.95.05-0u1",)
    assert plan_driver(having(runs, packages=packages), "install").nothing
    switches = having(runs, packages=packages, bridges=NVSWITCH)
    assert plan_driver(switches, "install").steps
    for capability, nothing in (("10.0", True), ("9.0", True), ("8.0", False)):
        gpu = Gpu(index=0, name="x", compute_capability=capability, fabric_pending=False)
        assert (
            plan_driver(switches.model_copy(update={"gpus": (gpu,)}), "install").nothing is nothing
        )


def test_a_driver_that_no_package_brought_is_left_alone() -> None:
    runs = profile(UBUNTU, A100, state="ok", version=LIBRARY, library=LIBRARY)
    assert plan_driver(having(runs, bridges=NVSWITCH, packages=()), "install").nothing


@pytest.mark.parametrize("state", ["ok", "no-devices", "no-driver"])
def test_what_nvidias_installer_brought_is_not_mixed_with_packages(state: str) -> None:
    seen = profile(UBUNTU, "Ada", state=state, version="550.54.14", library="550.54.14")
    said = refusal(having(seen, packages=()), "580")
    assert "driver 550.54.14 was installed by NVIDIA's installer" in said
    assert "run nvidia-uninstall, then run again" in said
    elsewhere = profile("Arch Linux", "Ada", state=state, version="550.54.14", library="550.54.14")
    assert "how Arch Linux gets" in refusal(having(elsewhere, packages=()), "580")


@pytest.mark.parametrize(
    ("distribution", "package"),
    [
        (UBUNTU, f"linux-modules-extra-{KERNEL}"),
        (TRIXIE, f"linux-modules-extra-{KERNEL}"),
        (ROCKY_9, f"kernel-modules-extra-{KERNEL}"),
        (ALMA_10, f"kernel-modules-extra-{KERNEL}"),
        (FEDORA, f"kernel-modules-extra-{KERNEL}"),
        (ORACLE_9, f"kernel-uek-modules-extra-{UEK}"),
    ],
)
def test_what_nvlsm_needs_is_there_before_the_driver_is_replaced(
    distribution: str, package: str
) -> None:
    kernel = Kernel(boot=UEK if distribution == ORACLE_9 else KERNEL)
    steps = plan_driver(profile(distribution, B200, kernel=kernel), "install").steps
    what = [step.what for step in steps]
    umad = what.index("load ib_umad at boot")
    assert package in steps[umad].command
    install = next(number for number, said in enumerate(what) if "nvlsm" in said)
    assert umad < install < what.index("start Fabric Manager at boot")


@pytest.mark.parametrize(
    ("modinfo", "installer", "ends"),
    [("exit 0", "false", 0), ("test -e new", "touch new", 0), ("exit 1", "true", 1)],
)
def test_the_extra_modules_come_only_where_ib_umad_is_missing(
    tmp_path: Path, modinfo: str, installer: str, ends: int
) -> None:
    program = tmp_path / "modinfo"
    program.write_text(f"#!/bin/sh\n{modinfo}\n")
    program.chmod(0o755)
    words = ("sh", "-c", IB_UMAD, f"{tmp_path}/load.d/umad.conf", KERNEL, *installer.split())
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(words, env=path, cwd=tmp_path, check=False)
    assert done.returncode == ends
    assert (tmp_path / "load.d/umad.conf").exists() is (ends == 0)


@pytest.mark.parametrize(
    ("there", "ran"),
    [
        ("update-initramfs", "update-initramfs -u -k all"),
        ("dracut", f"dracut --force --kver {KERNEL}"),
    ],
)
@pytest.mark.parametrize("code", [0, 1])
def test_the_ram_disk_is_rebuilt_by_what_the_host_has(
    tmp_path: Path, there: str, ran: str, code: int
) -> None:
    """Where that fails the blacklist is not in effect, so it goes and the next run repeats it."""
    (tmp_path / there).write_text(f'#!/bin/sh\necho "{there} $*"\nexit {code}\n')
    (tmp_path / there).chmod(0o755)
    (tmp_path / "rm").symlink_to("/bin/rm")
    written = tmp_path / "fleetwheel-nouveau.conf"
    written.write_text("blacklist nouveau\n")
    steps = plan_driver(profile(TRIXIE, "Ada", nouveau=True), "install").steps
    command = next(step.command for step in steps if "RAM disk" in step.what)
    words = [str(written) if word == BLACKLIST_FILE else word for word in ("/bin/sh", *command[1:])]
    done = subprocess.run(words, env={"PATH": str(tmp_path)}, text=True, stdout=-1, check=False)
    assert (done.returncode, done.stdout.strip()) == (code, ran)
    assert written.exists() is (code == 0)


def test_nouveau_is_off_before_the_driver_comes() -> None:
    what = [step.what for step in plan_driver(profile(ROCKY_9, "Ada", nouveau=True), "580").steps]
    assert "rebuild the initial RAM disk without nouveau" in what[:2]


def test_rpm_fusion_has_no_fabric_manager() -> None:
    host = having(profile(FEDORA, "Volta"), bridges=("0000:07:00.0 0x1ac2",))
    assert "RPM Fusion has none for its driver 580" in refusal(host)
    assert plan_driver(profile(FEDORA, "Volta"), "install").steps


# What is installed and does not work


def test_a_module_that_is_not_built_is_built_and_no_reboot_awaited() -> None:
    waiting = profile(UBUNTU, "Ada", state="not-loaded", library=LIBRARY)
    for modules in ((), built(kernel="6.1.0-41-amd64"), built("570.1.2")):
        planned = plan_driver(having(waiting, built=modules), "580")
        assert f"not its module for {KERNEL}" in planned.summary
        assert f"linux-headers-{KERNEL}" in commands(planned)
        assert "dkms autoinstall" in commands(planned)


def test_an_installation_that_built_no_module_is_no_success() -> None:
    planned = plan_driver(profile(UBUNTU, "Ada"), "580")
    dkms = ("nvidia/580.95.05: added",)
    after = having(profile(UBUNTU, "Ada"), library=LIBRARY, built=(), dkms=dkms)
    wrong = planned.mismatch(after)
    assert wrong is not None
    assert f"its module for the kernel {KERNEL}, which boots next, is not built" in str(wrong)
    assert "dkms says nvidia/580.95.05: added" in str(wrong)
    assert "hint: see /var/lib/dkms/nvidia/580.95.05/build/make.log" in str(wrong)
    assert planned.mismatch(having(after, built=built())) is None


def test_the_log_of_a_build_is_where_dkms_names_it() -> None:
    planned = plan_driver(profile(BOOKWORM, "Ada"), "install")
    dkms = ("nvidia-current/535.261.03: added",)
    after = having(profile(BOOKWORM, "Ada"), library="535.261.03", built=(), dkms=dkms)
    assert "see /var/lib/dkms/nvidia-current/535.261.03/build/make.log" in str(
        planned.mismatch(after)
    )


@pytest.mark.parametrize(
    ("distribution", "generation", "library", "hint"),
    [
        (LEAP, "Ada", LIBRARY, "update the host's kernel to one that the distribution has"),
        (ALMA_10, "Ada", LIBRARY, "update the host's kernel to one that the distribution has"),
        (FEDORA, "Pascal", LIBRARY, f"run `akmods --force --kernels {KERNEL}`"),
        (ROCKY_9, "Ada", LIBRARY, f"run `dkms autoinstall -k {KERNEL}`"),
    ],
)
def test_the_hint_of_a_module_that_is_missing_is_for_what_should_have_built_it(
    distribution: str, generation: str, library: str, hint: str
) -> None:
    host = profile(distribution, generation)
    after = having(host, library=library, built=())
    assert hint in str(plan_driver(host, "install").mismatch(after))


def test_of_two_modules_for_a_kernel_the_one_of_the_library_counts() -> None:
    planned = plan_driver(profile(BOOKWORM, "Ada"), "install")
    both = (*built("470.256.02"), *built("535.261.03", kind="proprietary"))
    after = having(profile(BOOKWORM, "Ada"), library="535.261.03", built=both)
    assert planned.mismatch(after) is None


def test_an_installation_without_its_fabric_manager_is_no_success() -> None:
    host = having(profile(UBUNTU, A100), bridges=NVSWITCH)
    after = having(host, library=LIBRARY, built=built())
    assert "nvidia-fabricmanager of its version is not" in str(
        plan_driver(host, "580").mismatch(after)
    )


def test_a_module_for_the_running_kernel_is_loaded_without_a_reboot() -> None:
    waiting = having(
        profile(UBUNTU, "Ada", state="not-loaded", library=LIBRARY), built=built(changed_s=1)
    )
    planned = plan_driver(waiting, "580")
    assert [step.command for step in planned.steps] == [("modprobe", "nvidia")]
    assert not planned.reboot
    assert not planned.nothing
    assert planned.mismatch(waiting) is None


@pytest.mark.parametrize(
    ("state", "installed"),
    [
        ("version-mismatch", {"module": "570.1"}),
        ("not-loaded", {"nouveau": True, "blacklisted_s": 200}),
        ("not-loaded", {"nova_core": True, "blacklisted_s": 200}),
    ],
)
def test_no_second_reboot_for_one_cause(state: str, installed: dict[str, Any]) -> None:
    there = having(
        profile(UBUNTU, "Ada", state=state, library=LIBRARY),
        built=built(changed_s=100),
        changed_s=90,
        **installed,
    )
    for booted, reboots in ((50, True), (1000, False), (None, True)):
        host = there.model_copy(update={"booted_s": booted})
        if reboots:
            assert plan_driver(host, "580").reboot
        else:
            assert "another reboot will not help" in refusal(host, "580")


def test_nouveau_that_nobody_blacklisted_is_before_the_reboot() -> None:
    there = profile(ROCKY_9, "Ada", state="not-loaded", library=LIBRARY, nouveau=True)
    host = having(there, built=built(changed_s=100)).model_copy(update={"booted_s": 1000})
    planned = plan_driver(host, "580")
    assert planned.reboot
    assert "blacklist nouveau" in commands(planned)
    done = having(host, blacklisted_s=2000)
    assert plan_driver(done, "580").reboot
    assert not plan_driver(done, "580").steps


@pytest.mark.parametrize(
    ("gpu", "wrong", "installed", "right"),
    [
        ("Pascal", "open", {"kind": "open"}, "nvidia-driver-580-server"),
        ("Pascal", "open", {"built": built()}, "nvidia-driver-580-server"),
        (
            "Pascal",
            "open",
            {"packages": ("nvidia-dkms-580-server-open 580.95.05-0u1",)},
            "nvidia-driver-580-server",
        ),
        (
            "Blackwell",
            "proprietary",
            {"packages": ("nvidia-dkms-580-server 580.95.05-0u1",)},
            "nvidia-driver-580-server-open",
        ),
        ("Blackwell", "proprietary", {"kind": "proprietary"}, "nvidia-driver-580-server-open"),
    ],
)
def test_the_other_kind_of_modules_replaces_one_that_does_not_know_the_gpu(
    gpu: str, wrong: str, installed: dict[str, Any], right: str
) -> None:
    seen = profile(UBUNTU, gpu, state="no-devices", version=LIBRARY, library=LIBRARY)
    planned = plan_driver(having(seen, **installed), "install")
    assert planned.packages == (right,)
    assert f"with {wrong} modules, which do not run these GPUs" in planned.summary


@pytest.mark.parametrize(
    ("distribution", "open_ones", "closed"),
    [
        (BOOKWORM, "nvidia-open", "nvidia-driver"),
        (ROCKY_9, "kmod-nvidia-open-dkms", "kmod-nvidia-latest-dkms"),
        (RHEL_8, "kmod-nvidia-open-dkms", "kmod-nvidia-latest-dkms"),
        (ALMA_10, "nvidia-open-kmod", "kmod-nvidia-latest-dkms"),
        (AMAZON, "kmod-nvidia-open-dkms", "kmod-nvidia-latest-dkms"),
    ],
)
def test_every_family_has_the_other_kind(distribution: str, open_ones: str, closed: str) -> None:
    for gpu, wrong, right in (("Pascal", "open", closed), ("Blackwell", "proprietary", open_ones)):
        seen = profile(distribution, gpu, state="no-devices", version=LIBRARY, library=LIBRARY)
        planned = plan_driver(having(seen, kind=wrong), "install")
        assert planned.packages[0] == right
        assert f"with {wrong} modules" in planned.summary


def test_debians_open_modules_go_where_its_others_come() -> None:
    seen = profile(BOOKWORM, "Pascal", state="no-devices", version="535.1", library="535.1")
    planned = plan_driver(
        having(seen, packages=("nvidia-open-kernel-dkms 535.261.03-1",)), "install"
    )
    assert "nvidia-open-kernel-dkms-" in last_install(planned).split()
    assert "nvidia-open-kernel-dkms" not in planned.packages
    assert "nvidia-open-kernel" not in commands(plan_driver(profile(BOOKWORM, "Pascal"), "install"))


def test_a_right_kind_that_finds_no_device_is_not_replaced() -> None:
    seen = profile(UBUNTU, "Ada", state="no-devices", version=LIBRARY, library=LIBRARY)
    assert "NVRM" in refusal(having(seen, kind="open"))


def test_modules_of_the_other_kind_after_an_installation_are_no_success() -> None:
    planned = plan_driver(profile(UBUNTU, "Pascal"), "580")
    after = having(profile(UBUNTU, "Pascal"), library=LIBRARY, built=built(kind="open"))
    said = str(planned.mismatch(after))
    assert f"its modules for the kernel {KERNEL} are the open ones, not the proprietary" in said
    right = having(after, built=built(kind="proprietary"))
    assert planned.mismatch(right) is None


def test_a_swap_waits_for_one_reboot_and_is_not_done_twice() -> None:
    seen = profile(UBUNTU, "Pascal", state="no-devices", version=LIBRARY, library=LIBRARY)
    modules = built(kind="proprietary", changed_s=100)
    swapped = having(seen, kind="open", built=modules, changed_s=100)
    planned = plan_driver(swapped.model_copy(update={"booted_s": 50}), "580")
    assert (planned.steps, planned.reboot) == ((), True)
    again = swapped.model_copy(update={"booted_s": 1000})
    assert "another reboot will not help" in refusal(again, "580")


@pytest.mark.parametrize("distribution", [RHEL_8, ROCKY_9, AMAZON, "Rocky Linux 10.1"])
def test_dnf_is_asked_before_locks_and_streams_are_touched(distribution: str) -> None:
    steps = [step.what for step in plan_driver(profile(distribution, "Ada"), "580").steps]
    order = [
        next(number for number, what in enumerate(steps) if what.startswith(start))
        for start in ("ask dnf for the driver", "install headers", "remove earlier", "keep to")
    ]
    assert order == sorted(order)
    assert steps[order[-1] + 1].startswith("install kmod")


def test_zypper_takes_the_key_of_nvidias_repository_alone() -> None:
    said = commands(plan_driver(profile(LEAP, "Ada"), "580"))
    assert "--gpg-auto-import-keys refresh fleetwheel-cuda" in said


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (102, 0), (103, 0), (4, 4)])
def test_zypper_has_installed_also_where_it_asks_for_a_restart(
    tmp_path: Path, code: int, ends: int
) -> None:
    program = tmp_path / "zypper"
    program.write_text(f'#!/bin/sh\ncase "$*" in *search*) exit ;; esac\nexit {code}\n')
    program.chmod(0o755)
    steps = plan_driver(profile(LEAP, "Ada"), "580").steps
    install = next(step for step in steps if "INSTALL" in step.what.upper())
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    assert subprocess.run(install.command, env=path, check=False).returncode == ends


APT = """#!/bin/sh
echo "${0##*/} $*" >>log
case "$*" in
"madison nvidia-driver-pinning-595") echo ' nvidia-driver-pinning-595 | 1-1 | x' ;;
"madison nvidia-open") printf ' nvidia-open | %s | x\\n' 590.48.01-1 595.71.05-1 595.58.03-1 ;;
"madison nvidia-imex") echo ' nvidia-imex | 595.58.03-1 | x' ;;
*-W*) echo "$STATUS" ;;
esac
"""


@pytest.mark.parametrize(
    ("branch", "gpu", "status", "said", "purged"),
    [
        ("595", "Ada", "", "", False),
        ("620", "Ada", "", "no nvidia-driver-pinning-620; it has: 590.48.01-1 595.58", True),
        ("620", "Ada", "ii ", "no nvidia-driver-pinning-620", False),
        ("595", GB200, "", "no nvidia-imex 595.71.05, which nvidia-open needs", True),
    ],
)
def test_nvidias_repository_is_asked_before_anything_is_pinned(
    tmp_path: Path, branch: str, gpu: str, status: str, said: str, purged: bool
) -> None:
    for name in ("apt-get", "apt-cache", "dpkg-query"):
        (tmp_path / name).write_text(APT)
        (tmp_path / name).chmod(0o755)
    steps = plan_driver(profile(TRIXIE, gpu), branch).steps
    what = [step.what for step in steps]
    asked = next(number for number, each in enumerate(what) if "and ask it for" in each)
    assert asked < what.index("unpin Debian's own branch") < what.index(f"keep to branch {branch}")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "STATUS": status}
    done = subprocess.run(
        steps[asked].command, env=environment, cwd=tmp_path, text=True, stderr=-1, check=False
    )
    assert bool(done.returncode) is bool(said)
    assert said in done.stderr
    log = (tmp_path / "log").read_text()
    assert "DPkg::Lock::Timeout=120 /var/cache/apt/archives/cuda-keyring.deb" in log
    assert ("purge cuda-keyring" in log) is purged


# Kernels


@pytest.mark.parametrize(
    ("distribution", "kernel", "words"),
    [
        (
            BOOKWORM,
            Kernel(boot="6.1.0-50-cloud-amd64", packages=("cloud-amd64",)),
            "linux-headers-cloud-amd64 linux-headers-6.1.0-50-cloud-amd64",
        ),
        (
            BOOKWORM,
            Kernel(boot="6.1.0-50-cloud-amd64"),
            "linux-headers-cloud-amd64 linux-headers-6.1.0-50-cloud-amd64",
        ),
        (BOOKWORM, Kernel(boot=KERNEL), f"linux-headers-amd64 linux-headers-{KERNEL}"),
        (
            UBUNTU,
            Kernel(
                running="6.8.0-40-generic",
                boot="6.14.0-35-generic",
                packages=("generic-hwe-24.04",),
            ),
            "linux-headers-generic-hwe-24.04 linux-headers-6.14.0-35-generic",
        ),
        (BOOKWORM, Kernel(), "linux-headers-$(uname -r)"),
        (
            ROCKY_9,
            Kernel(running="5.14.0-427.el9.x86_64", boot="5.14.0-611.el9.x86_64"),
            "install kernel-devel-matched-5.14.0-611.el9.x86_64",
        ),
        (
            ROCKY_9,
            Kernel(boot="5.14.0-611.el9.aarch64+64k"),
            "install kernel-64k-devel-matched-5.14.0-611.el9.aarch64",
        ),
        (
            RHEL_8,
            Kernel(boot="4.18.0-553.el8_10.x86_64"),
            "install kernel-devel-uname-r == 4.18.0-553.el8_10.x86_64",
        ),
        (
            AMAZON,
            Kernel(boot="6.12.55-74.119.amzn2023.x86_64"),
            "install kernel-devel-uname-r == 6.12.55-74.119.amzn2023.x86_64"
            " kernel6.12-modules-extra-6.12.55-74.119.amzn2023.x86_64",
        ),
        (
            ORACLE_9,
            Kernel(boot=UEK),
            f"install kernel-uek-devel-{UEK}",
        ),
        (
            "Oracle Linux Server 8.10",
            Kernel(boot="5.15.0-312.187.5.el8uek.x86_64"),
            "install kernel-uek-devel-5.15.0-312.187.5.el8uek.x86_64",
        ),
        (
            "Oracle Linux Server 10.0",
            Kernel(boot="6.12.0-102.36.5.el10uek.x86_64"),
            "install kernel-uek-devel-6.12.0-102.36.5.el10uek.x86_64",
        ),
    ],
)
def test_headers_are_those_of_the_kernel_that_boots(
    distribution: str, kernel: Kernel, words: str
) -> None:
    assert words in commands(plan_driver(profile(distribution, "Ada", kernel=kernel), "580"))


@pytest.mark.parametrize("flavour", ["default", "azure", "64kb"])
def test_suses_modules_are_those_of_the_flavour(flavour: str) -> None:
    kernel = Kernel(boot=f"6.4.0-150600.23.73-{flavour}")
    kmp = plan_driver(profile(SLES, "Ada", kernel=kernel), "580").packages[0]
    assert kmp == f"nvidia-open-driver-G06-signed-cuda-kmp-{flavour}"


def test_a_kernel_that_suse_signs_no_modules_for_is_refused() -> None:
    kernel = Kernel(boot="6.4.0-150600.10.5-rt")
    said = refusal(profile(SLES, "Ada", kernel=kernel))
    assert "default, azure, 64kb, and the host boots 6.4.0-150600.10.5-rt next" in said


def test_a_backports_kernel_gets_nvidias_driver_or_none() -> None:
    kernel = Kernel(boot="6.17.8+deb13-amd64")
    planned = plan_driver(profile(TRIXIE, "Ada", kernel=kernel), "install")
    assert planned.branch == 595
    assert "does not build on the kernel 6.17.8+deb13-amd64" in planned.summary
    own = profile(TRIXIE, "Ada", kernel=Kernel(boot="6.12.107+deb13-amd64"))
    assert plan_driver(own, "install").branch == 550


H200, RTX_4070_SUPER, RTX_4080_SUPER, RTX_2000_ADA = 0x2335, 0x2783, 0x2702, 0x28B0


@pytest.mark.parametrize(("distribution", "branch"), [(BOOKWORM, 580), (TRIXIE, 595)])
def test_gpus_that_debians_branch_does_not_list(distribution: str, branch: int) -> None:
    system = facts().system(profile(distribution))
    assert system is not None
    for number in system.unlisted:
        planned = plan_driver(profile(distribution, f"0x{number:04x}"), "install")
        assert (planned.branch, planned.packages[0]) == (branch, "nvidia-open")
        why = (f"does not know the GPU 0x{number:04x}", "but none that serves these GPUs")
        assert any(words in planned.summary for words in why)
    listed = system.unlisted & {H200, RTX_4070_SUPER, RTX_4080_SUPER, RTX_2000_ADA}
    assert len(listed) == (4 if distribution == BOOKWORM else 0)
    assert plan_driver(profile(TRIXIE, f"0x{H200:04x}"), "install").branch == 550


@pytest.mark.parametrize(("distribution", "branch"), [(BOOKWORM, 535), (TRIXIE, 550)])
def test_a_branch_at_its_end_says_so(distribution: str, branch: int) -> None:
    said = plan_driver(profile(distribution, "Ada"), "install").summary
    assert f"NVIDIA's support for branch {branch} ends with" in said
    assert "runs no CUDA 13" in said
    assert "no CUDA 13" not in plan_driver(profile(UBUNTU, "Ada"), "install").summary


# Secure Boot


def test_ubuntus_signed_modules_need_no_person() -> None:
    kernel = Kernel(boot="6.8.0-90-generic", packages=("virtual", "aws"))
    planned = plan_driver(profile(UBUNTU, "Ada", secure_boot=True, kernel=kernel), "install")
    assert not planned.at_console
    assert planned.packages == (
        "nvidia-headless-no-dkms-580-server-open",
        "nvidia-utils-580-server",
        "nvidia-compute-utils-580-server",
        "linux-modules-nvidia-580-server-open-generic",
        "linux-modules-nvidia-580-server-open-aws",
    )
    assert "mokutil" not in planned.summary
    assert "dkms autoinstall" not in commands(planned)


@pytest.mark.parametrize("distribution", [LEAP, "SUSE Linux Enterprise Server 15 SP7", ALMA_10])
def test_modules_that_the_distribution_signs_need_no_person(distribution: str) -> None:
    assert not plan_driver(profile(distribution, "Ada", secure_boot=True), "install").at_console


def test_a_key_that_is_enrolled_needs_no_person() -> None:
    host = profile(ROCKY_9, "Ada", secure_boot=True)
    key = "/var/lib/dkms/mok.pub"
    assert plan_driver(having(host, enrolled={key: False}), "install").at_console
    planned = plan_driver(having(host, enrolled={key: True}), "install")
    assert not planned.at_console
    assert "which is enrolled" in planned.summary


def test_akmods_signs_with_a_key_of_its_own() -> None:
    host = profile(FEDORA, "Pascal", secure_boot=True)
    planned = plan_driver(host, "install")
    assert planned.at_console
    assert "akmods signs them" in planned.summary
    assert "mokutil --import /etc/pki/akmods/certs/public_key.der" in planned.summary
    enrolled = having(host, enrolled={"/etc/pki/akmods/certs/public_key.der": True})
    assert not plan_driver(enrolled, "install").at_console
    what = [step.what for step in planned.steps]
    assert what.index("ask dnf for the driver") < what.index(
        f"install headers for the kernel {KERNEL}"
    )


@pytest.mark.parametrize(("there", "ends"), [("x", 0), ("", 1)])
def test_ubuntu_is_asked_for_signed_modules_first(tmp_path: Path, there: str, ends: int) -> None:
    kernel = Kernel(boot="6.8.0-90-generic", packages=("generic",))
    steps = plan_driver(profile(UBUNTU, "Ada", secure_boot=True, kernel=kernel), "580").steps
    what = [step.what for step in steps]
    asked = what.index("ask apt for the modules that Ubuntu signs")
    assert what[asked + 1].startswith("install nvidia-headless-no-dkms-580-server-open")
    assert "run again" in steps[asked].hint
    (tmp_path / "apt-cache").write_text(f"#!/bin/sh\nprintf '%s' '{there}'\n")
    (tmp_path / "apt-cache").chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(steps[asked].command, env=path, text=True, stderr=-1, check=False)
    assert done.returncode == ends
    name = "linux-modules-nvidia-580-server-open-generic"
    assert (name in done.stderr) is bool(ends)


LOWLATENCY = Kernel(
    running="6.8.0-90-lowlatency",
    boot="6.8.0-90-lowlatency",
    packages=("lowlatency",),
    offered=("nvidia-driver-580-server-open", "linux-modules-nvidia-580-server-lowlatency"),
)
UBUNTUS_KEY = "/var/lib/shim-signed/mok/MOK.der"


def test_dkms_builds_for_a_kernel_that_ubuntu_signs_no_modules_for() -> None:
    host = profile(UBUNTU, "Ada", secure_boot=True, kernel=LOWLATENCY)
    planned = plan_driver(host, "580")
    assert planned.packages == ("nvidia-driver-580-server-open",)
    assert planned.at_console
    assert "Ubuntu signs no modules of this branch for the kernel lowlatency" in planned.summary
    assert f"mokutil --import {UBUNTUS_KEY}" in planned.summary
    assert " linux-headers-lowlatency linux-headers-6.8.0-90-lowlatency" in commands(planned)
    assert not plan_driver(having(host, enrolled={UBUNTUS_KEY: True}), "580").at_console
    free = plan_driver(host.model_copy(update={"secure_boot": False}), "580")
    assert (free.packages, free.at_console) == (planned.packages, False)
    assert "Ubuntu signs" not in free.summary


def test_a_kernel_that_no_package_follows_gets_modules_of_dkms() -> None:
    kernel = Kernel(boot="6.8.0-90-generic")
    planned = plan_driver(profile(UBUNTU, "Ada", secure_boot=True, kernel=kernel), "580")
    assert planned.at_console
    assert "no package brings the next kernels" in planned.summary


@pytest.mark.parametrize(
    "offered",
    [
        (),
        ("nvidia-driver-535-server",),
        ("nvidia-driver-580-server-open", "linux-modules-nvidia-580-server-open-lowlatency"),
    ],
    ids=["no lists", "lists of another branch", "signed"],
)
def test_signed_modules_are_planned_unless_the_lists_lack_them(offered: tuple[str, ...]) -> None:
    kernel = LOWLATENCY.model_copy(update={"offered": offered})
    planned = plan_driver(profile(UBUNTU, "Ada", secure_boot=True, kernel=kernel), "580")
    assert planned.packages[-1] == "linux-modules-nvidia-580-server-open-lowlatency"
    assert not planned.at_console


def test_what_dkms_built_instead_waits_for_its_key_and_is_not_installed_twice() -> None:
    host = profile(
        *(UBUNTU, "Ada"),
        state="not-loaded",
        library=LIBRARY,
        secure_boot=True,
        kernel=LOWLATENCY,
    )
    dkms = (f"nvidia-dkms-580-server-open {LIBRARY}-0u1",)
    modules = built(kernel=LOWLATENCY.boot)
    for others in ((), ("linux-modules-nvidia-580-server-open-generic 6.8.0-90.91",)):
        waiting = having(host, built=modules, packages=(*dkms, *others))
        planned = plan_driver(waiting, "580")
        assert (planned.steps, planned.reboot, planned.at_console) == ((), True, True)
        assert f"mokutil --import {UBUNTUS_KEY}" in planned.summary
    enrolled = having(host, built=modules, packages=dkms, enrolled={UBUNTUS_KEY: True})
    assert "modprobe nvidia" in commands(plan_driver(enrolled, "580"))


def test_a_module_with_a_key_that_is_not_enrolled_is_not_loaded_but_enrolled() -> None:
    waiting = profile(ROCKY_9, "Ada", state="not-loaded", library=LIBRARY, secure_boot=True)
    host = having(waiting, built=built(changed_s=1)).model_copy(update={"booted_s": 1000})
    planned = plan_driver(host, "580")
    assert (planned.steps, planned.reboot, planned.at_console) == ((), True, True)
    assert "mokutil --import /var/lib/dkms/mok.pub" in planned.summary
    enrolled = having(host, enrolled={"/var/lib/dkms/mok.pub": True})
    assert "modprobe nvidia" in commands(plan_driver(enrolled, "580"))


def test_modules_of_the_distribution_are_loaded_under_secure_boot() -> None:
    waiting = profile(ALMA_10, "Ada", state="not-loaded", library=LIBRARY, secure_boot=True)
    packages = ("nvidia-open-kmod 580.95.05-1.el10",)
    planned = plan_driver(having(waiting, built=built(changed_s=1), packages=packages), "install")
    assert "modprobe nvidia" in commands(planned)
    assert not planned.at_console


def test_ubuntu_replaces_modules_that_the_firmware_does_not_trust() -> None:
    kernel = Kernel(running=KERNEL, boot=KERNEL, packages=("generic",))
    waiting = profile(
        UBUNTU, "Ada", state="not-loaded", library=LIBRARY, secure_boot=True, kernel=kernel
    )
    packages = ("nvidia-dkms-580-server-open 580.95.05-0u1",)
    planned = plan_driver(having(waiting, built=built(), packages=packages), "580")
    assert "linux-modules-nvidia-580-server-open-generic" in planned.packages
    assert "nvidia-dkms-580-server-open-" in last_install(planned).split()
    assert "does not trust the key" in planned.summary
    assert not planned.at_console


# The file


def test_what_is_known_is_consistent() -> None:
    known = facts()
    for system in known.systems:
        assert system.own or system.nvidia
        assert system.confidence
    assert {
        each.branch for each in known.branches.rows if each.modules != {"open", "proprietary"}
    } == {620}
    with pytest.raises(ValueError, match="no evidence called hearsay"):
        type(known).model_validate(
            {**known.to_json(), "fabric": {**known.fabric.to_json(), "source": ["hearsay"]}}
        )


def test_no_branch_from_620_on_has_proprietary_modules() -> None:
    closed = Limits(0, 999, frozenset({"proprietary"}))
    assert closed.serve(615)
    assert not closed.serve(620)


def test_a_state_that_nothing_here_can_mend_is_refused() -> None:
    for state in (DriverState.HUNG, DriverState.GPU_LOST):
        with pytest.raises(FleetwheelError):
            plan_driver(profile(UBUNTU, "Ada", state=state, library=LIBRARY), "install")

"""Which NVIDIA driver a host gets: every family of distributions, every generation of GPUs."""

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Driver, DriverState, Gpu, InstalledDriver, Kernel, Profile
from fleetwheel.onboarding import gpu_generations
from fleetwheel.onboarding.apt_drivers import COMPONENTS
from fleetwheel.onboarding.driver_facts import facts
from fleetwheel.onboarding.driver_plan import DriverPlan, driver_to_install, plan_driver
from fleetwheel.onboarding.driver_steps import Step
from fleetwheel.onboarding.gpu_generations import GENERATIONS, of_capability, of_device
from tests.samples import host

UBUNTU = "Ubuntu 24.04.1 LTS"
BOOKWORM = "Debian GNU/Linux 12 (bookworm)"
TRIXIE = "Debian GNU/Linux 13 (trixie)"
RHEL_8 = "Red Hat Enterprise Linux 8.10 (Ootpa)"
ROCKY_9 = "Rocky Linux 9.4 (Blue Onyx)"
ALMA_10 = "AlmaLinux 10.0 (Purple Lion)"
IDS = {
    "Ubuntu": "ubuntu",
    "Debian": "debian",
    "Red Hat": "rhel",
    "Rocky": "rocky",
    "AlmaLinux": "almalinux",
    "Oracle": "ol",
    "Amazon": "amzn",
    "Fedora": "fedora",
    "openSUSE Leap": "opensuse-leap",
    "SUSE": "sles",
}
ORACLE_9 = "Oracle Linux Server 9.6"
AMAZON = "Amazon Linux 2023.9.20251110"
FEDORA = "Fedora Linux 44 (Server Edition)"
LEAP = "openSUSE Leap 15.6"
SLES = "SUSE Linux Enterprise Server 15 SP7"
DISTRIBUTIONS = (
    *(UBUNTU, BOOKWORM, TRIXIE, RHEL_8, ROCKY_9, ALMA_10),
    *(ORACLE_9, AMAZON, FEDORA, LEAP, SLES),
)
BOARDS = {
    "0x102d": ("Kepler", "Tesla K80"),
    "0x1189": ("Kepler", "GTX 670"),
    "0x13ba": ("Maxwell", "Quadro K2200"),
    "0x1617": ("Maxwell", "GTX 980M"),
    "0x17c2": ("Maxwell", "GTX TITAN X"),
    "0x15f8": ("Pascal", "Tesla P100 PCIe 16GB"),
    "0x1b80": ("Pascal", "GTX 1080"),
    "0x1d01": ("Pascal", "GT 1030"),
    "0x1db1": ("Volta", "Tesla V100 SXM2 16GB"),
    "0x1df6": ("Volta", "Tesla V100S"),
    "0x1eb8": ("Turing", "Tesla T4"),
    "0x2182": ("Turing", "GTX 1660 Ti"),
    "0x20b0": ("Ampere", "A100 SXM4 40GB"),
    "0x2204": ("Ampere", "RTX 3090"),
    "0x2571": ("Ampere", "RTX A2000 12GB"),
    "0x2684": ("Ada", "RTX 4090"),
    "0x27b8": ("Ada", "L4"),
    "0x2342": ("Grace Hopper", "GH200 120GB / 480GB"),
    "0x2331": ("Hopper", "H100 PCIe"),
    "0x2901": ("Blackwell", "B200"),
    "0x2b85": ("Blackwell", "RTX 5090"),
    "0x3182": ("Blackwell Ultra", "B300 SXM6 AC"),
    "0x2e12": ("GB10", "GB10"),
}
"""Device id: generation and board, by the PCI id repository."""
BOARD = {generation: id for id, (generation, _) in BOARDS.items()}
SERVER, SERVER_OPEN = "nvidia-driver-580-server", "nvidia-driver-580-server-open"


def profile(
    distribution: str,
    *generations: str,
    state: str = "no-driver",
    version: str | None = None,
    library: str | None = None,
    nouveau: bool = False,
    **more: object,
) -> Profile:
    ids = [BOARD.get(generation, generation) for generation in generations]
    devices = tuple(f"0000:{bus:02x}:00.0 {id}" for bus, id in enumerate(ids, 1))
    packages = (f"nvidia-driver {library}-1",) if library else ()
    installed = InstalledDriver(
        devices=devices, library=library, nouveau=nouveau, packages=packages
    )
    id = next((id for start, id in IDS.items() if distribution.startswith(start)), "")
    release = re.search(r"[0-9]+(\.[0-9]+)?", distribution)
    kernel = SUSE_KERNEL if "SUSE" in distribution else KERNEL
    system = {"os": "linux", "arch": "x86_64", "distribution": distribution, "kernel": kernel}
    system |= {"distribution_id": id, "distribution_version": release[0] if release else ""}
    system |= more
    driver = Driver(state=DriverState(state), version=version)
    return Profile(driver=driver, installed_driver=installed, **system)


KERNEL = Kernel(running="6.1.0-50-amd64", boot="6.1.0-50-amd64")
SUSE_KERNEL = Kernel(running="6.4.0-150600.23.73-default", boot="6.4.0-150600.23.73-default")


def refusal(host: Profile, wanted: str = "install") -> str:
    with pytest.raises(FleetwheelError) as caught:
        plan_driver(host, wanted)
    return str(caught.value)


def commands(planned: DriverPlan) -> str:
    return "\n".join(" ".join(step.command) for step in planned.steps)


@pytest.mark.parametrize(
    ("distribution", "generation", "branch", "modules", "package"),
    [
        (UBUNTU, "Kepler", 470, "proprietary", "nvidia-driver-470-server"),
        (UBUNTU, "Maxwell", 580, "proprietary", SERVER),
        (UBUNTU, "Pascal", 580, "proprietary", SERVER),
        (UBUNTU, "Volta", 580, "proprietary", SERVER),
        (UBUNTU, "Turing", 580, "open", SERVER_OPEN),
        (UBUNTU, "Ampere", 580, "open", SERVER_OPEN),
        (UBUNTU, "Ada", 580, "open", SERVER_OPEN),
        (UBUNTU, "Hopper", 580, "open", SERVER_OPEN),
        (UBUNTU, "Blackwell", 580, "open", SERVER_OPEN),
        (BOOKWORM, "Kepler", 470, "proprietary", "nvidia-tesla-470-driver"),
        (BOOKWORM, "Pascal", 535, "proprietary", "nvidia-driver"),
        (BOOKWORM, "Volta", 535, "proprietary", "nvidia-driver"),
        (BOOKWORM, "Ada", 535, "proprietary", "nvidia-driver"),
        (BOOKWORM, "Hopper", 535, "proprietary", "nvidia-driver"),
        (BOOKWORM, "Grace Hopper", 580, "open", "nvidia-open"),
        (BOOKWORM, "Blackwell", 580, "open", "nvidia-open"),
        (TRIXIE, "Maxwell", 550, "proprietary", "nvidia-driver"),
        (TRIXIE, "Turing", 550, "proprietary", "nvidia-driver"),
        (TRIXIE, "Ampere", 550, "proprietary", "nvidia-driver"),
        (TRIXIE, "Pascal", 550, "proprietary", "nvidia-driver"),
        (TRIXIE, "Blackwell", 595, "open", "nvidia-open"),
        (TRIXIE, "Grace Hopper", 595, "open", "nvidia-open"),
        (TRIXIE, "Blackwell Ultra", 595, "open", "nvidia-open"),
        ("Ubuntu 22.04.5 LTS", "Ada", 580, "open", SERVER_OPEN),
        ("Ubuntu 26.04 LTS", "GB10", 580, "open", SERVER_OPEN),
        (RHEL_8, "Pascal", 580, "proprietary", "kmod-nvidia-latest-dkms"),
        (RHEL_8, "Ampere", 580, "open", "kmod-nvidia-open-dkms"),
        (ROCKY_9, "Maxwell", 580, "proprietary", "kmod-nvidia-latest-dkms"),
        (ROCKY_9, "Turing", 580, "open", "kmod-nvidia-open-dkms"),
        (ROCKY_9, "Blackwell", 580, "open", "kmod-nvidia-open-dkms"),
        (ALMA_10, "Volta", 580, "proprietary", "kmod-nvidia-latest-dkms"),
        (ALMA_10, "Hopper", None, "open", "nvidia-open-kmod"),
        ("AlmaLinux 9.6 (Sage Margay)", "Turing", None, "open", "nvidia-open-kmod"),
        ("AlmaLinux 8.10 (Cerulean Leopard)", "Ada", 580, "open", "kmod-nvidia-open-dkms"),
        (ORACLE_9, "Ada", 580, "open", "kmod-nvidia-open-dkms"),
        (AMAZON, "Hopper", 580, "open", "kmod-nvidia-open-dkms"),
        (FEDORA, "Ada", 595, "open", "kmod-nvidia-open-dkms"),
        (FEDORA, "Pascal", 580, "proprietary", "akmod-nvidia-580xx"),
        (LEAP, "Ada", 580, "open", "nvidia-open-driver-G06-signed-cuda-kmp-default"),
        (SLES, "Blackwell", 580, "open", "nvidia-open-driver-G06-signed-cuda-kmp-default"),
    ],
)
def test_each_family_and_generation_has_its_driver(
    distribution: str, generation: str, branch: int | None, modules: str, package: str
) -> None:
    planned = plan_driver(profile(distribution, generation), "install")
    assert (planned.branch, planned.modules, planned.packages[0]) == (branch, modules, package)
    assert planned.reboot
    assert any("install" in step.command for step in planned.steps)
    for name in planned.packages:
        assert any(name in word.split("=")[0] for step in planned.steps for word in step.command)


@pytest.mark.parametrize(
    ("generation", "reasons"),
    [
        ("Kepler", ["Kepler ends with branch 470", "the open ones do not know Kepler"]),
        ("Pascal", ["Pascal ends with branch 580", "the open ones do not know Pascal"]),
        ("Volta", ["Volta ends with branch 580", "the open ones do not know Volta"]),
        ("Turing", ["NVIDIA suggests them from Turing on"]),
        ("Blackwell", ["there are no others for Blackwell"]),
    ],
)
def test_the_reasons_name_the_generation(generation: str, reasons: list[str]) -> None:
    said = plan_driver(profile(UBUNTU, generation), "install").summary
    assert all(reason in said for reason in [*reasons, "Ubuntu's own packages"])


@pytest.mark.parametrize(
    ("generations", "branch", "modules"),
    [
        (("Pascal", "Ada"), 580, "proprietary"),
        (("Kepler", "Turing"), 470, "proprietary"),
        (("Ampere", "Blackwell"), 580, "open"),
    ],
)
def test_a_mixed_host_gets_what_serves_all(
    generations: tuple[str, ...], branch: int, modules: str
) -> None:
    planned = plan_driver(profile(UBUNTU, *generations), "install")
    assert (planned.branch, planned.modules) == (branch, modules)


@pytest.mark.parametrize(
    ("host", "wanted", "words"),
    [
        (
            profile(UBUNTU, "Pascal", "Blackwell"),
            "install",
            ["(Pascal, Blackwell)", "from Blackwell on the open ones", "take one kind of GPU out"],
        ),
        (
            profile(UBUNTU, "Kepler", "Ada"),
            "install",
            ["Kepler ends with branch 470, the newest need 525", "take the Kepler GPU out"],
        ),
        (profile(UBUNTU, "Pascal"), "595", ["595 does not serve Pascal", "from 390 to 580"]),
        (profile(UBUNTU, "Blackwell"), "535", ["535 does not serve Blackwell", "from 570 on"]),
        (profile(UBUNTU, "0x3fff"), "install", ["is not known: 0x3fff", "by hand"]),
        (profile(UBUNTU, "Ada", "0x06dd"), "install", ["is not known: 0x2", "0x06dd"]),
        (profile("Fedora Linux 42", "Ada"), "install", ["Fedora Linux 42", "only those of 44"]),
        (profile("openSUSE Leap 16.0", "Ada"), "install", ["Leap 16.0", "only those of 15"]),
        (profile(LEAP, "Pascal"), "install", ["open modules, which do not know", "G06-kmp"]),
        (profile("Arch Linux", "Ada"), "install", ["how Arch Linux gets", "by hand"]),
        (profile("Debian GNU/Linux 11 (bullseye)", "Ada"), "install", ["only those of 12 and 13"]),
        (profile("Debian GNU/Linux forky/sid", "Ada"), "install", ["Debian GNU/Linux forky"]),
        (profile(TRIXIE, "Ada"), "535", ["550, not 535", "from 590 on, but not 535"]),
        (profile(TRIXIE, "Ada"), "580", ["550, not 580", "from 590 on, but not 580"]),
        (profile(TRIXIE, "Pascal"), "580", ["from 590 on, but not 580"]),
        (profile(TRIXIE, "Volta"), "580", ["from 590 on, but not 580"]),
        (profile(TRIXIE, "Kepler"), "install", ["but not 470"]),
        (profile(BOOKWORM, "Kepler"), "450", ["but not 450"]),
        (profile(ROCKY_9, "Kepler"), "install", ["Rocky Linux 9", "but not 470"]),
        (profile("Rocky Linux 11.0", "Ada"), "install", ["Rocky Linux 11"]),
        (profile("Ubuntu 18.04.6 LTS", "Ada"), "install", ["branches 470, but not 580"]),
        (profile("Ubuntu 20.04.6 LTS", "Ada"), "install", ["470, 535, but not 580"]),
        (profile("Ubuntu 18.04.6 LTS", "Ada"), "580", ["branches 470, but not 580"]),
        (profile("Ubuntu 20.04.6 LTS", "Ada"), "595", ["470, 535, but not 595"]),
        (profile(UBUNTU, "Ada"), "560", ["470, 535, 580, 595, but not 560", "name one of these"]),
        (profile(UBUNTU, "Ada"), "590", ["470, 535, 580, 595, but not 590"]),
        (profile(UBUNTU, "Ada"), "615", ["but not 615"]),
        (profile(UBUNTU, "Ada"), "620", ["but not 620"]),
        (profile(UBUNTU, "Blackwell Ultra"), "570", ["570 does not serve", "from 580 on"]),
        (profile(UBUNTU, "GB10"), "570", ["570 does not serve GB10", "from 580 on"]),
        (profile(UBUNTU, "0x31c2"), "570", ["570 does not serve", "from 580 on"]),
        (
            profile(TRIXIE, "Pascal", kernel=Kernel(boot="6.17.8+deb13-amd64")),
            "install",
            ["550 does not build on the kernel 6.17.8+deb13-amd64", "but not 580"],
        ),
        (
            profile(UBUNTU, "GB10", dgx="NVIDIA DGX Spark"),
            "install",
            ["belongs to NVIDIA DGX Spark", "apt full-upgrade"],
        ),
        (
            profile(UBUNTU, "Hopper", dgx="NVIDIA DGX Server"),
            "580",
            ["belongs to NVIDIA DGX Server", "apt full-upgrade"],
        ),
        (profile(UBUNTU, "Ada", container="docker"), "install", ["docker container", "toolkit"]),
        (profile(UBUNTU, "Ada", wsl=True), "install", ["belongs to Windows", "wsl --shutdown"]),
        (profile(UBUNTU, "Ada", jetson="36.4.3"), "install", ["Jetson Linux (L4T)", "JetPack"]),
        (profile("macOS", os="macos"), "install", ["none for macOS"]),
        (
            profile("Windows 11 24H2", "Ada", os="windows"),
            "install",
            ["driver 528 or newer and has none that works", "nvidia.com/drivers", "checks it"],
        ),
        (
            profile("Windows 11 24H2", "Pascal", os="windows", state="ok", version="552.22"),
            "580",
            ["driver 580 or newer, and at most 582, and has 552.22"],
        ),
    ],
)
def test_what_is_refused_and_what_to_do(host: Profile, wanted: str, words: list[str]) -> None:
    said = refusal(host, wanted)
    assert all(word in said for word in words), said
    assert "hint: " in said


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        (profile(UBUNTU, "Ada"), "keep"),
        (profile("Plan 9", "Ada"), "keep"),
        (profile(UBUNTU, state="no-gpu"), "install"),
        (profile(UBUNTU, "Ada", state="ok", version="550.54.14"), "install"),
        (profile(UBUNTU, "Ada", state="ok", version="580.95.05"), "580"),
        (profile(UBUNTU, container="docker", state="ok", version="580.95.05"), "580"),
        (profile("Windows 11", "Ada", os="windows", state="ok", version="591.86"), "580"),
    ],
)
def test_what_is_right_is_left_alone(host: Profile, wanted: str) -> None:
    planned = plan_driver(host, wanted, hold=True)
    assert planned.nothing
    assert len(planned.reasons) == 1


def test_another_branch_replaces_a_driver_that_works() -> None:
    planned = plan_driver(profile(UBUNTU, "Ada", state="ok", version="550.54.14"), "580")
    assert planned.branch == 580


@pytest.mark.parametrize("state", ["not-loaded", "version-mismatch"])
def test_an_installed_driver_only_waits_for_a_reboot(state: str) -> None:
    planned = plan_driver(profile(UBUNTU, "Ada", state=state, library="580.95.05"), "580")
    assert planned.reboot
    assert not planned.steps
    assert "waits for a reboot" in planned.summary
    assert "if it was rebooted since then" in planned.summary


@pytest.mark.parametrize("state", ["hung", "gpu-lost", "fabric-not-ready", "no-permission"])
def test_an_installed_driver_that_is_ill_is_not_replaced(state: str) -> None:
    said = refusal(profile(UBUNTU, "Ada", state=state, library="580.95.05"))
    assert "driver 580.95.05 is installed: " in said


def test_a_driver_that_has_dropped_the_gpu_is_replaced() -> None:
    planned = plan_driver(
        profile(UBUNTU, "Pascal", state="no-devices", library="590.48.01"), "install"
    )
    assert planned.branch == 580


@pytest.mark.parametrize(
    ("library", "words"),
    [
        ("580.95.05", []),
        (None, []),
        ("590.48.01", ["590.48.01 is there", "not 580", "apt-mark unhold"]),
        ("535.261.03", ["535.261.03 is there", "not 580"]),
    ],
)
def test_what_is_installed_is_compared_with_the_plan(library: str | None, words: list[str]) -> None:
    planned = plan_driver(profile(UBUNTU, "Ada"), "580")
    wrong = planned.mismatch(profile(UBUNTU, "Ada", library=library))
    assert bool(wrong) == bool(words)
    assert all(word in str(wrong) for word in words)


def test_without_an_installation_any_branch_matches() -> None:
    after = profile(UBUNTU, "Ada", library="535.1")
    assert plan_driver(profile(UBUNTU, "Ada"), "keep").mismatch(after) is None


@pytest.mark.parametrize(("library", "nothing"), [("580.95.05", True), (None, False)])
def test_a_driver_that_nothing_can_ask_yet_is_left_alone(
    library: str | None, nothing: bool
) -> None:
    host = profile(UBUNTU, "Ada", version="580.95.05", library=library)
    runs = host.installed_driver.model_copy(update={"module": "580.95.05"})
    assert plan_driver(host.model_copy(update={"installed_driver": runs}), "580").nothing is nothing


def test_nouveau_is_turned_off_where_it_is_loaded() -> None:
    off = plan_driver(profile(ROCKY_9, "Ada", nouveau=True), "install")
    assert "blacklist nouveau" in commands(off)
    assert "dracut --force" in commands(off)
    assert "nouveau is loaded" in off.summary
    assert "nouveau" not in commands(plan_driver(profile(ROCKY_9, "Ada"), "install"))
    assert "update-initramfs -u" in commands(
        plan_driver(profile(UBUNTU, "Ada", nouveau=True), "install")
    )


def test_nova_core_is_turned_off_beside_nouveau() -> None:
    seen = profile(UBUNTU, "Ada")
    nova = seen.installed_driver.model_copy(update={"nova_core": True})
    planned = plan_driver(seen.model_copy(update={"installed_driver": nova}), "install")
    assert "blacklist nouveau\nblacklist nova_core" in commands(planned)
    assert "nova_core is loaded" in planned.summary


@pytest.mark.parametrize(
    ("distribution", "last"),
    [
        (UBUNTU, ("apt-mark", "hold", SERVER_OPEN)),
        (BOOKWORM, ("apt-mark", "hold", "nvidia-driver", "nvidia-kernel-dkms")),
        (ROCKY_9, ("dnf", "-q", "-y", "versionlock", "add", "kmod-nvidia-open-dkms")),
        (FEDORA, ("dnf", "-q", "-y", "versionlock", "add", "kmod-nvidia-open-dkms")),
        (LEAP, ("zypper", "--non-interactive", "addlock", "nvidia-open-driver-G06-signed-cuda-")),
    ],
)
def test_updates_are_held_off_last_and_only_when_asked(
    distribution: str, last: tuple[str, ...]
) -> None:
    held = plan_driver(profile(distribution, "Ada"), "install", hold=True)
    assert " ".join(held.steps[-1].command).startswith(" ".join(last))
    free = plan_driver(profile(distribution, "Ada"), "install")
    assert last[:-1] not in [step.command[: len(last) - 1] for step in free.steps]


def test_dnf_5_needs_no_package_to_lock() -> None:
    held = plan_driver(profile(FEDORA, "Ada"), "install", hold=True)
    assert "plugin-versionlock" not in commands(held)
    assert "dnf-plugins-core" not in commands(held)
    assert "plugin-versionlock" in commands(plan_driver(profile(ROCKY_9, "Ada"), "580", hold=True))


@pytest.mark.parametrize(
    ("distribution", "generation", "wanted", "words"),
    [
        (ROCKY_9, "Ada", "580", "module switch-to nvidia-driver:580-open --allowerasing"),
        (ROCKY_9, "Volta", "580", "module switch-to nvidia-driver:580-dkms --allowerasing"),
        (ROCKY_9, "Ada", "550", "module switch-to nvidia-driver:550-dkms --allowerasing"),
        (ALMA_10, "Ada", "595", "nvidia-driver*-595.* "),
        (ALMA_10, "Volta", "580", "kmod-nvidia-latest-dkms-="),
        (ORACLE_9, "Ada", "580", "oracle-epel-release-el9"),
        (ORACLE_9, "Ada", "580", "rhel9/x86_64/cuda-rhel9.repo"),
        (AMAZON, "Ada", "580", "amzn2023/x86_64/cuda-amzn2023.repo"),
        (AMAZON, "Ada", "580", "kernel-devel-uname-r == 6.1.0-50-amd64 kernel-modules-extra-6.1.0"),
        (FEDORA, "Ada", "595", "install dnf5-plugins"),
        (FEDORA, "Ada", "595", "addrepo --overwrite --from-repofile=https://developer.download"),
        (FEDORA, "Volta", "580", "nonfree/fedora/rpmfusion-nonfree-release-44.noarch.rpm"),
        (SLES, "Ada", "580", "repos/sles15/x86_64/"),
        (LEAP, "Ada", "580", "repos/opensuse15/x86_64/"),
        (LEAP, "Ada", "580", "nvidia-compute-utils-G06="),
        (ROCKY_9, "Ada", "580", "rhel9/x86_64/cuda-rhel9.repo"),
        (ROCKY_9, "Ada", "580", "install dnf-plugins-core epel-release"),
        (RHEL_8, "Ada", "580", "epel-release-latest-8.noarch.rpm"),
        (TRIXIE, "Ada", "595", "debian13/x86_64/cuda-keyring_1.1-1_all.deb"),
        (TRIXIE, "Ada", "595", "nvidia-driver-pinning-595"),
        (BOOKWORM, "Pascal", "580", "cuda-drivers"),
        (BOOKWORM, "Pascal", "580", "rm -f /etc/apt/preferences.d/fleetwheel-driver"),
        (BOOKWORM, "Ada", "535", "Pin: version 535.*\nPin-Priority: 1001"),
        (BOOKWORM, "Ada", "535", "--allow-downgrades nvidia-driver"),
        (BOOKWORM, "Ada", "535", " nvidia-persistenced"),
        (TRIXIE, "Ada", "595", " nvidia-persistenced"),
        (ROCKY_9, "Ada", "580", " nvidia-persistenced-="),
        (AMAZON, "Ada", "580", " nvidia-persistenced-="),
        (FEDORA, "Ada", "595", " nvidia-persistenced-="),
        (LEAP, "Ada", "580", " nvidia-persistenced="),
        (ALMA_10, "Ada", "install", " nvidia-persistenced-="),
        (ALMA_10, "Ada", "install", "install almalinux-release-nvidia-driver"),
        ("AlmaLinux 9.6", "Ada", "install", "install almalinux-release-nvidia-driver"),
        (BOOKWORM, "Ada", "535", "Debian contrib non-free non-free-firmware"),
        (BOOKWORM, "Ada", "535", "linux-headers-amd64"),
        (UBUNTU, "Ada", "535", "nvidia-driver-535-server"),
        (UBUNTU, "Ada", "535", "Ubuntu restricted"),
    ],
)
def test_where_it_comes_from(distribution: str, generation: str, wanted: str, words: str) -> None:
    assert words in commands(plan_driver(profile(distribution, generation), wanted))


@pytest.mark.parametrize("distribution", [LEAP, SLES])
def test_suses_systems_share_a_repository_on_arm(distribution: str) -> None:
    planned = plan_driver(profile(distribution, "Hopper", arch="aarch64"), "install")
    assert "repos/sles15/sbsa/" in commands(planned)


def test_arm_servers_have_a_repository_of_their_own() -> None:
    assert "/sbsa/" in commands(plan_driver(profile(ROCKY_9, "Hopper", arch="aarch64"), "install"))
    assert "linux-headers-arm64" in commands(
        plan_driver(profile(BOOKWORM, "Hopper", arch="aarch64"), "install")
    )


@pytest.mark.parametrize(
    ("distribution", "key"),
    [(UBUNTU, "/var/lib/shim-signed/mok/MOK.der"), (ROCKY_9, "/var/lib/dkms/mok.pub")],
)
def test_secure_boot_is_explained(distribution: str, key: str) -> None:
    planned = plan_driver(profile(distribution, "Ada", secure_boot=True), "install")
    assert planned.at_console
    assert f"mokutil --import {key}" in planned.summary
    assert not plan_driver(profile(distribution, "Ada", secure_boot=False), "install").at_console


def test_who_is_not_root_may_not_install_it() -> None:
    facts = host(profile(UBUNTU, "Ada"))
    assert driver_to_install(facts, "install").steps
    user = facts.installation.model_copy(update={"user": "ada"})
    other = facts.model_copy(update={"installation": user})
    assert driver_to_install(other, "keep").nothing
    with pytest.raises(FleetwheelError, match="ada may not install the driver"):
        driver_to_install(other, "install")


GENERATION = {each.name: each for each in GENERATIONS}
hosts = st.builds(
    profile,
    st.sampled_from([*DISTRIBUTIONS, "Windows 11 24H2", "Fedora Linux 42", ""]),
    state=st.sampled_from(list(DriverState)),
    version=st.sampled_from([None, "535.1", "580.95.05", "591.86"]),
    library=st.sampled_from([None, "470.256.02", "580.95.05", "610.1"]),
    nouveau=st.booleans(),
    secure_boot=st.sampled_from([None, False, True]),
)
wishes = st.sampled_from(["install", "390", "470", "535", "550", "570", "580", "595", "610", "620"])


@given(hosts, st.lists(st.sampled_from(list(BOARDS)), min_size=1, max_size=4), wishes)
def test_no_plan_goes_beyond_a_gpu_or_keeps_quiet_about_secure_boot(
    host: Profile, ids: list[str], wanted: str
) -> None:
    devices = tuple(f"0000:01:00.{each} {id}" for each, id in enumerate(ids))
    installed = host.installed_driver.model_copy(update={"devices": devices})
    try:
        planned = plan_driver(host.model_copy(update={"installed_driver": installed}), wanted)
    except FleetwheelError as error:
        assert error.hint
        return
    assert planned.reasons
    signed = any("signs" in reason and "Secure Boot takes" in reason for reason in planned.reasons)
    if planned.reboot and host.secure_boot and not signed:
        assert planned.at_console
        assert "mokutil --import" in planned.summary
    for generation in {GENERATION[BOARDS[id][0]] for id in ids} if planned.steps else ():
        if planned.branch:
            assert generation.first <= planned.branch <= (generation.last or 999)
        if planned.packages:
            assert planned.modules in generation.modules
            assert planned.modules == "open" or (planned.branch or 0) < 620


@pytest.mark.parametrize(("id", "board"), BOARDS.items(), ids=str)
def test_boards_by_their_device_id(id: str, board: tuple[str, str]) -> None:
    found = of_device(id)
    assert found is not None
    assert found.name == board[0]


@given(st.text(max_size=8))
def test_any_text_for_a_device_or_capability_is_answered(text: str) -> None:
    assert of_device(text) is None or text.startswith("0x")
    assert of_capability(text) is None or "." in text


def test_ranges_of_device_ids_are_in_order_and_apart() -> None:
    rows = facts().devices.rows
    assert all(last < first for (_, last, _), (first, _, _) in pairwise(rows))
    assert {name for _, _, name in rows} == set(GENERATION)


@pytest.mark.parametrize(
    ("capability", "name"),
    [
        ("3.7", "Kepler"),
        ("7.2", "Volta"),
        ("8.6", "Ampere"),
        ("9.0", "Hopper"),
        ("10.3", "Blackwell Ultra"),
        ("12.0", "Blackwell"),
        ("12.1", "GB10"),
    ],
)
def test_generations_by_compute_capability(capability: str, name: str) -> None:
    found = of_capability(capability)
    assert found is not None
    assert found.name == name


def test_a_virtual_gpu_of_unknown_id_is_known_by_what_the_driver_says() -> None:
    seen = profile(UBUNTU, "0x3fff").model_copy(
        update={"gpus": (Gpu(index=0, name="NVIDIA A100", compute_capability="8.0"),)}
    )
    assert gpu_generations.of_host(seen) == (GENERATION["Ampere"],)


APT_GET = """#!/bin/sh
case $*: in
*'$(COMPONENT)'*) printf '%s\\n' {components} ;;
*'$(SOURCESENTRY)'*) printf '%s' '{entries}' ;;
*) exit {status} ;;
esac
"""
ONE_LINE = """\
# deb http://mirror/debian bookworm main
deb [signed-by=/key.gpg] http://mirror/debian bookworm main
deb http://mirror/debian bookworm-updates main contrib
deb-src http://mirror/debian bookworm main
"""
STANZA = """\
Types: deb
URIs: http://mirror/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /key.gpg
"""


class Apt:
    """The script that adds components, with an apt-get that answers as it is told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def add(self, components: str, source: str = "a.list", status: int = 0) -> int:
        entry = self.directory / source
        entries = f"{entry}:1\n" if source else ""
        if source:
            entry.write_text(STANZA if source.endswith(".sources") else ONE_LINE)
        program = self.directory / "apt-get"
        program.write_text(APT_GET.format(components=components, entries=entries, status=status))
        program.chmod(0o755)
        words = ["sh", "-c", COMPONENTS, f"{self.directory}/new", "Debian", "contrib non-free"]
        path = f"{self.directory}:/usr/bin:/bin"
        return subprocess.run(words, env={"PATH": path}, check=False).returncode

    def added(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.directory.glob("new*")}


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    return Apt(tmp_path)


@pytest.mark.parametrize(
    ("have", "missing"),
    [("main", "contrib non-free"), ("main contrib", "non-free"), ("main non-free", "contrib")],
)
def test_missing_components_come_from_the_mirrors_of_main(
    apt: Apt, have: str, missing: str
) -> None:
    assert apt.add(have) == 0
    key = "deb [signed-by=/key.gpg] http://mirror/debian bookworm"
    updates = "deb http://mirror/debian bookworm-updates"
    assert apt.added() == {"new.list": f"{key} {missing}\n{updates} {missing}\n"}


def test_stanzas_keep_their_key(apt: Apt) -> None:
    assert apt.add("main", "a.sources") == 0
    expected = STANZA.replace("main", "contrib non-free")
    assert apt.added() == {"new.sources": f"{expected}\n"}


def test_components_that_are_there_are_not_added(apt: Apt) -> None:
    assert apt.add("main contrib non-free") == 0
    assert apt.added() == {}


def test_a_host_without_a_mirror_of_main_is_told_so(apt: Apt) -> None:
    assert apt.add("main", source="") == 1
    assert apt.added() == {}


@pytest.mark.parametrize("source", ["a.list", "a.sources"])
def test_what_apt_does_not_take_goes_again(apt: Apt, source: str) -> None:
    assert apt.add("main", source, status=100) == 1
    assert apt.added() == {}


def test_steps_read_the_lists_before_they_install() -> None:
    for distribution in (UBUNTU, BOOKWORM, TRIXIE):
        steps = plan_driver(profile(distribution, "Blackwell"), "install").steps
        words = [step.command for step in steps]
        assert words[0][-1] == "update"
        assert all(isinstance(step, Step) and step.what for step in steps)

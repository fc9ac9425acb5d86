"""What a host needs first: which package brings a Python, and what stands in the way."""

import subprocess
from pathlib import Path

import pytest

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import HostState, Installation, Profile, Python
from fleetwheel.inventory.settings import Settings
from fleetwheel.matrix.matrix import load_matrix
from fleetwheel.onboarding.interpreter import UvPython, package_manager, python_to_install

DEBIAN = Profile(
    os="linux",
    arch="x86_64",
    glibc="2.36",
    distribution="Debian GNU/Linux 12 (bookworm)",
    distribution_id="debian",
    distribution_version="12",
)
ROOT = Installation(root="/opt/fleetwheel", user="root", writable=True)


def needs(installation: Installation = ROOT, **profile: object) -> str | None:
    state = HostState(profile=DEBIAN.model_copy(update=profile), installation=installation)
    manager = python_to_install(state, load_matrix(), Settings())
    return manager and manager.package


def refusal(installation: Installation = ROOT, **profile: object) -> str:
    with pytest.raises(FleetwheelError) as caught:
        needs(installation, **profile)
    return str(caught.value)


@pytest.mark.parametrize(
    ("reach", "needed"), [("everyone", None), ("root", None), ("private", "python3")]
)
def test_a_python_that_only_root_can_run_is_not_enough(reach: str, needed: str | None) -> None:
    python = Python(path="/root/bin/python3.12", version="3.12.1")
    there = python.model_copy(update={"reach": reach})
    assert needs(pythons=(there,)) == needed


def system(id: str, version: str, *like: str) -> dict[str, object]:
    return {"distribution_id": id, "distribution_version": version, "distribution_like": like}


@pytest.mark.parametrize(
    ("id", "version", "like", "package", "last"),
    [
        ("debian", "12", "", "python3", "apt-get"),
        ("ubuntu", "24.04", "debian", "python3", "apt-get"),
        ("linuxmint", "22.1", "ubuntu debian", "python3", "apt-get"),
        ("fedora", "44", "", "python3", "dnf"),
        ("rhel", "9.4", "fedora", "python3.12", "dnf"),
        ("rocky", "9.4", "rhel centos fedora", "python3.12", "dnf"),
        ("almalinux", "8.10", "rhel centos fedora", "python3.12", "dnf"),
        ("centos", "9", "rhel fedora", "python3.12", "dnf"),
        ("ol", "9.6", "fedora", "python3.12", "dnf"),
        ("eurolinux", "9.4", "rhel fedora centos", "python3.12", "dnf"),
        ("amzn", "2023", "fedora", "python3.12", "dnf"),
        ("opensuse-leap", "15.6", "suse opensuse", "python311", "zypper"),
        ("opensuse-leap", "16.0", "suse opensuse", "python313", "zypper"),
        ("opensuse-tumbleweed", "20261120", "opensuse suse", "python313", "zypper"),
        ("sles", "15.6", "suse", "python311", "zypper"),
        ("sles", "16.0", "suse", "python313", "zypper"),
    ],
)
def test_each_family_has_its_package(
    id: str, version: str, like: str, package: str, last: str
) -> None:
    manager = package_manager(DEBIAN.model_copy(update=system(id, version, *like.split())))
    assert manager is not None
    assert manager.package == package
    install = manager.commands()[-1]
    assert last in install
    assert install[-1] == package
    assert {"-y", "--non-interactive"} & set(install)


def test_sles_15_is_told_of_the_module_that_has_it() -> None:
    sles = package_manager(DEBIAN.model_copy(update=system("sles", "15.6", "suse")))
    leap = package_manager(DEBIAN.model_copy(update=system("opensuse-leap", "15.6", "suse")))
    assert sles and "SUSEConnect -p sle-module-python3" in sles.hint
    assert leap and "SUSEConnect" not in leap.hint


def test_only_apt_reads_its_lists_first() -> None:
    first = [package_manager(DEBIAN), package_manager(DEBIAN.model_copy(update=FEDORA))]
    assert [len(manager.commands()) for manager in first if manager] == [2, 1]


FEDORA = system("fedora", "44")


def test_a_host_without_python_gets_one() -> None:
    assert needs() == "python3"


def test_a_python_that_suits_is_enough_whoever_asks() -> None:
    python = Python(path="/usr/bin/python3", version="3.11.2")
    assert needs(pythons=(python,)) is None
    assert needs(ROOT.model_copy(update={"user": "ada"}), pythons=(python,)) is None


def test_a_python_too_old_for_torch_is_none() -> None:
    old = Python(path="/usr/libexec/platform-python", version="3.6.8")
    rhel = system("rhel", "8.10", "fedora")
    assert needs(pythons=(old,), glibc="2.28", **rhel) == "python3.12"


def test_who_is_not_root_hears_what_to_do() -> None:
    said = refusal(ROOT.model_copy(update={"user": "ada"}))
    assert "ada may not install one" in said
    assert "sudo: true" in said
    assert "package python3" in said


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"glibc": None, "distribution": "Alpine Linux v3.20"}, "no glibc (musl?)"),
        ({"glibc": "2.12"}, "glibc 2.12, and torch's wheels need 2."),
        ({"arch": "riscv64"}, "no wheels of torch for linux riscv64"),
        (
            {"distribution": "Arch Linux", "distribution_id": "arch"},
            "how Arch Linux gets one is not known",
        ),
        (
            {
                "os": "windows",
                "glibc": None,
                "distribution": "Windows 11 24H2",
                "distribution_id": "",
            },
            "how Windows 11",
        ),
    ],
)
def test_a_system_that_cannot_be_helped(profile: dict[str, object], words: str) -> None:
    assert words in refusal(**profile)


@pytest.mark.parametrize("system", ["Debian GNU/Linux 12", "Arch Linux", "Windows 11 24H2"])
def test_uv_gets_a_python_without_root_and_whatever_the_system(system: str) -> None:
    profile = DEBIAN.model_copy(update={"distribution": system})
    there = ROOT.model_copy(update={"user": "ada", "root": "/home/ada/x"})
    state = HostState(profile=profile, installation=there)
    said = {"install_python": "uv", "python_mirror": "https://mirror.example.org/pythons.json"}
    found = python_to_install(state, load_matrix(), Settings.from_data(said))
    assert isinstance(found, UvPython)
    words = found.commands()[0]
    assert words[0] == "/home/ada/x/bin/uv"
    assert words[-3:] == ("--install-dir", "/home/ada/x/pythons", found.minor)
    listed = words.index("--python-downloads-json-url")
    assert words[listed + 1] == "https://mirror.example.org/pythons.json"
    assert not found.minor.endswith("t")
    asked = python_to_install(state, load_matrix(), Settings(install_python="uv", python="3.11"))
    assert asked and asked.package == "Python 3.11"
    assert "--mirror" not in asked.commands()[0]


def test_a_python_by_uv_finds_its_own_library_first(tmp_path: Path) -> None:
    """See test_no_library_above_an_interpreter_comes_before_its_own in test_trust.py."""
    root = tmp_path / "a root"
    python = UvPython(minor="3.14", root=str(root))
    for name in ("cpython-3.14.1-x/lib/python3.14t", "cpython-3.9.2-y/lib/python3.9", "z/lib"):
        (root / "pythons" / name).mkdir(parents=True)
    for _ in range(2):
        subprocess.run(python.commands()[1], check=True)
    made = {path.relative_to(root / "pythons").as_posix() for path in root.rglob("*.zip")}
    assert made == {"cpython-3.14.1-x/lib/python314t.zip", "cpython-3.9.2-y/lib/python39.zip"}
    windows = python.model_copy(update={"windows": True})
    assert windows.commands() == python.commands()[:1]

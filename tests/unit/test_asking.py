"""The questions in real shells, against a home, a root and programs made for the test."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.collectors import AnswerError, host, script, sections, windows_environments
from fleetwheel.host.profile import BuiltModule, DriverState, HostState, InstalledDriver, Kernel
from tests.machine import ROW, Machine

SHELLS = [
    pytest.param(shell.split(), id=shell.split()[0])
    for shell in ("sh", "dash", "bash", "busybox sh")
    if shutil.which(shell.split()[0])
]
NO_TIMEOUT = {"timeout": "exit 127"}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_working_host_answers_everything(machine: Machine, shell: list[str]) -> None:
    machine.shell = shell
    generation(machine, "one-1")
    state = machine.state()
    profile = state.profile
    assert (profile.os, profile.arch) == ("linux", os.uname().machine)
    assert (profile.distribution, profile.memory_total_mib) == ("Debian GNU/Linux 12", 16)
    assert profile.boot_id == "boot-1"
    assert profile.driver.model_dump() == {
        "state": DriverState.OK,
        "version": "580.95.05",
        "cuda": "13.0",
        "nvml": None,
        "detail": "",
    }
    assert [gpu.name for gpu in profile.gpus] == ["NVIDIA GeForce RTX 4090"]
    assert [found.id for found in state.installation.generations] == ["one-1"]
    assert state.installation.free_bytes
    assert state.installation.file_system
    assert "rw" in state.installation.mount_options
    assert state.clock_s and abs(state.clock_s - time.time()) < 60


def test_texts_are_short_and_every_shell_can_read_them() -> None:
    text = script(*host.SECTIONS)
    assert len(text.encode()) < 100 * 1024
    for name in (*host.SECTIONS, None):
        alone = script(name) if name else text
        assert subprocess.run(["sh", "-n"], input=alone, text=True, check=True).returncode == 0


@pytest.mark.parametrize(
    ("programs", "ends_by_itself"), [({}, True), (NO_TIMEOUT, False)], ids=["timeout", "no timeout"]
)
def test_a_hung_nvidia_smi_costs_seconds_and_nothing_else(
    machine: Machine, programs: dict[str, str], ends_by_itself: bool
) -> None:
    """Without ``timeout`` the stub lives on, as one does that hangs in the kernel."""
    machine.program("bin/nvidia-smi", "trap '' TERM; echo $$ >>$HOME/pids; exec sleep 60")
    for name, text in programs.items():
        machine.program(f"bin/{name}", text)
    state = machine.state(gpu_seconds=1)
    assert state.profile.driver.state is DriverState.HUNG
    assert state.profile.pythons and state.installation.free_bytes
    pids = [int(pid) for pid in (machine.home / "pids").read_text().split()]
    deadline = time.monotonic() + (20 if ends_by_itself else 1.5)
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert any(alive(pid) for pid in pids) is not ends_by_itself
    for pid in filter(alive, pids):
        os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/exe").exists()


@pytest.mark.parametrize(
    ("program", "state", "detail"),
    [
        (
            'echo "NVIDIA-SMI has failed because it couldn\'t communicate with the NVIDIA driver."'
            "; exit 9",
            DriverState.NOT_LOADED,
            "couldn't communicate",
        ),
        (
            "echo 'Failed to initialize NVML: Driver/library version mismatch' >&2; exit 18",
            DriverState.VERSION_MISMATCH,
            "mismatch",
        ),
        ("exit 6", DriverState.NO_DEVICES, ""),
        ("kill -SEGV $$", DriverState.UNPARSABLE, ""),
        ("exit 0", DriverState.UNPARSABLE, ""),
    ],
)
def test_a_failing_nvidia_smi(
    machine: Machine, program: str, state: DriverState, detail: str
) -> None:
    machine.program("bin/nvidia-smi", program)
    driver = machine.state("gpu").profile.driver
    assert driver.state is state
    assert detail in driver.detail


def test_the_version_of_a_driver_that_does_not_answer_is_the_module_s(machine: Machine) -> None:
    machine.program("bin/nvidia-smi", "exit 18")
    machine.write("tree/sys/module/nvidia/version", "580.82.07\n")
    assert machine.state("gpu").profile.driver.version == "580.82.07"


def test_an_old_driver_is_asked_again_without_the_capability(machine: Machine) -> None:
    machine.program(
        "bin/nvidia-smi",
        """
case $1 in
*compute_cap*) echo 'Field "compute_cap" is not a valid field to query.'; exit 2 ;;
--query-gpu=*) echo '0, GPU-1, 00000000:01:00.0, Tesla K80, 11441, 470.256.02' ;;
esac
""",
    )
    profile = machine.state("gpu").profile
    assert (profile.driver.state, profile.driver.version) == (DriverState.OK, "470.256.02")
    assert [gpu.name for gpu in profile.gpus] == ["Tesla K80"]


def test_one_lost_gpu_does_not_hide_the_others(machine: Machine) -> None:
    machine.pci("0000:01:00.0", "0x10de", "0x030200")
    machine.pci("0000:07:00.0", "0x10de", "0x030200")
    machine.pci("0000:01:00.1", "0x10de", "0x040300")
    machine.program(
        "bin/nvidia-smi",
        f"""
lost='Unable to determine the device handle for GPU0000:07:00.0: Unknown Error'
case "$*" in
*' -i 0000:01:00.0') echo '{ROW}' ;;
*) echo "$lost"; exit 255 ;;
esac
""",
    )
    profile = machine.state("gpu").profile
    assert profile.driver.state is DriverState.GPU_LOST
    assert [gpu.index for gpu in profile.gpus] == [0]
    assert "0000:07:00.0" in profile.driver.detail


def test_what_the_system_says_of_itself(machine: Machine) -> None:
    variable = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    machine.write(f"tree/sys/firmware/efi/efivars/{variable}", "\x06\0\0\0\x01")
    machine.write("tree/proc/1/environ", "HOME=/\0container=lxc\0")
    machine.write("tree/proc/sys/kernel/osrelease", "5.15.167.4-microsoft-standard-WSL2\n")
    machine.write("tree/etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081\n")
    profile = machine.state("platform").profile
    assert (profile.secure_boot, profile.container) == (True, "lxc")
    assert (profile.wsl, profile.jetson, profile.reboot_pending) == (True, "36.4.3", False)


@pytest.mark.parametrize(
    ("file", "container"), [(".dockerenv", "docker"), ("run/.containerenv", "podman")]
)
def test_a_container_is_known_by_its_mark(machine: Machine, file: str, container: str) -> None:
    machine.write(f"tree/{file}", "")
    machine.write("tree/run/reboot-required", "")
    profile = machine.state("platform").profile
    assert (profile.container, profile.reboot_pending) == (container, True)


def test_what_there_is_of_a_driver(machine: Machine) -> None:
    machine.pci("0000:01:00.0", "0x10de", "0x030000")
    machine.write("tree/sys/module/nvidia/version", "570.124.04\n")
    machine.write("tree/sys/module/nouveau/refcnt", "0\n")
    library = machine.write("tree/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.95.05", "")
    library.with_name("libnvidia-ml.so.1").symlink_to(library.name)
    machine.program("bin/dpkg-query", "echo 'ii  nvidia-driver-580 580.95.05'; echo 'un  x '")
    profile = machine.state("gpu").profile
    installed = profile.installed_driver
    assert installed.changed_s == int(library.stat().st_ctime)
    assert installed.model_copy(update={"changed_s": None, "built": None}) == InstalledDriver(
        devices=("0000:01:00.0 0x2684",),
        module="570.124.04",
        library="580.95.05",
        nouveau=True,
        packages=("nvidia-driver-580 580.95.05",),
    )
    assert profile.reboot_pending


MODINFO = """
case "$*" in
*6.1.0-9-amd64*) exit 1 ;;
-n*) echo "$HOME/nvidia.ko" ;;
*version*) echo 580.95.05 ;;
*license*) echo 'Dual MIT/GPL' ;;
esac
"""


def test_the_modules_that_are_built_and_the_kernel_that_will_boot(machine: Machine) -> None:
    machine.pci("0000:01:00.0", "0x10de", "0x030200")
    machine.pci("0000:07:00.0", "0x10de", "0x068000")
    machine.pci("0000:08:00.0", "0x10de", "0x040300")
    machine.write(
        "tree/proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  x\n",
    )
    for kernel in ("6.1.0-9-amd64", "6.1.0-50-amd64", "0-rescue-1f2e"):
        machine.write(f"tree/boot/vmlinuz-{kernel}", "")
        machine.write(f"tree/lib/modules/{kernel}/modules.dep", "")
    machine.write("tree/proc/sys/kernel/osrelease", "6.1.0-9-amd64\n")
    machine.write("tree/proc/stat", "cpu 1 2\nbtime 1764000000\n")
    module = machine.write("nvidia.ko", "")
    machine.program("bin/modinfo", MODINFO)
    machine.program(
        "bin/dkms", "echo 'nvidia/580.95.05, 6.1.0-50-amd64, x86_64: installed'; echo zfs"
    )
    machine.program(
        "bin/dpkg-query", "echo 'ii  linux-image-amd64'; echo 'hi  linux-image-6.1.0-9-amd64'"
    )
    profile = machine.state("platform", "gpu").profile
    assert profile.kernel == Kernel(
        running="6.1.0-9-amd64", boot="6.1.0-50-amd64", packages=("amd64",)
    )
    assert profile.booted_s == 1764000000
    installed = profile.installed_driver
    assert installed.built is not None
    assert installed.built[-1] == BuiltModule(
        kernel="6.1.0-50-amd64",
        version="580.95.05",
        kind="open",
        changed_s=int(module.stat().st_ctime),
    )
    assert "6.1.0-9-amd64" not in {each.kernel for each in installed.built}
    assert installed.bridges == ("0000:07:00.0 0x2684",)
    assert installed.kind == "proprietary"
    assert installed.dkms == ("nvidia/580.95.05, 6.1.0-50-amd64, x86_64: installed",)


@pytest.mark.parametrize(
    ("name", "licence", "kind"),
    [
        ("nvidia-current", "NVIDIA", "proprietary"),
        ("nvidia-current-open", "Dual MIT/GPL", "open"),
        ("nvidia-tesla-470", "NVIDIA", "proprietary"),
    ],
)
def test_modules_under_the_names_that_debian_gives_them(
    machine: Machine, name: str, licence: str, kind: str
) -> None:
    machine.pci("0000:01:00.0", "0x10de", "0x030200")
    machine.write("tree/lib/modules/6.1.0-50-amd64/modules.dep", "")
    machine.write(f"{name}.ko", "")
    machine.program(
        "bin/modinfo",
        f"""
for word; do :; done
test "$word" = {name} || exit 1
case "$*" in
-n*) echo "$HOME/{name}.ko" ;;
*version*) echo 535.261.03 ;;
*license*) echo '{licence}' ;;
esac
""",
    )
    built = machine.state("gpu").profile.installed_driver.built
    assert built is not None
    assert [(each.kernel, each.version, each.kind) for each in built] == [
        ("6.1.0-50-amd64", "535.261.03", kind)
    ]


def test_a_list_of_modules_that_was_cut_is_none(machine: Machine) -> None:
    machine.pci("0000:01:00.0", "0x10de", "0x030200")
    for kernel in ("6.1.0-49-amd64", "6.1.0-50-amd64"):
        machine.write(f"tree/lib/modules/{kernel}/modules.dep", "")
    machine.program("bin/modinfo", f'case "$*" in *50*) sleep 9 ;; esac\n{MODINFO}')
    assert machine.state("gpu").profile.installed_driver.built is None


def test_a_kernel_that_somebody_chose_is_the_one_that_boots(machine: Machine) -> None:
    machine.write("tree/boot/vmlinuz-5.14.0-611.el9.x86_64", "")
    machine.program("bin/grubby", "echo /boot/vmlinuz-5.14.0-427.el9.x86_64")
    assert machine.state("platform").profile.kernel.boot == "5.14.0-427.el9.x86_64"


@pytest.mark.parametrize(
    ("answer", "enrolled"), [("is already enrolled", True), ("is not enrolled", False)]
)
@pytest.mark.parametrize("path", ["/var/lib/dkms/mok.pub", "/etc/pki/akmods/certs/public_key.der"])
def test_a_key_that_the_firmware_trusts(
    machine: Machine, path: str, answer: str, enrolled: bool
) -> None:
    machine.pci("0000:01:00.0", "0x10de", "0x030000")
    key = machine.write(f"tree{path}", "")
    machine.program("bin/mokutil", f'test "$1" = --test-key && echo "$2 {answer}"')
    assert key.exists()
    installed = machine.state("gpu").profile.installed_driver
    assert installed.enrolled == {path: enrolled}


APT_CACHE = """
echo "$*" >>"$HOME/asked"
printf '%s\\n' nvidia-driver-580-server-open nvidia-driver-580 \\
    linux-modules-nvidia-580-server-open-aws linux-modules-nvidia-580-server-generic \\
    linux-modules-nvidia-580-server-open-6.8.0-90-generic
"""


@pytest.mark.parametrize(
    ("system", "on", "asked"), [("ubuntu", 1, True), ("debian", 1, False), ("ubuntu", 0, False)]
)
def test_what_ubuntu_signs_is_asked_under_secure_boot(
    machine: Machine, system: str, on: int, asked: bool
) -> None:
    variable = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    machine.write(f"tree/sys/firmware/efi/efivars/{variable}", f"\x06\0\0\0{chr(on)}")
    machine.write("tree/etc/os-release", f"ID={system}\n")
    machine.pci("0000:01:00.0", "0x10de", "0x030200")
    machine.program("bin/dpkg-query", "echo 'ii  linux-image-virtual'; echo 'ii  linux-image-aws'")
    machine.program("bin/apt-cache", APT_CACHE)
    kernel = machine.state("platform").profile.kernel
    assert kernel.packages == ("virtual", "aws")
    found = (
        "nvidia-driver-580-server-open",
        "linux-modules-nvidia-580-server-open-aws",
        "linux-modules-nvidia-580-server-generic",
    )
    assert kernel.offered == (found if asked else ())
    asks = machine.home / "asked"
    assert asks.exists() is asked
    if asked:
        assert "Dir::Cache::pkgcache= " in asks.read_text()


def test_hostile_output_is_data_and_nothing_else(machine: Machine) -> None:
    machine.program(
        "bin/nvidia-smi",
        r"""
printf '0, GPU-1, 0, evil\rplatform uname Evil\033[31m \377\303\274 $(reboot), 8.9, 1, 580.1\n'
printf 'platform uname Evil evil\ngpu ended 0\n'
printf '1, GPU-2, 0, last, 8.9, 1, 580.1\n'
head -c 10000000 /dev/zero | tr '\0' 'x'
""",
    )
    answer = machine.answer()
    assert len(answer) < 300_000
    assert set(re.findall(r"[\x00-\x09\x0b-\x1f\x7f]", answer)) == set()
    profile = host.parse_host(*sections(answer.split("\n"), *host.SECTIONS).values()).profile
    assert (profile.os, profile.arch) == ("linux", os.uname().machine)
    assert [gpu.name for gpu in profile.gpus] == [
        "evilplatform uname Evil[31m ü $(reboot)",
        "last",
    ]


def test_endless_output_is_cut(machine: Machine) -> None:
    machine.program("bin/nvidia-smi", "exec yes")
    assert machine.state("gpu").profile.driver.state is DriverState.UNPARSABLE


def test_nothing_is_left_behind(machine: Machine) -> None:
    program = 'output=$(readlink /proc/$$/fd/1); echo "$output" >>"$HOME/outputs"'
    machine.program("bin/nvidia-smi", program)
    before = sorted(machine.home.rglob("*"))
    machine.state()
    outputs = (machine.home / "outputs").read_text().split()
    assert len(outputs) == 2
    assert not any(Path(output).parent.exists() for output in outputs)
    assert sorted(machine.home.rglob("*")) == sorted([*before, machine.home / "outputs"])


def test_a_python_in_an_environment_is_reported_as_its_base(machine: Machine) -> None:
    environment = machine.home / "venv"
    copies = ["-m", "venv", "--without-pip", "--copies", str(environment)]
    subprocess.run([sys.executable, *copies], check=True)
    (machine.home / "bin" / "python3").symlink_to(environment / "bin" / "python3")
    pythons = machine.state("pythons").profile.pythons
    paths = [python.path for python in pythons]
    base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    assert paths.count(base) == 1
    assert not any(path.startswith(str(machine.home)) for path in paths)
    version = next(python.version for python in pythons if python.path == base)
    assert version == sys.version.split()[0]


def test_interpreters_are_found_where_they_are_kept(machine: Machine) -> None:
    def python(path: str, version: str, flags: str = "- 1", name: str = "cpython 64") -> None:
        self = machine.home / path
        machine.program(path, f"echo '{version} {name} {flags} {self}'")

    python(".pyenv/versions/3.12.4/bin/python3.12", "3.12.4")
    python("root of it/pythons/3.14/bin/python3.14t", "3.14.0", "t 1")
    python("bin/python3.9", "3.9.2", "- 0")
    python("bin/python3.7", "3.7.9")
    python("bin/python3.10", "3.10.14", name="pypy 64")
    python("bin/python3.8", "3.8.1", name="cpython 32")
    machine.program("bin/python3.13", "exit 3")
    machine.program("bin/python3.9-config", "echo never asked >>$HOME/asked")
    profile = machine.state("pythons").profile
    found = [python for python in profile.pythons if python.path.startswith(str(machine.home))]
    assert [(python.minor, python.venv) for python in found] == [
        ("3.14t", True),
        ("3.12", True),
        ("3.9", False),
    ]
    assert not (machine.home / "asked").exists()
    assert profile.problems == (f"{machine.home}/bin/python3.13 does not run (exit code 3)",)


def generation(machine: Machine, id: str, packages: dict[str, str] | None = None) -> None:
    """Make what is left of an environment when only its metadata counts."""
    at = f"root of it/envs/{id}"
    machine.write(f"{at}/pyvenv.cfg", "home = /usr/bin\nuv = 0.13.9\nversion_info = 3.11.7\n")
    machine.write(f"{at}/pylock.toml", f"# {id}\n")
    machine.program(f"{at}/bin/python", "exit 1")
    for name, version in (packages or {}).items():
        machine.write(
            f"{at}/lib/python3.11/site-packages/{name}-{version}.dist-info/METADATA",
            f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n\nName: no\nVersion: 0\n",
        )


@pytest.mark.parametrize("shell", SHELLS)
def test_what_stands_under_the_root(machine: Machine, shell: list[str]) -> None:
    machine.shell = shell
    packages = {"torch": "2.13.0+cpu", "Typing_Extensions": "4.15.0", "tzdata": "2025.02"}
    generation(machine, "2.13.0+cpu-cp311-0a1b-1", packages)
    generation(machine, "older-1")
    generation(machine, ".building-x", {"torch": "1"})
    uv = machine.program("root of it/bin/uv-0.13.9-0a1b2c3d4e5f6a7b", "exit 1")
    uv.with_name("uv").symlink_to(uv.name)
    machine.write("root of it/state.json", '{\n  "a": "ü"\n}\n')
    (machine.root / "current").symlink_to("envs/2.13.0+cpu-cp311-0a1b-1")
    (machine.root / "envs/older-1/bin/python").unlink()
    for sent in (f"{'a' * 64}/x-1-py3-none-any.whl", "incoming/half.whl"):
        machine.write(f"root of it/cache/wheels/{sent}", "")
    installation = machine.state("environments").installation
    assert (installation.root, installation.exists, installation.writable) == (
        str(machine.root),
        True,
        True,
    )
    assert (installation.uv, installation.current) == ("0.13.9", "2.13.0+cpu-cp311-0a1b-1")
    assert installation.record.strip() == '{\n  "a": "ü"\n}'
    assert installation.wheels == ("a" * 64,)
    newest, older = installation.generations
    assert newest.packages == {
        "torch": "2.13.0+cpu",
        "typing-extensions": "4.15.0",
        "tzdata": "2025.2",
    }
    assert newest.python == "/usr/bin/python3.11"
    assert newest.lock == hashlib.sha256(b"# 2.13.0+cpu-cp311-0a1b-1\n").hexdigest()
    assert (older.id, older.python, older.packages) == ("older-1", "", {})


@pytest.mark.parametrize(
    ("name", "target", "used"),
    [
        ("current", "envs/a-1", {"default": "a-1"}),
        ("current", "nowhere/a-1", {}),
        ("current", "/srv/envs/a-1", {}),
        ("environments/vision", "../envs/a-1", {"vision": "a-1"}),
        ("environments/vision", "envs/a-1", {}),
        ("environments/vision", "/srv/elsewhere", {}),
        ("environments/vision", "../envs/..", {}),
    ],
)
def test_links_that_lead_elsewhere_put_nothing_to_use(
    machine: Machine, name: str, target: str, used: dict[str, str]
) -> None:
    """Windows says of junctions what is said here of links."""
    generation(machine, "a-1")
    (machine.root / "environments").mkdir()
    (machine.root / name).symlink_to(target)
    (machine.root / "environments/default").symlink_to("../current")
    there = machine.state("environments").installation
    found = {**there.environments, **({"default": there.current} if there.current else {})}
    assert (found, there.default) == (used, "../current")


@pytest.mark.parametrize(
    ("name", "target", "line"),
    [
        ("current", "envs/a-1", "current envs/a-1"),
        ("environments/vision", "../envs/a-1", "environment vision ../envs/a-1"),
        ("environments/vision", "../other/a-1", "environment vision "),
    ],
)
def test_junctions_are_told_as_links_are(tmp_path: Path, name: str, target: str, line: str) -> None:
    """A link to a directory stands for a junction: only the place that it leads to is asked."""
    for place in ("envs/a-1", "other/a-1", "environments"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / name).symlink_to(target)
    assert line in windows_environments.lines(tmp_path)


def test_the_record_of_many_environments_arrives_whole(machine: Machine) -> None:
    text = "{\n" + f'  "{"x" * 1000}": 1\n' * 1500 + "}"
    machine.write("root of it/state.json", text + "\n")
    assert machine.state("environments").installation.record.strip() == text


def test_a_package_that_is_there_twice_equals_no_lock(machine: Machine) -> None:
    generation(machine, "a-1", {"torch": "2.12.0"})
    generation(machine, "a-1", {"torch": "2.13.0"})
    assert machine.state("environments").installation.generations[0].packages == {
        "torch": "2.12.0, 2.13.0"
    }


def test_a_root_that_is_not_there_yet(machine: Machine) -> None:
    installation = machine.state("environments", root=f"{machine.home}/not/yet").installation
    assert (installation.exists, installation.writable, installation.current) == (False, True, None)
    assert installation.free_bytes == pytest.approx(shutil.disk_usage(machine.home).free, rel=0.1)


def test_a_root_below_a_file_cannot_be_written(machine: Machine) -> None:
    machine.write("file", "")
    assert not machine.state("environments", root=f"{machine.home}/file/x").installation.writable


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("~/wheels", "{home}/wheels"),
        ("wheels", "{home}/wheels"),
        ("/x'; echo $(id) \"", "/x'; echo $(id) \""),
        ("", "/opt/fleetwheel" if os.getuid() == 0 else "{home}/.local/share/fleetwheel"),
    ],
)
def test_which_directory_is_the_root(machine: Machine, root: str, expected: str) -> None:
    installation = machine.state("environments", root=root).installation
    assert installation.root == expected.format(home=machine.home)


def test_a_host_with_few_tools_loses_only_fields(machine: Machine) -> None:
    for name in ("getconf", "ldd", "df", "timeout", "realpath", "sha256sum", "id", "setsid"):
        machine.program(f"bin/{name}", "exit 127")
    generation(machine, "a-1", {"torch": "2.13.0"})
    state = machine.state()
    assert state.profile.driver.state is DriverState.OK
    assert state.profile.pythons
    assert state.installation.generations[0].packages == {"torch": "2.13.0"}
    assert (state.profile.glibc, state.installation.free_bytes) == (None, None)
    assert any("glibc" in problem for problem in state.profile.problems)


@pytest.mark.parametrize(
    ("getconf", "ldd", "glibc"),
    [
        ("echo glibc 2.39", "exit 1", "2.39"),
        ("exit 1", "echo 'ldd (Debian GLIBC 2.36-9+deb12u10) 2.36'", "2.36"),
        ("exit 1", "echo 'ldd (GNU libc) 2.28'", "2.28"),
        ("exit 1", "echo 'musl libc (x86_64)' >&2; exit 1", None),
    ],
)
def test_the_c_library(machine: Machine, getconf: str, ldd: str, glibc: str | None) -> None:
    machine.program("bin/getconf", getconf)
    machine.program("bin/ldd", ldd)
    profile = machine.state("platform").profile
    assert (profile.glibc, profile.problems) == (glibc, ())


KEYS = (
    "uname distribution libc memory_kib boot_id python broken root user free uv current record "
    "generation runs config lock package pci module library nouveau reboot container jetson "
    "release secure_boot smi fields exit query banner"
)
section = st.dictionaries(
    st.sampled_from(re.findall(r"\w+", KEYS)),
    st.lists(
        st.text(max_size=40)
        | st.sampled_from(["Linux x86_64", "137", "3.11.7 cpython 64 - 1 /usr/bin/python3.11"]),
        min_size=1,
        max_size=4,
    ),
).map(lambda keys: {**keys, "ended": ["0"]})


@given(st.tuples(section, section, section, section))
def test_no_answer_makes_the_parsers_raise_anything_but_valueerror(
    answer: tuple[dict[str, list[str]], ...],
) -> None:
    try:
        state = host.parse_host(*answer)
    except ValueError:
        return
    assert HostState.model_validate_json(state.model_dump_json()) == state


@given(st.lists(st.text()))
def test_lines_of_no_section_are_left_out(lines: list[str]) -> None:
    end = ["a ended 0", "b ended 124"]
    found = sections([*(f"a {line}" for line in lines), *lines, *end], "a", "b")
    assert set(found) == {"a", "b"}


@pytest.mark.parametrize("lines", [[], ["a ended 0"], ["a x", "b ended 0"], ["a ended"]])
def test_an_answer_that_breaks_off_is_no_answer(lines: list[str]) -> None:
    with pytest.raises(AnswerError, match="breaks off"):
        sections(lines, "a", "b")


@pytest.mark.parametrize(
    "make",
    [
        lambda n: [f"pythons python {'3' * n} cpython 64 - 1 /x"],
        lambda n: [f"environments package {'a' * n}"],
        lambda n: [f"environments package {'a/lib/' * (n // 6)}"],
        lambda n: [f"environments free {' 1' * (n // 2)}"],
        lambda n: [f"environments config a/pyvenv.cfg:{'x ' * (n // 2)}"],
        lambda n: [f"platform libc {' 2.' * (n // 3)}"],
        lambda n: ["environments package a/lib/x/b.dist-info/METADATA:Name: x"] * (n // 60),
    ],
)
def test_time_is_linear(make: Callable[[int], list[str]]) -> None:
    ends = ["platform uname Linux x86_64", *(f"{name} ended 0" for name in host.SECTIONS)]
    started = time.process_time()
    found = sections([*make(1_000_000), *ends], *host.SECTIONS)
    host.parse_host(*found.values())
    assert time.process_time() - started < 2


@pytest.mark.parametrize("shell", SHELLS)
def test_no_variable_has_a_question_run_something_else(machine: Machine, shell: list[str]) -> None:
    machine.shell = shell
    theirs = machine.write("theirs/os.py", f"open({str(machine.home / 'mark')!r}, 'w')")
    for name in ("sitecustomize.py", "usercustomize.py", "startup", "encodings/__init__.py"):
        machine.write(f"theirs/{name}", theirs.read_text())
    script_of_theirs = machine.write("theirs/start.sh", f": >'{machine.home}/mark'\n")
    names = dict.fromkeys(("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE"), str(theirs.parent))
    starts = dict.fromkeys(("BASH_ENV", "ENV"), str(script_of_theirs))
    if shell == ["bash"]:  # which heeds it by this name, and is asked by the name of sh
        del starts["BASH_ENV"]
    machine.environment = {**names, **starts, "PYTHONSTARTUP": str(theirs), "CDPATH": "/tmp"}
    assert machine.state().profile.pythons
    assert not (machine.home / "mark").exists()

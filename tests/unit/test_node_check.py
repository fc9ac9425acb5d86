"""``fleetwheel-node check``: the host compares itself, as the controller does."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from fleetwheel.deploy.record import Hold
from fleetwheel.host.profile import Driver, DriverState, Gpu, InstalledDriver, Profile
from fleetwheel.host.trust import Trust
from fleetwheel.node import check, checked, driver, look, verify
from fleetwheel.node.smoke import children
from tests import node_program
from tests.machine import HEALTHY, Machine
from tests.node_host import Host
from tests.samples import CPU_HOST, GPU_HOST, RTX_4090, state_of


@pytest.fixture
def profile() -> Profile:
    """A host with two GPUs."""
    other = {"uuid": "GPU-2", "index": 1, "pci_bus_id": "00000000:41:00.0", "pcie_width": 16}
    gpus = (RTX_4090, RTX_4090.model_copy(update={**other, "ecc": True}))
    return GPU_HOST.model_copy(update={"gpus": gpus})


@pytest.fixture
def host(tmp_path: Path, profile: Profile, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path, profile)
    monkeypatch.setattr(check, "nvidia", host.nvidia)
    monkeypatch.setattr(look, "boot_id", lambda: host.profile.boot_id)
    return host


def of(profile: Profile, **changes: Any) -> Profile:
    return profile.model_copy(update=changes)


def second_gpu(**changes: Any) -> Callable[[Host], None]:
    def change(host: Host) -> None:
        gpus = [gpu.model_copy(update=changes if gpu.index else {}) for gpu in host.profile.gpus]
        host.profile = of(host.profile, gpus=tuple(gpus))

    return change


def newer(host: Host) -> None:
    version = "590.10" if host.profile.driver.version else None
    host.profile = of(host.profile, driver=Driver(state=DriverState.OK, version=version))


def lost(host: Host) -> None:
    host.profile = of(host.profile, driver=Driver(state=DriverState.HUNG), gpus=())


def updated(host: Host) -> None:
    both = InstalledDriver(module="580.95.05", library="580.105.08")
    host.profile = of(host.profile, installed_driver=both)


def another(host: Host) -> None:
    gpu = Gpu(index=2, uuid="GPU-3", name="NVIDIA L4", pci_bus_id="00000000:81:00.0")
    host.profile = of(host.profile, gpus=(*host.profile.gpus, gpu))


def untested(host: Host) -> None:
    host.record = host.record.model_copy(update={"smoke": None})


def elsewhere(host: Host) -> None:
    (host.root / "current").unlink()
    (host.root / "current").symlink_to("envs/other-1")


def dangling(host: Host) -> None:
    (host.root / "current").unlink()
    (host.root / "current").symlink_to(f"nowhere/{host.record.generation}")


def private(host: Host) -> None:
    python = host.record.choice.python.model_copy(update={"reach": "private"})
    choice = host.record.choice.model_copy(update={"python": python})
    host.record = host.record.model_copy(update={"choice": choice})
    host.profile = of(host.profile, pythons=(python,))


def no_start_for_others(host: Host) -> None:
    assert host.record.smoke
    told = host.record.smoke.model_copy(update={"result": {"others": "Permission denied"}})
    host.record = host.record.model_copy(update={"smoke": told})


CHANGES: dict[str, Callable[[Host], Any]] = {
    "nothing": lambda host: None,
    "a package that came": lambda host: host.install("stray", "1.0"),
    "a package twice": lambda host: host.install("numpy", "2.0"),
    "a package that went": lambda host: shutil.rmtree(next(host.generation.rglob("NumPy*"))),
    "all packages": lambda host: shutil.rmtree(host.generation / "lib"),
    "the interpreter": lambda host: (host.generation / "bin/python").unlink(),
    "the lock": lambda host: (host.generation / "pylock.toml").unlink(),
    "the environment": lambda host: shutil.rmtree(host.generation),
    "current": lambda host: (host.root / "current").unlink(),
    "current elsewhere": elsewhere,
    "current nowhere": dangling,
    "no pass": untested,
    "a driver": newer,
    "a driver that hangs": lost,
    "a driver before its reboot": updated,
    "a GPU more": another,
    "a GPU swapped": second_gpu(uuid="GPU-9"),
    "a GPU moved": second_gpu(pci_bus_id="00000000:42:00.0"),
    "a narrow link": second_gpu(pcie_width=8),
    "ECC off": second_gpu(ecc=False),
    "memory that waits": second_gpu(remapping_pending=True),
    "a Python for root alone": private,
    "another user cannot start it": no_start_for_others,
    "memory that fails": second_gpu(remapping_failed=True),
}


def compared(host: Host) -> checked.Checked:
    """Return what the host finds, which must be what the controller finds."""
    found = host.of_host()
    mine = [f"{': '.join(one[:5])}" for one in found.differences]
    theirs = [re.sub("; this driver runs torch .*", "", line) for line in host.of_controller()]
    assert mine == theirs
    return found


@pytest.mark.parametrize("change", CHANGES)
def test_host_and_controller_say_the_same(host: Host, change: str) -> None:
    CHANGES[change](host)
    found = compared(host)
    assert bool(found.differences) is (change != "nothing")
    if change == "nothing":
        assert (found.state, found.notes) == ("ok", ())


@pytest.mark.parametrize("profile", [CPU_HOST])
@pytest.mark.parametrize("change", [newer, lost, updated, another, private])
def test_without_a_gpu_they_do_too(host: Host, change: Callable[[Host], None]) -> None:
    change(host)
    compared(host)


def test_a_test_from_before_a_boot_is_a_warning(host: Host) -> None:
    host.profile = of(host.profile, boot_id="boot-2")
    found = host.of_host()
    assert (found.state, found.differences) == ("warning", ())
    assert found.summary == (
        "the smoke test passed before the host was booted: run deploys/smoke.py for this host"
    )


def test_where_nothing_is_tested_no_pass_is_missed(host: Host) -> None:
    host.record = host.record.model_copy(update={"smoke": None, "tested": False})
    assert host.of_host().state == "ok"


def test_a_hold_is_told_and_no_fault(host: Host) -> None:
    hold = Hold(since=host.record.deployed_at, rolled_back_from="x")
    host.record = host.record.model_copy(update={"hold": hold})
    found = host.of_host()
    assert found.state == "ok"
    assert "on hold since a rollback on 20" in found.summary


@pytest.mark.parametrize("format", ["text", "json", "nagios", "slurm"])
def test_a_record_nested_too_deeply_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], format: str
) -> None:
    (tmp_path / "state.json").write_text("[" * 100_000)
    assert check.by_hand(["--root", str(tmp_path), "--format", format]) == 3
    assert "state.json cannot be read" in capsys.readouterr().out


def run(root: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the check by its launcher, as nobody else than who runs the tests."""
    command = [root / "bin/fleetwheel-node", "check", "--root", root, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def here(root: Path, python: str | None = None) -> Host:
    """Return a host without a GPU, by its own word, which has the program."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    host = Host(root, of(CPU_HOST, boot_id=boot))
    (root / "state.json").write_text(state_of(host.record).text())
    node_program.placed(root, python)
    return host


@pytest.fixture
def real(tmp_path: Path) -> Host:
    return here(tmp_path)


NO_NVIDIA = pytest.mark.skipif(
    Path("/dev/nvidiactl").exists(), reason="this machine has an NVIDIA driver"
)


@NO_NVIDIA
def test_green_and_red_in_every_format(real: Host) -> None:
    green = run(real.root)
    assert (green.returncode, green.stdout) == (0, "ok: torch 2.13.0 cpu, as deployed\n")
    nagios = run(real.root, "--format", "nagios")
    assert re.fullmatch(
        r"FLEETWHEEL OK - torch 2\.13\.0 cpu, as deployed"
        r" \| differences=0;;;0 gpus=0;;;0 time=\d+\.\d+s;;;0\n",
        nagios.stdout,
    )
    real.install("a|b", "1.0")
    red = run(real.root, "--format", "nagios")
    first, *more = red.stdout.splitlines()
    assert red.returncode == 2
    assert first.startswith("FLEETWHEEL CRITICAL - package: a/b: expected not there, found 1.0 | ")
    assert more == [
        "  package: a/b: expected not there, found 1.0",
        "    repair: run deploys/torch.py for this host",
    ]
    drains = run(real.root, "--format", "slurm")
    reason = "fleetwheel: package: a|b: expected not there, found 1.0\n"
    assert (drains.returncode, drains.stdout) == (2, reason)
    condition = run(real.root, "--format", "npd")
    assert (condition.returncode, f"fleetwheel: {condition.stdout}") == (1, reason)
    document = json.loads(run(real.root, "--format", "json").stdout)
    assert (document["schema"], document["status"]) == ("fleetwheel.check/2", "critical")
    assert document["differences"][0] == {
        "class": "package",
        "what": "a|b",
        "expected": "not there",
        "found": "1.0",
        "repair": "run deploys/torch.py for this host",
    }


@NO_NVIDIA
def test_nothing_is_written(real: Host) -> None:
    before = {path: path.lstat().st_mtime_ns for path in real.root.rglob("*")}
    assert run(real.root).returncode == 0
    assert {path: path.lstat().st_mtime_ns for path in real.root.rglob("*")} == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"schema": "fleetwheel.state/3"}', "schema fleetwheel.state/3, and this program knows"),
        ('{"schema": "fleetwheel.state/2"}', "it has no records"),
        ('{"schema": "fleetwheel.state/2", "environments": {"default": 3}}', "it has no records"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"schema": "fleetwheel.state/1"}', "KeyError"),
        ('{"schema": "fleetwheel.state/1", "generation": 3}', "TypeError"),
    ],
)
def test_what_cannot_be_told_is_unknown(real: Host, text: str, words: str) -> None:
    (real.root / "state.json").write_text(text)
    done = run(real.root, "--format", "nagios")
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("FLEETWHEEL UNKNOWN - ")
    assert words in done.stdout


def test_a_host_without_a_record_differs(real: Host) -> None:
    (real.root / "state.json").unlink()
    done = run(real.root)
    assert (done.returncode, "nothing was deployed" in done.stdout) == (2, True)


def test_bad_usage_is_unknown(real: Host) -> None:
    done = run(real.root, "--format", "xml")
    assert (done.returncode, done.stdout) == (3, "")
    assert "invalid choice: 'xml'" in done.stderr


@NO_NVIDIA
def as_brought(host: Host) -> None:
    """Have a RECORD name all that the environment could run."""
    verify.record_own(host.generation, verify.programs_and_modules(host.generation))


def test_a_test_runs_nothing_that_no_wheel_brought(real: Host) -> None:
    as_brought(real)
    site = next(real.generation.glob("lib/python3*/site-packages"))
    (site / "planted.pth").write_text(f"import pathlib; pathlib.Path('{real.root}/mark').touch()\n")
    done = run(real.root, "--smoke", "--format", "json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["environments"][0]["smoke"]) == (2, None)
    assert [one["what"] for one in document["differences"]] == ["files of no package"]
    assert "planted.pth" in document["differences"][0]["found"]
    assert not (real.root / "mark").exists()


def test_the_test_names_each_fault(real: Host) -> None:
    """The environment's Python is this one, which has no torch."""
    python = real.generation / "bin/python"
    python.unlink()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    as_brought(real)
    done = run(real.root, "--smoke", "--format", "json")
    document = json.loads(done.stdout)
    assert done.returncode == 2
    found = {(one["what"], one["found"].split(": ")[-2]) for one in document["differences"]}
    assert ("smoke test", "wrong-version") in found
    assert all(one["repair"] for one in document["differences"])
    assert document["environments"][0]["smoke"]["passed"] is False


def test_a_python_that_does_not_run_is_a_fault_of_the_test(real: Host) -> None:
    python = real.generation / "bin/python"
    python.unlink()
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    as_brought(real)
    done = run(real.root, "--smoke")
    assert done.returncode == 2
    assert "runtime: smoke test: expected passed, found no-result: " in done.stdout


def test_without_a_pass_a_document_is_never_green(real: Host) -> None:
    document = {"passed": False, "faults": [], "devices": []}
    assert check.failures(document)
    assert check.failures({**document, "passed": True}) == []


AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root has files of others")


@pytest.fixture
def shared() -> Iterator[Host]:
    """A host that every user can look at, with an interpreter that all can run.

    It lies outside of pytest's directory, which every run of pytest closes to other users.
    """
    with TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        host = here(Path(place), "/usr/bin/python3")
        host.generation.joinpath("bin/python").unlink()
        host.generation.joinpath("bin/python").symlink_to("/usr/bin/python3")
        yield host


def run_as_nobody(host: Host) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [host.root / "bin/fleetwheel-node", "check"],
        user="nobody",
        group="nogroup",
        extra_groups=[],
        env={"PATH": "/usr/bin:/bin"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )


@AS_ROOT
@NO_NVIDIA
def test_nobody_can_check(shared: Host) -> None:
    done = run_as_nobody(shared)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


@AS_ROOT
@pytest.mark.parametrize(
    ("closed", "mode", "words"),
    [
        ("away", 0o700, "you cannot run {root}/envs/{id}/bin/python, which leads to {root}/away/"),
        ("away/python3.11", 0o700, "you cannot run {root}/envs/{id}/bin/python"),
        ("envs/{id}/lib/python3.11/site-packages", 0o711, "you cannot read {root}/envs/{id}/lib/"),
        ("envs/{id}/pylock.toml", 0o600, "you cannot read {root}/envs/{id}/pylock.toml"),
        ("envs", 0o700, "you cannot run {root}/envs/{id}/bin/python"),
    ],
)
def test_what_a_user_cannot_run_or_read_is_unknown(
    shared: Host, closed: str, mode: int, words: str
) -> None:
    away = shared.root / "away/python3.11"
    away.parent.mkdir()
    shutil.copy("/usr/bin/python3", away)
    shared.generation.joinpath("bin/python").unlink()
    shared.generation.joinpath("bin/python").symlink_to(away)
    here = {"root": shared.root, "id": shared.generation.name}
    (shared.root / closed.format(**here)).chmod(mode)
    done = run_as_nobody(shared)
    assert done.returncode == 3, done.stdout
    assert words.format(**here) in done.stdout
    assert "run the check as root, or run deploys/onboard.py" in done.stdout


@AS_ROOT
@pytest.mark.parametrize(
    ("place", "mode", "owner", "words"),
    [
        (".", 0o755, 4711, "{root} belongs to unknown (4711)"),
        ("bin", 0o777, 0, "everyone can write to {root}/bin"),
        ("envs", 0o2775, 0, "group root (0) can write to {root}/envs"),
        ("state.json", 0o644, 4711, "{root}/state.json belongs to unknown (4711)"),
    ],
)
def test_what_others_can_change_is_critical(
    shared: Host, place: str, mode: int, owner: int, words: str
) -> None:
    record = shared.record.model_copy(update={"user": "root"})
    (shared.root / "state.json").write_text(state_of(record).text())
    (shared.root / place).chmod(mode)
    os.chown(shared.root / place, owner, 0)
    found = words.format(root=shared.root)
    for done in (run_as_nobody(shared), run(shared.root)):
        assert done.returncode == 2
        said = f"runtime: root: expected only root can change it, found {found}"
        assert done.stdout.splitlines()[0] == f"critical: {said}"
        assert "repair: on the host, give it to root (chown)" in done.stdout
    if not words.startswith("everyone"):
        trust = Trust(users=("4711",), groups=("root",))
        (shared.root / "state.json").write_text(
            state_of(record.model_copy(update={"trust": trust})).text()
        )
        assert "can change it" not in run(shared.root).stdout


@AS_ROOT
@pytest.mark.parametrize("claim", ["4711", "root"])
def test_no_test_runs_what_another_user_has_deployed(shared: Host, claim: str) -> None:
    """Whatever that user's record says of whom to trust."""
    python = shared.generation / "bin/python"
    python.unlink()
    python.write_text(f"#!/bin/sh\n: >{shared.root}/mark\n")
    python.chmod(0o755)
    trust = Trust(users=("4711",))
    record = shared.record.model_copy(update={"user": claim, "trust": trust})
    (shared.root / "state.json").write_text(state_of(record).text())
    for path in (shared.root, *shared.root.rglob("*")):
        os.chown(path, 4711, 4711, follow_symlinks=False)
    with pytest.raises(check.UnknownState, match=f"belongs to unknown .4711.: run it as {claim}$"):
        check.check(shared.root, smoke=True)
    assert not (shared.root / "mark").exists()


@pytest.fixture
def library(machine: Machine, nvml_library: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The scripted NVML under its driver's name, and the program that asks it."""
    monkeypatch.setattr(children, "PROGRAM", node_program.placed(machine.home / "program"))
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    place = machine.home / "tree/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.95.05"
    place.parent.mkdir(parents=True)
    shutil.copy(nvml_library / "libnvidia-ml.so.1", place)
    place.with_name("libnvidia-ml.so.1").symlink_to(place.name)
    return place


@pytest.mark.parametrize(
    "nvml",
    [
        HEALTHY,
        "handle 1 error 15\n" + HEALTHY,
        "init * error 9\n",
        "init * error 18\n",
        "init * error 4\n",
        "mig 0 1\nremapped 1 1 0 1 0\necc-mode 0 1\n" + HEALTHY,
        HEALTHY.replace("count * 2", "count * 0"),
    ],
)
def test_the_driver_is_seen_as_a_controller_sees_it(
    machine: Machine, library: Path, nvml: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = machine.write("script", nvml)
    machine.environment["FAKE_NVML"] = str(script)
    monkeypatch.setenv("FAKE_NVML", str(script))
    machine.program("bin/nvidia-smi", "exit 127").unlink()
    machine.pci("0000:01:00.0", "0x10de", "0x030200")
    machine.write("tree/sys/module/nvidia/version", "580.95.05\n")
    profile = machine.state().profile
    mine = driver.nvidia(20, machine.tree)
    assert (mine.state, mine.version) == (profile.driver.state, profile.driver.version)
    installed = profile.installed_driver
    assert (mine.module, mine.library) == (installed.module, installed.library)
    assert mine.gpus == tuple(driver.gpu_of(gpu.model_dump()) for gpu in profile.gpus)


def nothing(machine: Machine) -> None:
    """A host without a GPU."""


def card(machine: Machine) -> None:
    machine.pci("0000:01:00.0", "0x10de", "0x030000")


def module(machine: Machine) -> None:
    machine.write(
        "tree/proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue\n",
    )


def other_card(machine: Machine) -> None:
    machine.pci("0000:01:00.0", "0x1002", "0x030000")
    machine.pci("0000:01:00.1", "0x10de", "0x040300")


def jetson(machine: Machine) -> None:
    machine.write("tree/etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081\n")


@pytest.mark.parametrize("there", [nothing, card, module, other_card, jetson])
def test_a_host_without_a_library_too(machine: Machine, there: Callable[[Machine], None]) -> None:
    machine.program("bin/nvidia-smi", "exit 127").unlink()
    there(machine)
    profile = machine.state().profile
    mine = driver.nvidia(20, machine.tree)
    assert (mine.state, mine.version) == (profile.driver.state, profile.driver.version)


def test_an_nvml_that_hangs_is_given_up(
    machine: Machine, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "GRACE", 0.3)
    script = machine.write("script", HEALTHY.replace("temperature * 41", "temperature * hang"))
    monkeypatch.setenv("FAKE_NVML", str(script))
    card(machine)
    assert driver.nvidia(0.5, machine.tree).state == "hung"

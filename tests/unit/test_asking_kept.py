"""The question that a host keeps: one short line, and the answer of the whole one."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetwheel.collectors import host, program, script
from fleetwheel.collectors.places import Places
from fleetwheel.host.profile import HostState
from tests.machine import HEALTHY, Machine
from tests.node_program import placed
from tests.unit.test_asking import SHELLS, generation

RECORDED = Path("tests/fixtures/nvidia-smi")
QUERIES = sorted(path.name[: -len(".query.txt")] for path in RECORDED.glob("*.query.txt"))


def recorded(machine: Machine, query: Path, banner: Path | None, code: int) -> None:
    """Let nvidia-smi answer what one answered somewhere."""
    said = f"cat {banner.resolve()}" if banner else "exit 1"
    machine.program(
        "bin/nvidia-smi",
        f"case $1 in --query-gpu=*) cat {query.resolve()}; exit {code} ;; '') {said} ;; esac",
    )


def same(machine: Machine) -> HostState:
    """Return the state of a machine, which has to be the same in both ways."""
    placed(machine.root)
    whole, kept = machine.state(), machine.state(question=program.short_question())
    moving = {"clock_s": None}
    assert kept.model_copy(update=moving).profile == whole.model_copy(update=moving).profile
    free = {"free_bytes": None}
    assert kept.installation.model_copy(update=free) == whole.installation.model_copy(update=free)
    return whole


def test_it_is_a_line_of_less_than_four_kilobytes() -> None:
    line = program.short_question()
    assert len(line) < 4000
    assert "\n" not in line
    assert "\n" not in program.short_batch_question(Places(distrusted=""), "C:\\fleet wheel", 20)
    assert len(script(*host.SECTIONS)) > 20 * len(line)


@pytest.mark.parametrize("name", QUERIES)
def test_recorded_hosts_answer_the_same(machine: Machine, name: str) -> None:
    banner = RECORDED / f"{name}.banner.txt"
    recorded(machine, RECORDED / f"{name}.query.txt", banner if banner.exists() else None, 0)
    machine.pci("0000:01:00.0", "0x10de", "0x030200")
    assert same(machine).profile.gpus


def test_a_recorded_failure_is_the_same(machine: Machine) -> None:
    recorded(machine, RECORDED / "version-mismatch.txt", None, 9)
    assert same(machine).profile.driver.state not in ("ok", "no-gpu")


def no_gpu(machine: Machine) -> None:
    machine.program("bin/nvidia-smi", "exit 127").unlink()


def with_everything(machine: Machine) -> None:
    generation(machine, "one-1")
    machine.write("tree/proc/1/environ", "HOME=/\0container=lxc\0")
    machine.write("tree/proc/sys/kernel/osrelease", "5.15.167.4-microsoft-standard-WSL2\n")
    machine.write("tree/run/reboot-required", "")
    machine.write("root of it/state.json", '{"a": "\\n é"}\n')
    machine.write("tree/sys/module/nvidia/version", "570.124.04\n")


@pytest.mark.parametrize("made", [no_gpu, with_everything])
def test_other_hosts_answer_the_same(machine: Machine, made: Callable[[Machine], None]) -> None:
    made(machine)
    same(machine)


def test_nvml_is_asked_by_the_program_that_is_there(machine: Machine, nvml_library: Path) -> None:
    library = machine.home / "tree/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1"
    library.parent.mkdir(parents=True)
    shutil.copy(nvml_library / library.name, library)
    machine.environment["FAKE_NVML"] = str(machine.write("script", HEALTHY))
    machine.pci("0000:01:00.0", "0x10de", "0x030200")
    assert [gpu.uuid for gpu in same(machine).profile.gpus] == ["GPU-aaaa", "GPU-bbbb"]
    home = machine.root / "lib" / f"node-{program.digest()}"
    (home / "fleetwheel/node/nvml.py").write_text("raise SystemExit(7)\n")
    shutil.rmtree(home / "fleetwheel/node/__pycache__")
    kept = machine.answer(question=program.short_question())
    assert "gpu nvml_exit 7" in kept


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_answers(machine: Machine, shell: list[str]) -> None:
    machine.shell = shell
    same(machine)


def test_a_link_that_is_switched_meanwhile_changes_nothing(machine: Machine) -> None:
    """The line reads the program that it has looked at."""
    home = placed(machine.root)
    theirs = machine.write(f"theirs/lib/{home.name}/question.sh", "echo theirs\n")
    link = machine.home / "link"
    link.symlink_to(machine.root)
    switch = f"ln -sfn '{theirs.parents[2]}' '{link}'; node=$at"
    line = program.short_question().replace("node=$at", switch)
    said = machine.answer(root=str(link), question=line)
    assert link.readlink() == theirs.parents[2]
    assert "theirs" not in said.split() and "platform ended 0" in said


@pytest.mark.parametrize("damage", ["no root", "another version", "open to others"])
def test_a_host_without_it_says_so_alone(machine: Machine, damage: str) -> None:
    if damage != "no root":
        home = placed(machine.root)
        if damage == "another version":
            home.rename(home.with_name("node-0123456789abcdef"))
        else:
            home.chmod(0o777)
    assert machine.answer(question=program.short_question()) == "node absent\n"


def test_the_root_of_the_user_is_found(machine: Machine) -> None:
    """As ``find_root`` has it: /opt/fleetwheel for root, and for others below their home."""
    line = program.short_question().replace("uid=$(id -u)", "uid=1000", 1)
    line = line.replace('if trusts_all "$root', 'if at="$root').replace(
        '. "$node/question.sh"; ', 'echo "$node"; '
    )
    line = line.replace('[ -f "$at/question.sh" ]', "true")
    command = ["sh", "-c", line.replace("answer ", ": "), "sh", "", "", ""]
    env = {"HOME": "/home/a b"}
    found = subprocess.check_output(command, env=env, text=True)
    assert found == f"/home/a b/.local/share/fleetwheel/lib/node-{program.digest()}\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_programs_of_others_are_not_run_by_the_line(machine: Machine) -> None:
    placed(machine.root)
    names = ("ls", "find", "id", "getent", "cut", "grep", "readlink")
    for name in names:
        theirs = machine.program(f"theirs/{name}", f"echo ran >>{machine.home}/mark; exit 1")
        os.chown(theirs, 4711, 4711)
    os.chown(theirs.parent, 4711, 4711)
    machine.environment = {"PATH": f"{theirs.parent}:/usr/bin:/bin"}
    assert "ended" in machine.answer(question=program.short_question())
    assert not (machine.home / "mark").exists()

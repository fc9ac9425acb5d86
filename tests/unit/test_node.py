"""The program for hosts: packed, sent, and run by every Python from 3.8 on."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fleetwheel.collectors import program
from fleetwheel.node import site_hook
from fleetwheel.node.pack import digest_of, packed
from tests import node_program
from tests.smoke_script import expected, scripted, split

OLDEST = "3.8"


def python_3_8() -> str:
    """Return an interpreter of the oldest release that hosts may have; skip where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places = [*sorted(pyenv.glob(f"{OLDEST}.*/bin")), *map(Path, os.get_exec_path())]
    for place in places:
        found = shutil.which(f"python{OLDEST}", path=place)
        if found and subprocess.run([found, "-V"], capture_output=True).returncode == 0:
            return found
    pytest.skip(f"there is no Python {OLDEST} here")


def test_the_same_files_are_the_same_archive() -> None:
    files = program.program_files()
    again = dict(reversed(list(files.items())))
    assert packed(again) == packed(files)
    assert digest_of(again) == digest_of(files) == program.digest()
    assert digest_of({**files, "more.py": b""}) != program.digest()


def test_the_digest_tells_a_name_from_a_content() -> None:
    assert digest_of({"a": b"b"}) != digest_of({"ab": b""})


def test_the_oldest_python_reads_every_module(tmp_path: Path) -> None:
    directory = node_program.unpacked(tmp_path)
    command = [python_3_8(), "-I", "-W", "error", "-m", "compileall", "-q", directory]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_oldest_python_runs_the_smoke_test(tmp_path: Path) -> None:
    changes, given = split(expected(scripted("os.abort()", 4)))
    directory = node_program.unpacked(tmp_path, changes)
    done = node_program.run(python_3_8(), directory, "smoke", given)
    assert done.returncode == 2, done.stderr
    document = json.loads(done.stdout)
    assert document["python"].startswith(f"{OLDEST}.")
    states = [device["status"] for device in document["devices"]]
    assert states == ["passed", "passed", "passed", "failed"]


@pytest.mark.parametrize("module", ["smoke/device.py", "smoke/driver.py", "smoke/full.py"])
def test_the_oldest_python_imports_what_children_run(tmp_path: Path, module: str) -> None:
    directory = node_program.unpacked(tmp_path)
    name = f"fleetwheel/node/{module}"[:-3].replace("/", ".")
    text = f"import sys; sys.path.insert(0, {str(directory)!r}); import {name}"
    subprocess.run([python_3_8(), "-I", "-c", text], check=True)


def test_a_host_without_the_program_gets_it_on_standard_input(tmp_path: Path) -> None:
    """It is unpacked in memory, and nothing of it stays."""
    document = json.loads(program.document("reach", {"places": [], "seconds": 1}))
    assert '"/dev/shm"' in document["program"]
    document["program"] = document["program"].replace("/dev/shm", str(tmp_path))
    for python in (sys.executable, python_3_8()):
        done = subprocess.run(
            [python, "-I", "-c", program.BOOTSTRAP],
            input=json.dumps(document),
            capture_output=True,
            text=True,
        )
        assert json.loads(done.stdout) == {"ok": True, "unreached": {}}
        assert list(tmp_path.iterdir()) == []


def test_nothing_stays_where_nobody_reads_the_answer(tmp_path: Path) -> None:
    document = json.loads(program.document("reach", {"places": [], "seconds": 1}))
    document["program"] = document["program"].replace("/dev/shm", str(tmp_path))
    reading, writing = os.pipe()
    os.close(reading)
    subprocess.run(
        [sys.executable, "-I", "-c", program.BOOTSTRAP],
        input=json.dumps(document),
        stdout=writing,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    os.close(writing)
    assert list(tmp_path.iterdir()) == []


def test_what_goes_wrong_is_an_answer(tmp_path: Path) -> None:
    given = {
        "root": str(tmp_path),
        "id": "a-1",
        "environment": "default",
        "record": {},
        "failed": [],
    }
    done = node_program.run_sent(sys.executable, "activate", given)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["ok"]) == (1, False)
    assert (answer["error"], answer["hint"]) == (
        "generation a-1 is not there any more",
        "run again to build it",
    )


@pytest.mark.parametrize("words", [[], ["nothing"], ["build", "more"]])
def test_a_command_that_it_does_not_know(tmp_path: Path, words: list[str]) -> None:
    command = [sys.executable, "-I", node_program.unpacked(tmp_path), *words]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("usage: fleetwheel-node ")


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_who_asks_for_help_gets_it(tmp_path: Path, word: str) -> None:
    command = [sys.executable, "-I", node_program.unpacked(tmp_path), word]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: fleetwheel-node check|test|nvml")


def test_a_line_to_copy_runs_nothing_that_a_directory_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib/python3.9").mkdir(parents=True)
    (tmp_path / "rich;touch x-1$(id).dist-info").mkdir()
    monkeypatch.setattr(site_hook, "__file__", str(tmp_path / "hook.py"))
    said = site_hook._why_not("/root/environments/vision", str(tmp_path))
    assert shlex.split(said.splitlines()[-1])[-1] == "rich;touch x==1$(id)"

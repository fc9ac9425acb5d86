"""Drift made for real on a host with real torch, one kind after the other, and told as it is."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project, with_environment

pytestmark = pytest.mark.real
FLEETWHEEL = Path(sys.executable).with_name("fleetwheel")
SMI = """\
#!/bin/sh
case "$*" in
*--query-gpu=*) cat {directory}/gpus ;;
*) echo "| NVIDIA-SMI 580.95.05    Driver Version: 580.95.05    CUDA Version: 13.0 |" ;;
esac
"""


def row(index: int, driver: str = "580.95.05") -> str:
    uuid = f"GPU-6a35e6f5-0000-4000-8000-00000000000{index}"
    bus = f"00000000:0{index + 1}:00.0"
    return f"{index}, {uuid}, {bus}, NVIDIA GeForce RTX 4090, 8.9, 24564, {driver}\n"


class Drifting:
    """A host with two GPUs of a stub nvidia-smi, and torch for CPU, as its inventory says."""

    def __init__(self, project: Project, directory: Path) -> None:
        self.project, self.directory = project, directory
        stub = directory / "nvidia-smi"
        stub.write_text(SMI.format(directory=directory))
        stub.chmod(0o755)
        self.env = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}", "COLUMNS": "200"}
        self.gpus(row(0), row(1))
        inventory = project.directory / "inventory" / "lab.yaml"
        inventory.write_text(
            f'hosts: {{"@local": {{root: "{project.root}", accelerator: cpu}},'
            " down: {address: 127.0.0.1, port: 1}}\n"
        )

    def gpus(self, *rows: str) -> None:
        (self.directory / "gpus").write_text("".join(rows))

    def deploy(self, *data: str) -> None:
        options = ["--limit", "@local", *(word for item in data for word in ("--data", item))]
        done = self.project.run("-y", "deploys/torch.py", *options, env=self.env)
        assert done.returncode == 0, done.stdout

    def look(self, *options: str, host: str = "@local") -> tuple[int, dict[str, Any]]:
        """Return exit status and the report of one host."""
        command = [FLEETWHEEL, "drift", "inventory.py", "--limit", host, "--json", "-", *options]
        done = subprocess.run(
            command, cwd=self.project.directory, env=self.env, capture_output=True, text=True
        )
        assert done.stdout, done.stderr
        (entry,) = json.loads(done.stdout)["hosts"]
        return done.returncode, with_environment(entry)

    def found(self, *options: str) -> list[str]:
        """Return class and subject of each drift, the exit status as it has to be for them."""
        status, entry = self.look(*options)
        assert status == (2 if entry["drift"] else 0), entry
        assert entry["status"] == ("drifted" if entry["drift"] else "clean"), entry
        return [f"{drift['class']} {drift['what']}" for drift in entry["drift"]]

    @property
    def site(self) -> Path:
        return next((self.project.root / "current").glob("lib/python3*/site-packages"))


@pytest.fixture(scope="module")
def host(deployed: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drifting]:
    host = Drifting(deployed, tmp_path_factory.mktemp("smi"))
    host.deploy("smoke=always")
    yield host


def test_a_host_as_it_was_deployed_is_clean_and_stays_as_it_is(host: Drifting) -> None:
    before = host.project.tree()
    assert host.found() == []
    assert host.found("--deep") == []
    assert {path: when for path, when in host.project.tree().items() if "pycache" not in path} == {
        path: when for path, when in before.items() if "pycache" not in path
    }


def test_a_host_that_is_down_is_never_clean(host: Drifting) -> None:
    status, entry = host.look(host="down")
    assert (status, entry["status"]) == (4, "unreachable")


def test_gpus_and_driver(host: Drifting) -> None:
    host.gpus(row(0))
    assert host.found() == ["hardware GPU at 00000000:02:00.0"]
    host.gpus(row(0, "590.44.01"), row(1, "590.44.01"))
    assert host.found() == ["driver version"]
    host.gpus(row(0), row(1))
    assert host.found() == []


def test_packages_that_come_and_go(host: Drifting) -> None:
    info = next(host.site.glob("numpy-*.dist-info"))
    shutil.copytree(info, host.site / "intruder-1.0.dist-info")
    (host.site / "intruder-1.0.dist-info/METADATA").write_text("Name: intruder\nVersion: 1.0\n")
    assert host.found() == ["package intruder"]
    shutil.rmtree(host.site / "intruder-1.0.dist-info")
    away = info.rename(host.directory / info.name)
    assert host.found() == ["package numpy"]
    shutil.move(away, info)
    assert host.found() == []


def test_current_and_its_interpreter(host: Drifting) -> None:
    current = host.project.root / "current"
    target = current.readlink()
    current.unlink()
    current.symlink_to("envs/elsewhere")
    assert host.found() == ["package current"]
    current.unlink()
    current.symlink_to(target)
    python = host.project.root / "current/bin/python"
    interpreter = python.readlink()
    python.unlink()
    python.symlink_to("/nowhere/python")
    assert host.found() == ["package interpreter"]
    python.unlink()
    python.symlink_to(interpreter)
    assert host.found() == []


def test_every_format_tells_an_edited_file(host: Drifting) -> None:
    """A quick look sees its size alone; a deep one sees the file, and a rebuild mends it."""
    edited = host.site / "numpy" / "version.py"
    text = edited.read_text()
    edited.unlink()  # the file is a hard link into uv's cache, which stays as it is
    edited.write_text(text.replace("Module", "module"))
    assert host.found() == []
    formats = ["--junit", "d.xml", "--prometheus", "d.prom", "--html", "d.html"]
    assert host.found("--deep", *formats) == ["package files of numpy"]
    written = {path.name: path.read_text() for path in host.project.directory.glob("d.*")}
    assert 'failures="1"' in written["d.xml"]
    gauge = 'fleetwheel_host_drift{class="package",environment="default",host="@local"} 1.0'
    assert gauge in written["d.prom"]
    assert "files of numpy" in written["d.html"]
    check = host.project.run(
        "-y", "deploys/drift.py", "--limit", "@local", env=host.env, deep="true"
    )
    assert check.returncode == 1 and "files of numpy" in check.stdout, check.stdout
    host.deploy("rebuild=true")
    assert host.found("--deep") == []


def test_a_new_lock_is_kept_where_nothing_has_to_be_built(host: Drifting) -> None:
    locks = host.project.directory / "locks"
    record = host.project.record()
    lock = locks / record["lock"]
    text = lock.read_text()
    lock.write_text(text + "\n# edited\n")
    host.deploy("relock=true")
    assert host.project.report()["status"] == "unchanged"
    assert "# edited" not in lock.read_text()

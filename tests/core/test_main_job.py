"""The main job on this machine: real pyinfra, real uv, real torch for CPU, a root of its own."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.project import Project

pytestmark = pytest.mark.real
VERSION = "import torch; print(torch.__version__)"


def test_a_dry_run_says_what_would_happen_and_does_nothing(project: Project) -> None:
    done = project.run("--dry", "deploys/torch.py")
    assert done.returncode == 0, done.stdout
    assert "would change" in done.stdout
    assert "to fetch" in done.stdout
    assert not project.root.exists()
    assert not list((project.directory / "locks").glob("*"))
    assert not (project.directory / "reports").exists()


class TestDeployed:
    """One host through its life; the tests follow each other."""

    def test_the_first_run_gives_a_tested_torch(self, deployed: Project) -> None:
        entry = deployed.report()
        assert entry["status"] == "changed"
        assert entry["choice"]["variant"] == "cpu"
        assert entry["smoke"]["passed"] is True
        assert deployed.python(VERSION) == entry["choice"]["packages"]["torch"]
        assert (deployed.root / "current").readlink() == Path("envs") / entry["generation"]

    def test_the_second_run_changes_nothing(self, deployed: Project) -> None:
        before = deployed.tree()
        done = deployed.deploy()
        assert done.returncode == 0, done.stdout
        assert deployed.report()["status"] == "unchanged"
        assert deployed.tree() == before

    def test_the_program_for_hosts_alone_is_no_change(self, deployed: Project) -> None:
        """Deploys write it; a dry run and a drift check do not."""
        shutil.rmtree(deployed.root / "lib")
        deployed.run("--dry", "deploys/torch.py")
        deployed.run("-y", "deploys/drift.py")
        assert not (deployed.root / "lib").exists()
        done = deployed.deploy()
        assert deployed.report()["status"] == "unchanged"
        assert "1 unchanged" in re.sub(r"\s+", " ", done.stdout) or "No changes" in done.stdout
        (program,) = (deployed.root / "lib").iterdir()
        assert list(program.glob("__pycache__/*.pyc"))
        before = deployed.tree()
        deployed.deploy()
        assert deployed.tree() == before

    def test_a_dry_run_on_a_right_host_says_so(self, deployed: Project) -> None:
        done = deployed.run("--dry", "deploys/torch.py")
        assert "unchanged" in done.stdout
        assert "would change" not in done.stdout

    def test_a_changed_request_makes_a_new_generation(self, deployed: Project) -> None:
        before = deployed.generations()
        done = deployed.deploy(packages="numpy,pyyaml")
        assert done.returncode == 0, done.stdout
        assert deployed.python("import yaml; print(yaml.__name__)") == "yaml"
        assert len(deployed.generations() - before) == 1

    def test_rollback_goes_back_and_holds(self, deployed: Project) -> None:
        newer = (deployed.root / "current").readlink()
        done = deployed.run("-y", "deploys/rollback.py")
        assert done.returncode == 0, done.stdout
        assert (deployed.root / "current").readlink() != newer
        held = deployed.deploy(packages="numpy,pyyaml")
        assert held.returncode == 0, held.stdout
        assert deployed.report()["status"] == "on hold"
        assert (deployed.root / "current").readlink() != newer

    def test_a_person_lifts_the_hold(self, deployed: Project) -> None:
        done = deployed.deploy(packages="numpy,pyyaml", lift_hold="true")
        assert done.returncode == 0, done.stdout
        assert deployed.python("import yaml; print(yaml.__name__)") == "yaml"
        again = deployed.deploy(packages="numpy,pyyaml")
        assert deployed.report()["status"] == "unchanged", again.stdout

    def test_what_a_person_installed_is_built_anew_without_it(self, deployed: Project) -> None:
        current = deployed.root / "current"
        site = next((current / "lib").glob("python3*/site-packages"))
        (site / "stray-1.0.dist-info").mkdir()
        (site / "stray-1.0.dist-info/METADATA").write_text("Name: stray\nVersion: 1.0\n")
        done = deployed.deploy(packages="numpy,pyyaml")
        assert done.returncode == 0, done.stdout
        assert str(current.readlink()).endswith("-2")

    def test_a_lock_edited_by_hand_is_refused(self, deployed: Project) -> None:
        current = (deployed.root / "current").readlink()
        edited = 0
        for lock in (deployed.directory / "locks").iterdir():
            text = lock.read_text()
            start = text.index('sha256 = "') + len('sha256 = "')
            lock.write_text(text[:start] + "0" * 64 + text[start + 64 :])
            edited += 1
        assert edited
        done = deployed.deploy(packages="numpy,pyyaml")
        assert done.returncode == 1
        assert "Hash mismatch" in done.stdout
        assert "relock=true" in done.stdout
        assert (deployed.root / "current").readlink() == current
        assert deployed.python(VERSION)

    def test_relock_mends_it(self, deployed: Project) -> None:
        done = deployed.deploy(packages="numpy,pyyaml", relock="true")
        assert done.returncode == 0, done.stdout
        assert deployed.report()["status"] == "unchanged"

    def test_ctrl_c_in_the_middle_of_an_install(self, deployed: Project) -> None:
        current = (deployed.root / "current").readlink()
        process = subprocess.Popen(
            deployed.command("-y", "deploys/torch.py", packages="numpy,scipy"),
            cwd=deployed.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 120
        while not list((deployed.root / "envs").glob(".building-*")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert (deployed.root / "current").readlink() == current
        assert deployed.python(VERSION)
        done = deployed.deploy(packages="numpy,scipy")
        assert done.returncode == 0, done.stdout
        assert not list((deployed.root / "envs").glob(".*"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"torch": '"99.0"'}, "99.0"),
        ({"python": '"3.8"'}, "3.8"),
        ({"torch": "2.10"}, "2.1"),
    ],
)
def test_a_request_that_cannot_be_met(project: Project, data: dict[str, str], words: str) -> None:
    done = project.deploy(**data)
    assert done.returncode == 1
    assert words in done.stdout
    assert "Traceback" not in done.stdout
    assert not project.root.exists()


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("mounting a file system takes root")
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_root_that_cannot_be_written(project: Project) -> None:
    with small_disk(project.root, "ro,mode=755"):
        done = project.deploy()
    assert done.returncode == 1
    assert f"cannot write to {project.root}" in done.stdout
    assert "Traceback" not in done.stdout


def test_too_little_disk_is_found_before_anything_is_fetched(project: Project) -> None:
    with small_disk(project.root, "size=100m,mode=755"):
        done = project.deploy()
        assert list(project.root.iterdir()) == []
    assert done.returncode == 1
    assert "free, the environment needs" in done.stdout

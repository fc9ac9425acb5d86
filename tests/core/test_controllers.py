"""Controllers that share a host or a project, and what of them is full, read-only or secret."""

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.project import Project, copy_of_checkout
from tests.serve_index import serve_index
from tests.small_wheels import make_wheel

LOGIN = "lab:s3cret-of-the-lab"


def wheels(directory: Path) -> list[Path]:
    """Make a torch of one empty module, which needs numpy."""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    tag = f"{python}-{python}-manylinux_2_28_{platform.machine()}"
    return [
        make_wheel(directory, "torch", "2.13.0+cpu", tag=tag, requires=("numpy",)),
        make_wheel(directory, "numpy", "2.4.0"),
    ]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    wheels(tmp_path / "wheels")
    for name, value in {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
        "FLEETWHEEL_PYTORCH_INDEX": "http://127.0.0.1:9",
        "XDG_CACHE_HOME": str(tmp_path / "xdg"),
    }.items():
        monkeypatch.setenv(name, value)
    return another(tmp_path, "one")


def another(base: Path, name: str) -> Project:
    (base / name).mkdir()
    return Project(copy_of_checkout(base / name), base / "root")


def deploy(project: Project) -> "subprocess.CompletedProcess[str]":
    return project.deploy(smoke="none")


def test_three_controllers_at_once(project: Project, tmp_path: Path) -> None:
    """One builds; the others wait for it, or say that it builds. None leaves half of anything."""
    projects = [project, another(tmp_path, "two"), another(tmp_path, "three")]
    with ThreadPoolExecutor() as together:
        ends = list(together.map(deploy, projects))
    assert 0 in [end.returncode for end in ends]
    for end in ends:
        assert "Traceback" not in end.stdout
        if end.returncode:
            assert "another run is at work" in end.stdout, end.stdout
    assert project.python("import torch, numpy; print(numpy.__version__)") == "2.4.0"
    assert len(project.generations()) == 1
    assert deploy(project).returncode == 0


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("mounting a file system takes root")
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


FULL = "size=4k,nr_inodes=1,mode=755"


@pytest.mark.parametrize("options", ["ro", FULL])
def test_locks_that_cannot_be_kept_change_no_host(project: Project, options: str) -> None:
    with mounted(project.directory / "locks", options):
        done = deploy(project)
        assert list((project.directory / "locks").iterdir()) == []
    assert done.returncode == 1
    assert "the lock cannot be written on this machine" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (project.root / "current").exists()


@pytest.mark.parametrize("options", ["ro", FULL])
def test_reports_that_cannot_be_kept_lose_no_table(project: Project, options: str) -> None:
    with mounted(project.directory / "reports", options):
        done = deploy(project)
        assert list((project.directory / "reports").iterdir()) == []
    assert done.returncode == 0, done.stdout
    assert "the report cannot be kept" in done.stdout
    assert "torch 2.13.0+cpu" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_password_is_in_no_output_however_much_is_asked_for(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = LOGIN.partition(":")[2]
    with serve_index({"cpu": wheels(tmp_path / "wheels")}, login=LOGIN, one_address=True) as index:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_INDEX_URL", f"{index.with_login(LOGIN)}/cpu/")
        done = project.run("-y", "-vvv", "--debug", "deploys/torch.py", smoke="none")
    assert done.returncode == 0, done.stdout
    assert "torch 2.13.0+cpu" in done.stdout
    assert password not in done.stdout
    for kept in (project.directory / "locks", project.directory / "reports"):
        for path in kept.iterdir():
            assert password not in path.read_text()

"""Controllers that share a host or a project, and what of them is full, read-only or secret."""

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.core.conftest import small_wheels
from tests.project import Project, copy_of_checkout
from tests.serve_index import serve_index

LOGIN = "lab:s3cret-of-the-lab"


def another(base: Path, name: str) -> Project:
    (base / name).mkdir()
    return Project(copy_of_checkout(base / name), base / "root")


def deploy(small: Project) -> "subprocess.CompletedProcess[str]":
    return small.deploy(smoke="none")


def test_three_controllers_at_once(small: Project, tmp_path: Path) -> None:
    """One builds; the others wait for it, or say that it builds. None leaves half of anything."""
    projects = [small, another(tmp_path, "two"), another(tmp_path, "three")]
    with ThreadPoolExecutor() as together:
        ends = list(together.map(deploy, projects))
    assert 0 in [end.returncode for end in ends]
    for end in ends:
        assert "Traceback" not in end.stdout
        if end.returncode:
            assert re.search("another run (is at work|has changed)", end.stdout), end.stdout
    assert small.python("import torch, numpy; print(numpy.__version__)") == "2.4.0"
    assert len(small.generations()) == 1
    assert deploy(small).returncode == 0


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
def test_locks_that_cannot_be_kept_change_no_host(small: Project, options: str) -> None:
    with mounted(small.directory / "locks", options):
        done = deploy(small)
        assert list((small.directory / "locks").iterdir()) == []
    assert done.returncode == 1
    assert "the lock cannot be written on this machine" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (small.root / "current").exists()


@pytest.mark.parametrize("options", ["ro", FULL])
def test_reports_that_cannot_be_kept_lose_no_table(small: Project, options: str) -> None:
    with mounted(small.directory / "reports", options):
        done = deploy(small)
        assert list((small.directory / "reports").iterdir()) == []
    assert done.returncode == 0, done.stdout
    assert "the report cannot be kept" in done.stdout
    assert "torch 2.13.0+cpu" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_password_is_in_no_output_however_much_is_asked_for(
    small: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = LOGIN.partition(":")[2]
    with serve_index(
        {"cpu": small_wheels(tmp_path / "wheels")}, login=LOGIN, one_address=True
    ) as index:
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_INDEX_URL", f"{index.with_login(LOGIN)}/cpu/")
        done = small.run("-y", "-vvv", "--debug", "deploys/torch.py", smoke="none")
    assert done.returncode == 0, done.stdout
    assert "torch 2.13.0+cpu" in done.stdout
    assert password not in done.stdout
    for kept in (small.directory / "locks", small.directory / "reports"):
        for path in kept.iterdir():
            assert password not in path.read_text()

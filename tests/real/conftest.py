"""Hosts and environments with real torch, for the tests of this folder."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project import Project, copy_of_checkout


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose host has nothing yet."""
    directory = tmp_path / "project"
    directory.mkdir()
    return Project(copy_of_checkout(directory), tmp_path / "root")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose host has real torch for CPU; tests of a module share it, in their order."""
    base = tmp_path_factory.mktemp("deployed")
    (base / "project").mkdir()
    project = Project(copy_of_checkout(base / "project"), base / "root")
    done = project.deploy()
    assert done.returncode == 0, done.stdout
    yield project
    shutil.rmtree(base)


@pytest.fixture(scope="session")
def torch_cpu_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Python with torch for CPU and numpy, as the main job installs them."""
    base = tmp_path_factory.mktemp("torch-cpu")
    (base / "project").mkdir()
    project = Project(copy_of_checkout(base / "project"), base / "root")
    done = project.deploy()
    assert done.returncode == 0, done.stdout
    yield project.root / "current/bin/python"
    shutil.rmtree(base)

"""Root directories and hosts for the tests of this folder."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv

from tests.project import Project, copy_of_checkout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty root directory to which the pinned uv has just been sent."""
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(uv.find_uv_bin(), root / "bin" / "uv.new")
    return root


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

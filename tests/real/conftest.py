"""An environment with real torch, for the tests of this folder."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project import Project, copy_of_checkout


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

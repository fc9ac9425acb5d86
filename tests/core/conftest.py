"""Root directories and hosts for the tests of this folder."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv

from tests.project import Project, copy_of_checkout
from tests.small_wheels import make_wheel


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty root directory to which the pinned uv has just been sent."""
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(uv.find_uv_bin(), root / "bin" / "uv.new")
    return root


def small_wheels(directory: Path) -> list[Path]:
    """Make a torch of one module, and the numpy that it needs, for the Python that runs this."""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    tag = f"{python}-{python}-manylinux_2_28_{platform.machine()}"
    return [
        make_wheel(directory, "torch", "2.13.0+cpu", tag=tag, requires=("numpy",)),
        make_wheel(directory, "numpy", "2.4.0"),
    ]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose only source has the small wheels; deploy it with ``smoke="none"``."""
    small_wheels(tmp_path / "wheels")
    for name, value in {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
        "FLEETWHEEL_PYTORCH_INDEX": "http://127.0.0.1:9",
        "XDG_CACHE_HOME": str(tmp_path / "xdg"),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "one").mkdir()
    return Project(copy_of_checkout(tmp_path / "one"), tmp_path / "root")


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

"""A lock is for everybody: pip and uv by themselves install what it says."""

import subprocess
import sys
from pathlib import Path

import pytest
import uv

from fleetwheel.lock import locking
from fleetwheel.lock.lock import Lock
from fleetwheel.sources import web
from fleetwheel.sources.wheel import Source
from tests.index_layouts import LAYOUTS, serve_layout
from tests.samples import CPU_HOST, REQUEST, choice, target_of
from tests.small_wheels import make_wheel

PIP = "pip>=26.1"
"""The first one that reads locks."""


@pytest.fixture(scope="module")
def newer_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a pip that reads locks, from where this machine's pip gets its own."""
    directory = tmp_path_factory.mktemp("pip")
    install = [sys.executable, "-m", "pip", "install", "-q", "--target", str(directory), PIP]
    subprocess.run(install, check=True)
    return directory


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    path = tmp_path / "venv"
    subprocess.run([uv.find_uv_bin(), "venv", "-q", "-p", sys.executable, str(path)], check=True)
    return path


def made(sources: list[Source]) -> Lock:
    web.forget_pages()
    chosen, target = choice(sources[0]), target_of(CPU_HOST)
    return locking.lock_of(locking.pick(chosen, target, sources), chosen, target, REQUEST)


@pytest.mark.parametrize("installer", ["pip install -r", "uv pip sync", "uv pip install -r"])
@pytest.mark.parametrize("kind", ["an index without sha256", "a directory"])
def test_other_installers_take_every_lock(
    installer: str, kind: str, newer_pip: Path, environment: Path, tmp_path: Path
) -> None:
    wheels = [
        make_wheel(tmp_path / "wheels", "torch", "2.13.0+cpu", requires=("numpy",)),
        make_wheel(tmp_path / "wheels", "numpy", "2.4.0", requires_python=">=3.8"),
    ]
    with serve_layout(LAYOUTS["Nexus"], wheels, []) as index:
        there = Source(name="lab", url=index.url)
        if kind == "a directory":
            there = Source(name="lab", url=str(tmp_path / "wheels"), layout="flat")
        lock = made([there])
        (tmp_path / lock.name).write_text(lock.text)
        python = str(environment / "bin" / "python")
        commands = {
            "pip install -r": [sys.executable, str(newer_pip / "pip"), "--python", python],
            "uv pip sync": [uv.find_uv_bin(), "pip"],
            "uv pip install -r": [uv.find_uv_bin(), "pip"],
        }
        words = installer.split()
        options = ["--python", python, "--no-cache"] if words[0] == "uv" else ["--no-cache-dir"]
        command = [*commands[installer], *words[1 + (words[0] == "uv") :]]
        done = subprocess.run(
            [*command, str(tmp_path / lock.name), *options],
            env={"PIP_CONFIG_FILE": "/dev/null", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    assert {p.name for p in environment.glob("lib/python3*/site-packages/*.dist-info")} == {
        "numpy-2.4.0.dist-info",
        "torch-2.13.0+cpu.dist-info",
    }

"""``install: true``: a project's own wheel, built on the controller and put into the lock."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock import own_wheel
from fleetwheel.lock.own_wheel import with_own_wheel
from fleetwheel.sources import store
from fleetwheel.team.loading import read_team
from fleetwheel.team.pins import Team, TeamFile

BACKEND = """
import os, zipfile
from pathlib import Path

def build_wheel(directory, config=None, metadata=None):
    Path(os.environ["RAN"]).open("a").write("x")
    name = "nlp-1.0-TAG.whl"
    info = "nlp-1.0.dist-info"
    contents = {
        "nlp.py": Path("nlp.py").read_text(),
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: nlp\\nVersion: 1.0\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: TAG\\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(Path(directory, name), "w") as wheel:
        for path, text in contents.items():
            wheel.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    return name
"""
PROJECT = """
[project]
name = "nlp"
version = "1.0"
dependencies = ["rich"]
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose build says in ``ran`` that it ran."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    directory = tmp_path / "nlp"
    return write(directory)


def write(directory: Path, tag: str = "py3-none-any") -> Path:
    directory.mkdir()
    (directory / "pyproject.toml").write_text(PROJECT)
    (directory / "backend.py").write_text(BACKEND.replace("TAG", tag))
    (directory / "nlp.py").write_text("ANSWER = 42\n")
    return directory


def team(directory: Path) -> Team:
    return read_team(TeamFile(key="project", path=str(directory), install=True))


def built(directory: Path) -> Team:
    with_own_wheel.cache_clear()
    return with_own_wheel(team(directory))


def ran(project: Path) -> int:
    told = project.parent / "ran"
    return len(told.read_text()) if told.exists() else 0


def refusal(directory: Path) -> str:
    with pytest.raises(FleetwheelError) as caught:
        built(directory)
    assert caught.value.hint
    return str(caught.value)


def test_a_wheel_is_built_once_for_each_state_of_the_project(project: Path) -> None:
    first = built(project)
    filename, _, sha256 = first.own.partition("#sha256=")
    assert filename == "nlp-1.0-py3-none-any.whl"
    assert store.sha256(store.kept_at(filename, sha256)) == sha256
    (project / "__pycache__").mkdir()
    (project / "__pycache__/nlp.cpython-311.pyc").write_bytes(b"")
    for earlier in ("build/lib", "dist", "nlp.egg-info"):
        (project / earlier).mkdir(parents=True)
        (project / earlier / "old.py").write_text("")
    (project / ".venv").mkdir()
    (project / ".venv/pyvenv.cfg").write_text("")
    assert (built(project), ran(project)) == (first, 1), "what is no code counts not"
    (project / "nlp.py").write_text("ANSWER = 43\n")
    changed = built(project)
    assert (changed.own != first.own, changed.sha256 != first.sha256) == (True, True)
    assert ran(project) == 2
    assert not list(project.rglob("*.whl")), "the project itself is left alone"


def test_the_same_project_elsewhere_is_the_same_wheel(project: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "clone")
    first = built(project).own
    store.cache_directory().rename(tmp_path / "away")
    assert built(other).own == first


def test_a_wheel_that_has_left_the_store_is_built_again(project: Path) -> None:
    own = built(project).own
    store.kept_at(*own.split("#sha256=")).unlink()
    assert (built(project).own, ran(project)) == (own, 2)


def test_nothing_of_a_project_runs_without_being_asked_for(project: Path) -> None:
    said: dict[str, Any] = {"environments": {"nlp": {"project": str(project)}}}
    assert Settings.from_data(said).by_environment()["nlp"].request.team
    assert ran(project) == 0
    said["environments"]["nlp"]["install"] = True
    found = Settings.from_data(said).by_environment()["nlp"].request.team
    assert found
    assert found.own.startswith("nlp-1.0-")
    assert ran(project) == 1


def test_compiled_parts_are_refused(tmp_path: Path, project: Path) -> None:
    said = refusal(write(tmp_path / "compiled", "cp311-cp311-linux_x86_64"))
    assert "compiled has compiled parts: nlp-1.0-cp311-cp311-linux_x86_64.whl holds for" in said
    assert not list(store.cache_directory().rglob("*.whl"))


def test_a_build_that_fails_says_why(project: Path) -> None:
    (project / "backend.py").write_text("raise RuntimeError('no luck today')")
    said = refusal(project)
    assert "cannot be built" in said
    assert "no luck today" in said


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside", "/etc"])
def test_a_link_out_of_the_project(project: Path, target: str) -> None:
    (project / "data").symlink_to(target)
    assert "nlp/data leads to " in refusal(project)
    assert ran(project) == 0


def test_a_fifo(project: Path) -> None:
    os.mkfifo(project / "pipe")
    assert "nlp/pipe is no file" in refusal(project)


def test_links_within_the_project_are_part_of_it(project: Path) -> None:
    before = built(project)
    (project / "data").mkdir()
    (project / "data/a").write_text("")
    (project / "latest").symlink_to("data")
    built(project)
    assert (before.own, ran(project)) == (built(project).own, 2)


@pytest.mark.parametrize(("limit", "value"), [("TREE_BYTES", 10), ("TREE_FILES", 2)])
def test_too_much_for_a_wheel(
    project: Path, limit: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_wheel, limit, value)
    assert "too much to build its wheel from" in refusal(project)
    assert ran(project) == 0


def test_empty_directories_are_too_much_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_wheel, "TREE_FILES", 20)
    for number in range(20):
        (project / f"empty{number}").mkdir()
    assert "too much to build its wheel from" in refusal(project)
    assert ran(project) == 0


@pytest.mark.parametrize(
    ("name", "why"),
    [("d", "50 levels of them, which is too much"), ("d" * 200, "cannot be read or copied: File")],
)
def test_directories_too_deep(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    """Deeper than Python's recursion goes, and than the longest path."""
    monkeypatch.chdir(project)
    for _ in range(1200):
        Path(name).mkdir()
        os.chdir(name)
    os.chdir(project)
    try:
        assert why in refusal(project)
        assert ran(project) == 0
    finally:
        subprocess.run(["rm", "-r", project / name], check=True)


def test_a_failure_is_found_once_for_all_hosts(project: Path) -> None:
    (project / "backend.py").write_text(f"{COUNT}raise RuntimeError('no luck today')")
    with_own_wheel.cache_clear()
    asked = team(project)
    for _host in range(3):
        with pytest.raises(FleetwheelError, match="no luck today"):
            with_own_wheel(asked)
    assert ran(project) == 1


COUNT = """
import os
open(os.environ["RAN"], "a").write("x")
"""
LEAVES_A_CHILD = f"""{COUNT}
import subprocess
child = subprocess.Popen(["sleep", "300"])
open(os.environ["RAN"] + ".pid", "w").write(str(child.pid))
"""


def test_what_a_build_leaves_running_ends_with_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that holds the build's output keeps pip waiting for it."""
    monkeypatch.setattr(own_wheel, "BUILD_S", 5)
    (project / "backend.py").write_text(LEAVES_A_CHILD + BACKEND.replace("TAG", "py3-none-any"))
    assert "it took longer than 5 s" in refusal(project)
    pid = int((project.parent / "ran.pid").read_text())
    deadline = time.monotonic() + 5
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(pid)


def running(pid: int) -> bool:
    """Whether a process runs; one that has ended may still wait for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


LOOKS_UPWARD = """
import os, subprocess, tempfile
from pathlib import Path

def looked(place):
    for directory in (place, *place.parents):
        yield from (str(f) for n in (".gitignore", "setup.cfg") if (f := directory / n).exists())
        if (directory / ".git").exists():
            return

found = [*looked(Path.cwd()), *looked(Path(tempfile.gettempdir()))]
git = subprocess.run(["git", "rev-parse", "--show-toplevel"], capture_output=True, text=True)
Path(os.environ["RAN"] + ".found").write_text(str(found) + git.stdout)
"""


def test_a_build_finds_nothing_above_its_copy(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As hatchling looks for .gitignore, and setuptools-scm for a repository."""
    above = project.parent / "cache/fleetwheel/work"
    above.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(above))
    subprocess.run(["git", "init", "--quiet", above], check=True)
    for name in (".gitignore", "setup.cfg"):
        (above / name).write_text("*")
    (project / "backend.py").write_text(LOOKS_UPWARD + BACKEND.replace("TAG", "py3-none-any"))
    assert built(project).own
    assert (project.parent / "ran.found").read_text() == "[]"

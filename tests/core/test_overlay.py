"""A user's own environment on top of one of a host: real venv, real uv and pip, small wheels."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uv

from fleetwheel.collectors import program
from fleetwheel.node import overlay
from fleetwheel.node.clean import in_use
from tests import node_program
from tests.core.test_generation import activating, building, run
from tests.small_wheels import lock_of, make_wheel

OLD, NEW = "2.13.0-cp311-0123456789ab-1", "2.14.0-cp311-0123456789ab-1"
WHERE = "import torch, numpy; print(torch.__file__); print(numpy.__file__)"


class Desk:
    """A root with the environment "default", and a place where its user makes overlays."""

    def __init__(self, base: Path) -> None:
        self.root = base / "fleet of it's \N{SNOWMAN}"
        self.mine = base / "my own's"
        self.wheels = base / "wheels"
        (self.root / "bin").mkdir(parents=True)
        shutil.copy(uv.find_uv_bin(), self.root / "bin" / "uv.new")
        self.torch = {version: self.wheel("torch", version, "numpy") for version in VERSIONS}
        self.numpy = [self.wheel("numpy", version) for version in ("2.4.0", "2.5.0")]
        self.wheel("addon", "1.0", "torch", "numpy")
        self.wheel("fixed_torch", "1.0", "torch==2.14.0")
        self.wheel("new_numpy", "1.0", "numpy>=2.5")
        self.build(OLD, "2.13.0+cpu")
        self.lead_to(OLD)
        placed = node_program.run_sent(PYTHON, "place", self.placing())
        assert json.loads(placed.stdout)["ok"], placed.stdout

    def wheel(self, name: str, version: str, *requires: str) -> Path:
        return make_wheel(self.wheels, name, version, requires=requires)

    def build(self, id: str, torch: str) -> None:
        text = lock_of(self.torch[torch], self.numpy[0])
        assert run("build", self.root, **building(text, id=id))["ok"]

    def lead_to(self, id: str) -> None:
        assert run("activate", self.root, **activating(id))["ok"]

    def placing(self) -> dict[str, str]:
        return {"root": str(self.root), "digest": program.digest()}

    def overlay(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        command = [self.root / "bin/overlay", *words]
        return subprocess.run(command, capture_output=True, text=True)

    def made(self) -> Path:
        """Return a new overlay, in place of the one before."""
        if self.mine.exists():
            shutil.rmtree(self.mine)
        done = self.overlay(self.mine)
        assert done.returncode == 0, done.stderr
        return self.mine

    def python(self, *words: str | Path) -> str:
        return self.asked("python", *words).stdout.strip()

    def asked(self, name: str, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run a program of the overlay."""
        command = [self.mine / "bin" / name, *words]
        return subprocess.run(command, capture_output=True, text=True)

    def install(self, tool: str, package: str) -> "subprocess.CompletedProcess[str]":
        words = ["pip", "install"] if tool == "uv" else ["install"]
        return self.asked(tool, *words, "--no-index", "--find-links", self.wheels, package)

    def tree(self) -> dict[str, int]:
        there = (path for path in self.root.rglob("*") if path.suffix != ".pyc")
        files = (path for path in there if path.is_symlink() or not path.is_dir())
        return {str(path): path.lstat().st_mtime_ns for path in files}


PYTHON = str(Path(sys._base_executable).resolve())  # type: ignore[attr-defined]
VERSIONS = ("2.13.0+cpu", "2.14.0")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """One for all tests, in their order; each leaves the environment as it was."""
    return Desk(tmp_path_factory.mktemp("desk"))


def site_of(directory: Path) -> Path:
    return next(directory.glob("lib/python3*/site-packages"))


def test_it_sees_the_environment_and_names_no_generation(desk: Desk) -> None:
    before = desk.tree()
    done = desk.overlay(desk.mine)
    assert done.returncode == 0, done.stderr
    assert "on top of the environment default (torch 2.13.0+cpu, Python 3." in done.stdout
    assert desk.python("-c", WHERE).splitlines() == [
        f"{site_of(desk.root / 'envs' / OLD)}/{name}.py" for name in ("torch", "numpy")
    ]
    texts = [path for path in desk.mine.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert not [path for path in texts if OLD.encode() in path.read_bytes()]
    assert desk.tree() == before


def test_activated_it_is_what_python_and_uv_are(desk: Desk, tmp_path: Path) -> None:
    said = desk.overlay(tmp_path / "it's").stdout
    (line,) = (line for line in said.splitlines() if line.startswith("  . "))
    shell = f"{line.strip()} && for name in python uv pip; do command -v $name; done"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"{tmp_path}/it's/bin/{name}" for name in ("python", "uv", "pip")
    ]


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_what_it_takes_goes_into_it_alone(desk: Desk, tool: str) -> None:
    desk.made()
    before = desk.tree()
    done = desk.install(tool, "addon")
    assert done.returncode == 0, done.stderr
    names = {path.name for path in site_of(desk.mine).glob("*.py")}
    assert "addon.py" in names and not names & {"torch.py", "numpy.py"}, "the base has both"
    assert desk.install(tool, "new-numpy").returncode == 0
    assert desk.python("-c", WHERE).splitlines()[1] == f"{site_of(desk.mine)}/numpy.py"
    assert "torch==2.14.0" in (done := desk.install(tool, "fixed-torch")).stdout + done.stderr
    assert done.returncode == 1, "torch is that of the base, or none"
    assert desk.install(tool, "torch==2.14.0").returncode == 1
    assert not (site_of(desk.mine) / "torch.py").exists()
    assert desk.tree() == before


def test_what_is_below_can_be_seen_and_not_taken_away(desk: Desk) -> None:
    before, own = desk.tree(), sorted(site_of(desk.mine).iterdir())
    assert "torch" in desk.asked("uv", "pip", "list").stdout
    assert desk.asked("uv", "pip", "uninstall", "torch").returncode == 0
    assert "outside environment" in desk.asked("pip", "uninstall", "--yes", "torch").stdout
    assert desk.tree() == before and sorted(site_of(desk.mine).iterdir()) == own
    assert desk.python("-c", WHERE)


def test_what_an_ended_uv_left_goes_with_the_next(desk: Desk) -> None:
    left = site_of(desk.mine) / "torch-1.0.dist-info"
    left.mkdir()
    (left / "INSTALLER").write_text("fleetwheel\n")
    desk.asked("uv", "pip", "list")
    assert not left.exists()


@contextmanager
def at_work(desk: Desk) -> Iterator[Any]:
    """A process of the overlay that runs a program from each line that it is sent."""
    code = "import sys\nfor line in sys.stdin: exec(line); print(flush=True)"
    with subprocess.Popen(
        [desk.mine / "bin/python", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def tell(line: str) -> str:
            assert process.stdin and process.stdout
            process.stdin.write(line + "\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        tell("pass")
        yield tell
        process.kill()


def test_a_process_and_its_children_stay_when_the_base_moves(desk: Desk) -> None:
    desk.made()
    desk.build(NEW, "2.14.0")
    child = "import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', {!r}]"
    child += ", text=True).strip(), end='')"
    version = "import torch; print(torch.__version__)"
    with at_work(desk) as tell:
        desk.lead_to(NEW)
        assert tell("import torch; print(torch.__version__, end='')") == "2.13.0+cpu"
        assert tell(child.format(version)) == "2.13.0+cpu"
        assert in_use(desk.root / "envs" / OLD)
        assert desk.python("-c", version) == "2.14.0", "what starts now has the new one"
    assert not in_use(desk.root / "envs" / OLD)
    assert desk.install("uv", "fixed-torch").returncode == 0, "it is that torch now"
    desk.lead_to(OLD)


def test_another_python_below_is_said_with_the_way_out(desk: Desk) -> None:
    desk.made()
    assert desk.install("uv", "addon").returncode == 0
    minor = f"python3.{sys.version_info.minor}"
    (desk.root / "envs" / OLD / "lib" / minor).rename(desk.root / "envs" / OLD / "lib/python3.99")
    done = desk.asked("python", "-c", "pass")
    assert done.returncode == 1
    assert (
        f"/environments/default has python3.99 now. {desk.mine} was made for {minor}" in done.stderr
    )
    assert "addon==1.0" in done.stderr and "Traceback" not in done.stderr
    (desk.root / "envs" / OLD / "lib/python3.99").rename(desk.root / "envs" / OLD / "lib" / minor)
    again = done.stderr[done.stderr.index("Make it again:\n") :].partition("\n")[2]
    again = again.replace("pip install", f"pip install --no-index --find-links {desk.wheels}")
    subprocess.run(["sh", "-ec", again], check=True, capture_output=True)
    assert desk.python("-c", "import addon, torch; print(torch.__version__)") == "2.13.0+cpu"


def test_an_environment_that_is_gone_is_said(desk: Desk) -> None:
    (desk.root / "current").unlink()
    done = desk.asked("python", "-c", "pass")
    desk.lead_to(OLD)
    assert (done.returncode, "is not on this host any more" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{full}"], "is not empty"),
        (["{root}/mine"], "which deploys look after"),
        (["{root}/envs/../cache/mine"], "which deploys look after"),
        (["{link}/mine"], "which deploys look after"),
        (["{full}/file"], "is there and no directory"),
        (["{new}", "vision"], "no environment 'vision'"),
        (["{new}", "../envs"], "no environment '../envs'"),
        (["{new}:x"], "cannot be on a PATH"),
        (["/proc/new"], "failed: Error: [Errno 2]"),
    ],
)
def test_what_cannot_be_is_refused(desk: Desk, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    (tmp_path / "link").symlink_to(desk.root)
    places = {name: tmp_path / name for name in ("full", "link", "new")}
    before = desk.tree()
    done = desk.overlay(*(word.format(root=desk.root, **places) for word in words))
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "new").exists() and desk.tree() == before


def test_an_attempt_that_fails_leaves_nothing(desk: Desk, tmp_path: Path) -> None:
    info = site_of(desk.root / "envs" / OLD) / "torch-2.13.0+cpu.dist-info"
    info.rename(info.with_suffix(".away"))
    done = desk.overlay(tmp_path)
    info.with_suffix(".away").rename(info)
    assert (done.returncode, "PackageNotFoundError" in done.stderr) == (1, True), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_generation_of_before_is_said(desk: Desk, tmp_path: Path) -> None:
    constraints = desk.root / "envs" / OLD / "constraints.txt"
    constraints.rename(constraints.with_suffix(".away"))
    done = desk.overlay(tmp_path / "new")
    constraints.with_suffix(".away").rename(constraints)
    assert (done.returncode, "rebuild=true" in done.stderr) == (1, True)


def test_constraints_of_pips_configuration_stay(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "lab.txt").write_text("numpy<2.5\n")
    (tmp_path / "xdg/pip").mkdir(parents=True)
    (tmp_path / "xdg/pip/pip.conf").write_text(f"[global]\nconstraint = {tmp_path}/lab.txt\n")
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    shutil.rmtree(desk.mine)
    command = [desk.root / "bin/overlay", desk.mine]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert desk.install("pip", "new-numpy").returncode == 1


def test_a_host_of_before_has_no_link_for_default(desk: Desk, tmp_path: Path) -> None:
    alias = desk.root / "environments/default"
    alias.rename(tmp_path / "alias")
    done = desk.overlay(tmp_path / "new")
    (tmp_path / "alias").rename(alias)
    assert (done.returncode, "rebuild=true" in done.stderr) == (1, True)


def test_what_goes_on_top_of_what_is_not_mixed_up(desk: Desk, tmp_path: Path) -> None:
    assert desk.overlay(tmp_path / "second").returncode == 0
    environment = {**os.environ, "PATH": f"{tmp_path}/second/bin:{os.environ['PATH']}"}
    install = ["pip", "install", "--no-index", "--find-links", desk.wheels, "fixed-numpy"]
    make_wheel(desk.wheels, "fixed_numpy", "1.0", requires=("numpy==2.4.0",))
    subprocess.run([desk.mine / "bin/uv", *install], env=environment, check=True)
    assert (site_of(desk.mine) / "fixed_numpy.py").exists()
    assert not (site_of(tmp_path / "second") / "fixed_numpy.py").exists()


def test_where_python_brings_no_pip_uv_is_named(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "HAS_PIP", "import sys; sys.exit(1)")
    said = overlay.overlay(tmp_path / "new", desk.root / "environments/default")
    assert "  uv pip install" in said and "\n  pip" not in said
    done = subprocess.run([tmp_path / "new/bin/pip"], capture_output=True, text=True)
    assert (done.returncode, "uv pip install" in done.stderr) == (1, True)
    done = subprocess.run(
        [tmp_path / "new/bin/uv", "pip", "list"], capture_output=True, text=True, check=True
    )
    assert "torch" in done.stdout


def test_other_commands_of_uv_are_left_alone(desk: Desk) -> None:
    assert desk.asked("uv", "--version").stdout.startswith("uv ")

"""The wheel as its users get it: installed into a clean environment, away from the clone."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwheel.project import contents
from tests.project import CHECKOUT

pytestmark = pytest.mark.real
PYINFRA = Path(sys.executable).with_name("pyinfra")
IGNORED = ("*.egg-info", "build", ".venv", "locks", "reports", ".git", "__pycache__")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The wheel of the clone, and the one that its sdist builds."""
    base = tmp_path_factory.mktemp("dist")
    build(CHECKOUT, "sdist", base)
    (sdist,) = base.glob("*.tar.gz")
    subprocess.run(["tar", "xf", sdist, "-C", base], check=True)
    from_sdist = base / sdist.name.removesuffix(".tar.gz")
    build(CHECKOUT, "wheel", base)
    build(from_sdist, "wheel", base / "again")
    yield next(base.glob("*.whl")), next((base / "again").glob("*.whl"))


def build(source: Path, kind: str, target: Path) -> None:
    """Build from a copy, so that the checkout stays as it is."""
    import shutil

    copy = target / f"source-{kind}"
    shutil.copytree(source, copy, symlinks=True, ignore=shutil.ignore_patterns(*IGNORED))
    program = f"import setuptools.build_meta as b; b.build_{kind}({str(target)!r})"
    subprocess.run([sys.executable, "-c", program], cwd=copy, check=True, capture_output=True)


def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_is_complete_and_holds_one_package(built: tuple[Path, Path]) -> None:
    wheel, from_sdist = built
    assert names(wheel) == names(from_sdist)
    tops = {name.split("/")[0] for name in names(wheel)}
    assert [top for top in tops if not top.endswith(".dist-info")] == ["fleetwheel"]
    skeleton = {n.removeprefix("fleetwheel/skeleton/") for n in names(wheel) if "/skeleton/" in n}
    assert set(contents()) == skeleton
    code = CHECKOUT.glob("fleetwheel/**/*.*")
    linked = [
        p for name in ("facts", "operations", "templates") for p in CHECKOUT.glob(f"{name}/*.*")
    ]
    wanted = {p.relative_to(CHECKOUT).as_posix() for p in code if "__pycache__" not in p.parts}
    wanted |= {f"fleetwheel/{p.relative_to(CHECKOUT).as_posix()}" for p in linked}
    assert wanted <= names(wheel)


OTHER = """
from facts.mine import Mine
from pyinfra import host

from fleetwheel.facts.gpu import Gpus
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import torch

assert host.get_fact(Mine) == "mine"
print("driver:", host.get_fact(Gpus).driver.state)
torch.environment(name="Torch", settings=Settings(root=host.data.get("where")))
"""
MINE = """
from pyinfra.api import FactBase

class Mine(FactBase):
    def command(self):
        return "echo mine"

    def process(self, output):
        return output[0]
"""


@pytest.fixture
def site(built: tuple[Path, Path], tmp_path: Path) -> Path:
    """Where the wheel's fleetwheel is; its dependencies are those of this environment."""
    site = tmp_path / "site"
    zipfile.ZipFile(built[0]).extractall(site)
    return site


def run(site: Path, *command: str | Path, cwd: Path) -> str:
    """Run a command with the wheel's fleetwheel and return what it printed."""
    env = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200"}
    done = subprocess.run(
        command, env=env, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def torch_of(root: Path) -> str:
    program = "import torch; print(torch.__version__)"
    return subprocess.check_output([root / "current/bin/python", "-c", program], text=True)


def test_a_project_from_the_wheel_deploys(site: Path, tmp_path: Path) -> None:
    said = run(
        site, sys.executable, "-c", "from fleetwheel.cli import main; main()", "init", "lab",
        cwd=tmp_path,
    )  # fmt: skip
    assert "pyinfra inventory.py deploys/torch.py" in said
    where = "import fleetwheel; print(fleetwheel.__file__)"
    assert run(site, sys.executable, "-c", where, cwd=tmp_path).startswith(str(site))
    root = tmp_path / "root"
    said = run(
        site, PYINFRA, "-y", "inventory.py", "deploys/torch.py", "--data", f"root={root}",
        cwd=tmp_path / "lab",
    )  # fmt: skip
    assert "reports/" in said
    assert torch_of(root)


def test_another_project_with_facts_of_its_own_imports_ours(site: Path, tmp_path: Path) -> None:
    """As `pip install fleetwheel` gives it to an existing pyinfra project."""
    (tmp_path / "facts").mkdir()
    (tmp_path / "facts/mine.py").write_text(MINE)
    (tmp_path / "deploy.py").write_text(OTHER)
    root = tmp_path / "root"
    said = run(site, PYINFRA, "-y", "@local", "deploy.py", "--data", f"where={root}", cwd=tmp_path)
    assert "driver: no-gpu" in said
    assert torch_of(root)

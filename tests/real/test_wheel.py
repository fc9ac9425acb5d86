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
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns(*IGNORED))
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
    assert set(contents()) == skeleton - {"quickstart.py"}
    code = {p.relative_to(CHECKOUT).as_posix() for p in (CHECKOUT / "fleetwheel").rglob("*.*")}
    assert {n for n in code if "__pycache__" not in n} <= names(wheel)


def test_a_project_from_the_wheel_deploys(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Its dependencies are those of this environment; fleetwheel itself is the wheel's alone."""
    site = tmp_path / "site"
    zipfile.ZipFile(built[0]).extractall(site)
    programs = Path(sys.executable).parent
    env = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "200"}
    run = {"env": env, "cwd": tmp_path, "text": True, "check": True, "stdout": subprocess.PIPE}
    init = [sys.executable, "-c", "from fleetwheel.cli import main; main()", "init", "lab"]
    said = subprocess.run(init, **run).stdout
    assert "pyinfra inventory.py deploys/torch.py" in said
    where = "import fleetwheel; print(fleetwheel.__file__)"
    assert subprocess.run([sys.executable, "-c", where], **run).stdout.startswith(str(site))
    root = tmp_path / "root"
    deploy = [programs / "pyinfra", "-y", "inventory.py", "deploys/torch.py"]
    subprocess.run(
        [*deploy, "--data", f"root={root}"], **{**run, "cwd": tmp_path / "lab", "stdin": None}
    )
    program = "import torch; print(torch.__version__)"
    assert subprocess.run([root / "current/bin/python", "-c", program], **run).stdout

"""The index that tests/gpu/acceptance.sh makes out of what is installed."""

import csv
import zipfile
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
import requests
from pypi_simple import PyPISimple

from tests.gpu.installed_wheels import closure, rebuild, served, write_index
from tests.small_wheels import make_wheel


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site-packages with a torch, what it needs, and what it does not need."""
    wheels, site = tmp_path / "made", tmp_path / "site"
    needs = (
        "toolkit[math]==13",
        'sympy; extra == "optinductor"',
        'absent; sys_platform == "win32"',
    )
    files = {"torch/version.py": "cuda = None\n", "torch/lib/core.so": "core"}
    make_wheel(wheels, "torch", "2.14.1+cu130", tag="cp311-cp311-any", files=files, requires=needs)
    make_wheel(wheels, "toolkit", "13", requires=('fft; extra == "math"', 'more; extra == "rest"'))
    for name in ("fft", "more", "sympy"):
        make_wheel(wheels, name, "1.0")
    for wheel in wheels.iterdir():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    return site


def found(site: Path) -> dict[str, Distribution]:
    return {distribution.name: distribution for distribution in distributions(path=[str(site)])}


def test_what_torch_needs_here_and_no_more(site: Path) -> None:
    names = [distribution.name for distribution in closure(found(site), ["torch"])]
    assert names == ["fft", "toolkit", "torch"]


def test_a_wheel_is_rebuilt_as_it_was(site: Path, tmp_path: Path) -> None:
    """What the installer wrote is left out, and RECORD tells of what is there."""
    info = site / "torch-2.14.1+cu130.dist-info"
    (info / "INSTALLER").write_text("uv")
    with (info / "RECORD").open("a") as record:
        record.write("torch-2.14.1+cu130.dist-info/INSTALLER,,\n../../bin/torchrun,,\n")
        record.write("torch/__pycache__/version.cpython-311.pyc,,\n")
    wheel = rebuild(found(site)["torch"], tmp_path)
    assert wheel.name == "torch-2.14.1+cu130-cp311-cp311-any.whl"
    with zipfile.ZipFile(tmp_path / "made" / wheel.name) as old, zipfile.ZipFile(wheel) as new:
        assert sorted(new.namelist()) == sorted(old.namelist())
        for name in old.namelist():
            if not name.endswith("RECORD"):
                assert new.read(name) == old.read(name)
        record_name = f"{info.name}/RECORD"
        rows = [
            sorted(map(tuple, csv.reader(archive.read(record_name).decode().splitlines())))
            for archive in (old, new)
        ]
        assert rows[0] == rows[1]


def test_a_file_can_be_another(site: Path, tmp_path: Path) -> None:
    wheel = rebuild(found(site)["torch"], tmp_path, {"torch/version.py": b"cuda = '13.0'\n"})
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("torch/version.py") == b"cuda = '13.0'\n"
        record = archive.read("torch-2.14.1+cu130.dist-info/RECORD").decode()
    old = (site / "torch-2.14.1+cu130.dist-info/RECORD").read_text()
    changed = set(record.splitlines()) ^ set(old.splitlines())
    assert len(changed) == 2
    assert all(line.startswith("torch/version.py,sha256=") for line in changed)


def test_the_index_has_the_official_layout(site: Path, tmp_path: Path) -> None:
    files = tmp_path / "index/files"
    files.mkdir(parents=True)
    wheels = [rebuild(distribution, files) for distribution in closure(found(site), ["torch"])]
    write_index(tmp_path / "index", "cu130", wheels)
    with served(tmp_path / "index") as address, PyPISimple(f"{address}/whl/cu130/") as official:
        (torch,) = official.get_project_page("torch").packages
        assert torch.filename == "torch-2.14.1+cu130-cp311-cp311-any.whl"
        assert official.get_package_metadata(torch).startswith("Metadata-Version")
        official.download_package(torch, tmp_path / "again.whl")
        assert requests.get(f"{address}/simple/torch/", timeout=5).status_code == 404
        assert requests.get(f"{address}/simple/fft/", timeout=5).status_code == 200
    assert (tmp_path / "again.whl").read_bytes() == (files / torch.filename).read_bytes()

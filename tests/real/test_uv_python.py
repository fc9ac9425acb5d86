"""A host without any Python gets one by uv, from a list that a lab serves itself."""

import platform
import sys
import tarfile
from pathlib import Path

import pytest

from tests.python_list import serving, write_list
from tests.rig.fleet import HostSpec, fleet, missing
from tests.rig.fleet_deploy import FleetProject

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
SYSTEM = ("linux", platform.machine(), "gnu")
LEFT_OUT = {"__pycache__", "dist-packages", "site-packages", "test", "idlelib", "tkinter"}


def pack(directory: Path) -> Path:
    """Pack the Python that runs the tests, as python-build-standalone packs its own."""
    archive = directory / "python.tar.gz"

    def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if LEFT_OUT & set(Path(member.name).parts) else member

    base = Path(sys.base_prefix)
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add((base / f"bin/python{MINOR}").resolve(), f"python/bin/python{MINOR}")
        tar.add(base / f"lib/python{MINOR}", f"python/lib/python{MINOR}", filter=wanted)
        for library in (base / "lib").glob(f"libpython{MINOR}.so*"):
            tar.add(library, f"python/lib/{library.name}")
    return archive


def test_uv_brings_the_python_and_the_deploy_goes_on(tmp_path: Path) -> None:
    (tmp_path / "pythons").mkdir()
    archive = pack(tmp_path / "pythons")
    with (
        fleet(tmp_path / "fleet", [HostSpec("bare", python=False)]) as rig,
        serving(archive.parent, str(rig.controller)) as url,
    ):
        mirror = write_list(archive, url, platform.python_version(), *SYSTEM)
        project = FleetProject(tmp_path / "project", rig)
        project.inventory(torch="2.13.0", install_python="uv", python_mirror=mirror, python=MINOR)
        code, said = project.deploy(deploy="onboard")
        assert code == 0, said
        assert f"install Python {MINOR} by uv" in said
        entry = project.report()["bare"]
        assert (entry["status"], entry["smoke"]["passed"]) == ("changed", True)
        assert "/opt/fleetwheel/pythons/" in entry["choice"]["python"]["path"]
        code, said = project.deploy(deploy="onboard")
        assert (code, project.status()) == (0, {"bare": "unchanged"}), said


def test_a_python_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    with fleet(tmp_path / "fleet", [HostSpec("bare", python=False)]) as rig:
        project = FleetProject(tmp_path / "project", rig)
        project.inventory(install_python="uv", python_mirror="http://127.0.0.1:1/pythons.json")
        code, said = project.deploy(deploy="onboard")
        assert code == 1, said
        why = project.report()["bare"]["why"]
        assert "cannot be installed by uv" in why
        assert "name a python_mirror" in why

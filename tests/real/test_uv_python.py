"""A host without any Python gets one by uv, from a list that a lab serves itself."""

import functools
import hashlib
import json
import platform
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.rig.fleet import HostSpec, fleet, missing
from tests.rig.fleet_deploy import FleetProject

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
LEFT_OUT = {"__pycache__", "dist-packages", "site-packages", "test", "idlelib", "tkinter"}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def serving(directory: Path, address: str) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(directory))
    with ThreadingHTTPServer((address, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{address}:{server.server_port}"
        server.shutdown()


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


def listed(archive: Path, url: str) -> str:
    """Return the list with this one Python, as ``uv python install`` reads it."""
    major, minor, patch = sys.version_info[:3]
    entry = {
        "name": "cpython",
        "arch": {"family": platform.machine(), "variant": None},
        "os": "linux",
        "libc": "gnu",
        "major": major,
        "minor": minor,
        "patch": patch,
        "prerelease": "",
        "url": f"{url}/{archive.name}",
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "variant": None,
        "build": None,
    }
    return json.dumps({f"cpython-{major}.{minor}.{patch}-linux-{platform.machine()}-gnu": entry})


def test_uv_brings_the_python_and_the_deploy_goes_on(tmp_path: Path) -> None:
    (tmp_path / "pythons").mkdir()
    archive = pack(tmp_path / "pythons")
    with (
        fleet(tmp_path / "fleet", [HostSpec("bare", python=False)]) as rig,
        serving(archive.parent, str(rig.controller)) as url,
    ):
        (archive.parent / "pythons.json").write_text(listed(archive, url))
        project = FleetProject(tmp_path / "project", rig)
        way = {"install_python": "uv", "python_mirror": f"{url}/pythons.json", "python": MINOR}
        project.inventory(torch="2.13.0", **way)
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

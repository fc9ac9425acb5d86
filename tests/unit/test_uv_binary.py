"""uv for every kind of host, out of wheels from the sources, and only of pinned ones."""

import os
import platform
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv

from fleetwheel.delivery import uv_binary
from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import configured as sources
from fleetwheel.sources import store, web
from tests.serve_index import Reply, serve_index

NAMES = {
    "linux": "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
    "windows": "win_amd64",
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick_pip: None) -> Iterator[None]:
    """No sources but the test's, and a cache directory of its own."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "wheels").mkdir()
    forget()
    yield
    forget()


def forget() -> None:
    sources.pip_settings.cache_clear()
    web.forget_pages()


def make_uv(directory: Path, tag: str, program: str, version: str = uv_binary.VERSION) -> Path:
    path = directory / f"uv-{version}-py3-none-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"uv-{version}.data/scripts/{program}", f"a uv for {tag}")
        wheel.writestr(f"uv-{version}.dist-info/METADATA", "Name: uv\n")
    return path


def pin(monkeypatch: pytest.MonkeyPatch, *wheels: Path) -> None:
    hashes = frozenset(map(store.sha256, wheels))
    monkeypatch.setattr(uv_binary, "hashes", lambda: hashes)


def test_the_controllers_own_kind_is_the_installed_program() -> None:
    arch = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    own = {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)
    assert uv_binary.path(own, arch) == Path(uv.find_uv_bin())


@pytest.mark.parametrize(
    ("os", "arch", "program"), [("linux", "aarch64", "uv"), ("windows", "x86_64", "uv.exe")]
)
def test_another_kind_comes_out_of_its_wheel(
    os: str, arch: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [
        make_uv(tmp_path / "wheels", tag, "uv.exe" if system == "windows" else "uv")
        for system, tag in NAMES.items()
    ]
    make_uv(tmp_path / "wheels", NAMES[os], program, version="0.1.0")
    pin(monkeypatch, *made)
    found = uv_binary.path(os, arch)
    assert found.name == program
    assert found.read_text() == f"a uv for {NAMES[os]}"
    assert found.stat().st_mode & 0o111
    assert not list(found.parents[1].glob(".*"))
    for wheel in made:
        wheel.unlink()
    assert uv_binary.path(os, arch) == found


def test_a_wheel_that_is_not_pinned_is_refused(tmp_path: Path) -> None:
    make_uv(tmp_path / "wheels", "win_amd64", "uv.exe")
    with pytest.raises(FleetwheelError, match="another file"):
        uv_binary.path("windows", "x86_64")
    assert not list((tmp_path / "cache").rglob("uv.exe"))


@pytest.mark.parametrize(("os", "arch"), [("windows", "aarch64"), ("linux", "riscv64")])
def test_no_source_has_it(os: str, arch: str, tmp_path: Path) -> None:
    make_uv(tmp_path / "wheels", "win_amd64", "uv.exe")
    with pytest.raises(FleetwheelError, match=f"for {os} {arch}") as error:
        uv_binary.path(os, arch)
    assert f"the wheel of uv {uv_binary.VERSION}" in error.value.hint


def test_a_wheel_is_fetched_once_and_kept_under_its_hash(
    tmp_path: Path,
) -> None:
    wheel = make_uv(tmp_path, "win_amd64", "uv.exe")
    with serve_index({"cpu": [wheel]}) as index:
        url, hash = f"{index.files_url}/whl/{wheel.name}", store.sha256(wheel)
        for _ in range(2):
            found = store.fetch(url, {hash})
            assert found == tmp_path / "cache/fleetwheel/wheels" / hash / wheel.name
            web.forget_pages()
        assert len(index.pages()) == 1
        found.write_bytes(b"damaged")
        assert store.sha256(store.fetch(url, {hash})) == hash
        web.forget_pages()
        with pytest.raises(FleetwheelError, match="another file"):
            store.fetch(url, {"0" * 64})
    assert [path.name for path in (tmp_path / "cache/fleetwheel/wheels").iterdir()] == [hash]


def test_a_download_that_fails_says_so_without_its_password(tmp_path: Path) -> None:
    wheel = make_uv(tmp_path, "win_amd64", "uv.exe")
    with serve_index({"cpu": [wheel]}, login="me:secret", one_address=True) as index:
        url = f"{index.with_login('me:wrong').removesuffix('/whl')}/whl/{wheel.name}"
        with pytest.raises(FleetwheelError, match="HTTP status 401") as error:
            store.fetch(url, {store.sha256(wheel)})
        assert "wrong" not in str(error.value)
        own = sources._source("lab", index.with_login("me:secret"))
        found = store.fetch(f"{index.url}/{wheel.name}", {store.sha256(wheel)}, [own])
        assert found.read_bytes() == wheel.read_bytes()


def test_a_download_without_an_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetwheel.sources.web.WHEEL_BYTES", 2 * 2**20)
    wheel = make_uv(tmp_path, "win_amd64", "uv.exe")
    with serve_index({"cpu": [wheel]}) as index:
        index.replies[f"/whl/{wheel.name}"] = Reply(body=bytes(5 * 2**20))
        with pytest.raises(FleetwheelError, match="is larger than any wheel"):
            store.fetch(f"{index.url}/{wheel.name}", {store.sha256(wheel)})
    assert list((tmp_path / "cache/fleetwheel/wheels").iterdir()) == []


def test_the_pinned_hashes_are_those_of_the_requirements() -> None:
    required = Path("requirements.txt").read_text()
    block = re.search(r"^uv==.*(?:\n    .*)*", required, re.MULTILINE)
    assert block
    assert uv_binary.hashes() == set(re.findall("sha256:([0-9a-f]{64})", block[0]))
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert f"uv=={uv_binary.VERSION}" in project["dependencies"]

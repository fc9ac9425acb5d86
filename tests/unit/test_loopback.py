"""What uv is served on loopback, and what a lock gets out of pages that tell little."""

import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from fleetwheel.errors import FleetwheelError
from fleetwheel.lock import locking
from fleetwheel.lock.lock import Lock
from fleetwheel.sources import metadata, remote_zip, web
from fleetwheel.sources.catalogue import Catalogue, key_of
from fleetwheel.sources.configured import pip_settings
from fleetwheel.sources.listing import JSON, listing
from fleetwheel.sources.loopback import served_index
from fleetwheel.sources.wheel import Source
from tests.samples import CPU_HOST, REQUEST, choice, target_of
from tests.small_wheels import make_wheel
from tests.wheel_server import WheelServer, serve_wheels

pytestmark = pytest.mark.usefixtures("quick_pip")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No settings of pip, and a store of its own."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pip_settings.cache_clear()
    web.forget_pages()
    yield
    pip_settings.cache_clear()
    web.forget_pages()


@pytest.fixture
def wheels(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "wheels"
    ballast = {"torch/ballast": os.urandom(200_000).hex()}
    return {
        "torch": make_wheel(
            folder, "torch", "2.13.0", requires=("numpy",), requires_python=">=3.9", files=ballast
        ),
        "numpy": make_wheel(folder, "numpy", "2.4.0"),
    }


@pytest.fixture
def server(wheels: dict[str, Path]) -> Iterator[WheelServer]:
    with serve_wheels(wheels["torch"].parent) as running:
        for name, wheel in wheels.items():
            link(running, name, wheel)
        yield running


def link(server: WheelServer, name: str, wheel: Path, fragment: str = "", more: str = "") -> None:
    page = f'<a href="/files/{wheel.name}{fragment}" {more}>{wheel.name}</a>'
    server.pages[f"/simple/{name}/"] = page.encode()


def locked(server: WheelServer) -> Lock:
    source = Source(name="lab", url=f"{server.url}/simple/")
    chosen, target = choice(source, "2.13.0"), target_of(CPU_HOST)
    return locking.lock_of(locking.pick(chosen, target, [source]), chosen, target, REQUEST)


def digest(path: Path, algorithm: str = "sha256") -> str:
    return hashlib.new(algorithm, path.read_bytes()).hexdigest()


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha384", "sha512", ""])
def test_the_sha256_is_computed_where_a_page_gives_another_hash_or_none(
    server: WheelServer, wheels: dict[str, Path], algorithm: str
) -> None:
    server.ranges = False
    for name, wheel in wheels.items():
        link(server, name, wheel, f"#{algorithm}={digest(wheel, algorithm)}" if algorithm else "")
    lock = locked(server)
    assert lock.hashes == {name: {digest(wheel)} for name, wheel in wheels.items()}
    fetched = [path for path, _ in server.asked if path.endswith("torch-2.13.0-py3-none-any.whl")]
    whole = wheels["torch"].stat().st_size
    assert len(fetched) == 2, "a piece was asked for, then the whole, once"
    assert server.sent < 2.5 * whole
    assert "md5" not in lock.text


def test_a_wheel_with_another_hash_than_its_page_says_is_refused(
    server: WheelServer, wheels: dict[str, Path]
) -> None:
    link(server, "numpy", wheels["numpy"], f"#md5={'0' * 32}")
    with pytest.raises(FleetwheelError, match="has another md5 than its source says"):
        locked(server)


def test_metadata_that_is_promised_and_not_there_is_read_out_of_the_wheel(
    server: WheelServer, wheels: dict[str, Path]
) -> None:
    for name, wheel in wheels.items():
        sha256 = f"#sha256={digest(wheel)}"
        link(server, name, wheel, sha256, 'data-core-metadata="true"')
    lock = locked(server)
    assert lock.packages == {"torch": "2.13.0", "numpy": "2.4.0"}
    assert str(lock.document.packages[1].requires_python) == ">=3.9"
    assert server.sent < wheels["torch"].stat().st_size, "pieces of it were enough"
    assert ("/files/torch-2.13.0-py3-none-any.whl", "bytes=-65536") in server.asked


@pytest.mark.parametrize("key", ["core-metadata", "dist-info-metadata"])
def test_the_hash_of_metadata_is_read_under_both_of_its_names(key: str) -> None:
    file = {"filename": "a-1-py3-none-any.whl", "url": "a.whl", "hashes": {}}
    document = {"meta": {"api-version": "1.0"}, "name": "a", "files": [file]}
    file[key] = {"sha256": "a" * 64}
    text = f'<a href="a-1-py3-none-any.whl" data-{key}="sha256={"a" * 64}">a</a>'
    for content, kind in [(json.dumps(document), JSON), (text, "text/html")]:
        (found,) = listing(web.Page(content.encode(), kind, "https://a.example/")).wheels
        assert found.metadata_hash == f"sha256:{'a' * 64}"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_metadata_with_another_hash_than_the_page_says_is_refused(
    server: WheelServer, wheels: dict[str, Path], algorithm: str
) -> None:
    """As pip does: whoever changed it decides what is installed beside the wheel."""
    beside = wheels["numpy"].with_name(f"{wheels['numpy'].name}.metadata")
    beside.write_bytes(metadata.metadata_inside(wheels["numpy"]))
    said = f'data-core-metadata="{algorithm}={digest(beside, algorithm)}"'
    link(server, "numpy", wheels["numpy"], more=said)
    assert locked(server).packages["numpy"] == "2.4.0"
    web.forget_pages()
    beside.write_bytes(beside.read_bytes() + b"Requires-Dist: evil\n")
    with pytest.raises(FleetwheelError, match=f"another {algorithm} than its index says") as caught:
        locked(server)
    assert "who keeps" in caught.value.hint


def test_what_two_pages_say_of_one_address_stays_apart(server: WheelServer) -> None:
    """A page may name another source's file: its hash for it is its own word."""
    url = "/files/numpy-2.4.0-py3-none-any.whl"
    other = json.dumps(
        {
            "meta": {"api-version": "1.0"},
            "name": "acme",
            "files": [
                {
                    "filename": "acme-1.0-py3-none-any.whl",
                    "url": url,
                    "hashes": {"sha256": "0" * 64},
                }
            ],
        }
    )
    server.pages["/simple/acme/"] = other.encode()
    catalogue = Catalogue([Source(name="lab", url=f"{server.url}/simple/")])
    server.media_type = JSON
    (acme,) = catalogue.offer("acme").wheels
    server.media_type = "text/html"
    (numpy,) = catalogue.offer("numpy").wheels
    assert acme.url == numpy.url
    assert catalogue.wheel(key_of(numpy)) == numpy
    assert catalogue.wheel(key_of(acme)) == acme


def test_a_file_that_is_no_wheel_is_named(server: WheelServer, wheels: dict[str, Path]) -> None:
    wheels["numpy"].write_bytes(b"<html>Please log in</html>")
    with pytest.raises(FleetwheelError) as caught:
        locked(server)
    assert "numpy-2.4.0-py3-none-any.whl cannot be read" in str(caught.value)
    assert "torch version" not in str(caught.value.hint)


def test_a_file_that_is_not_there_is_named(server: WheelServer, wheels: dict[str, Path]) -> None:
    wheels["numpy"].unlink()
    with pytest.raises(FleetwheelError, match=r"numpy-2\.4\.0.*HTTP status 404") as caught:
        locked(server)
    assert "ask who keeps the source" in caught.value.hint


def test_versions_that_do_not_go_together_are_told_in_uvs_words(
    server: WheelServer, wheels: dict[str, Path]
) -> None:
    make_wheel(wheels["torch"].parent, "torch", "2.13.0", requires=("numpy<2",))
    with pytest.raises(FleetwheelError, match="versions of torch depend on numpy<2") as caught:
        locked(server)
    assert caught.value.hint == (
        "change the packages or the torch version that the inventory asks for"
    )


@pytest.mark.parametrize("address", ["file:///etc/passwd", "http://me:s3cret@other.example"])
def test_a_page_of_the_network_leads_to_no_file_and_lends_no_password(
    server: WheelServer, address: str
) -> None:
    page = f'<a href="{address}/numpy-9.0-py3-none-any.whl#sha256={"0" * 64}">numpy</a>'
    server.pages["/simple/numpy/"] = page.encode()
    with pytest.raises(FleetwheelError) as caught:
        locked(server)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("version", ["1.0", "1.5", "1.99"])
def test_what_is_known_of_a_newer_page_is_read_silently(version: str) -> None:
    file = {"filename": "numpy-2.4.0-py3-none-any.whl", "url": "n.whl", "hashes": {}, "new": 1}
    document = {"meta": {"api-version": version, "x": 1}, "name": "numpy", "files": [file]}
    text = (
        f'<meta name="pypi:repository-version" content="{version}">'
        '<a href="numpy-2.4.0-py3-none-any.whl">numpy</a>'
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for content, kind in [(json.dumps(document), JSON), (text, "text/html")]:
            found = listing(web.Page(content.encode(), kind, "https://a.example/"))
            assert [wheel.filename for wheel in found.wheels] == ["numpy-2.4.0-py3-none-any.whl"]


def test_nobody_else_reads_the_index(server: WheelServer) -> None:
    source = Source(name="lab", url=f"{server.url}/simple/")
    with served_index(Catalogue([source])) as url:
        page = requests.get(f"{url}numpy/", timeout=5)
        assert page.json()["files"][0]["filename"] == "numpy-2.4.0-py3-none-any.whl"
        host, secret = url.split("/")[2:4]
        for path in ("/simple/numpy/", "/x/simple/numpy/", f"/{secret[:-1]}/simple/numpy/"):
            assert requests.get(f"http://{host}{path}", timeout=5).status_code == 404
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}numpy/", timeout=5)


def test_a_wheel_with_a_directory_without_end_is_given_up(
    server: WheelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_zip, "TAIL_BYTES", 100)
    monkeypatch.setattr(remote_zip, "MOST_BYTES", 1)
    file = remote_zip.RemoteFile(f"{server.url}/files/torch-2.13.0-py3-none-any.whl", None)
    with pytest.raises(FleetwheelError, match="larger than any"):
        file.read()


def test_the_metadata_of_what_a_wheel_brings_along_is_not_its_own(tmp_path: Path) -> None:
    inside = {"acme/vendored/other-2.0.dist-info/METADATA": "Name: other\nVersion: 2.0\n"}
    wheel = make_wheel(tmp_path, "acme", "1.0", files=inside)
    assert b"Name: acme" in metadata.metadata_inside(wheel)

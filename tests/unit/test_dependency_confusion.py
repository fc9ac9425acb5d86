"""A private name on a public index: what a lock takes while the private source is not itself."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwheel.choice.choose import Refusal
from fleetwheel.choice.request import Request
from fleetwheel.deploy.decider import Decider
from fleetwheel.lock.lock import Lock
from fleetwheel.matrix.matrix import load_matrix
from fleetwheel.sources import configured, web
from fleetwheel.sources.configured import OwnSource, OwnSources, pip_settings
from tests.samples import CPU_HOST
from tests.serve_index import Index, Reply, serve_index, silent_server
from tests.small_wheels import make_wheel

pytestmark = pytest.mark.usefixtures("quick_pip")

TAG = "cp311-cp311-manylinux_2_28_x86_64"
PAGE = "/whl/private/acme-utils/"


@pytest.fixture
def indexes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Index, Index]]:
    """The inventory's private index with acme-utils 1.0, pip's public one with 99.0."""
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("FLEETWHEEL_PYTORCH_INDEX", "http://127.0.0.1:9")
    monkeypatch.setattr(web, "PROBE_S", 1.5)
    own = make_wheel(tmp_path / "own", "acme_utils", "1.0")
    public = [
        make_wheel(tmp_path / "public", "acme_utils", "99.0"),
        make_wheel(tmp_path / "public", "numpy", "2.4.0"),
        make_wheel(tmp_path / "public", "torch", "2.13.0+cpu", tag=TAG),
    ]
    with serve_index({"private": [own]}) as private, serve_index({"public": public}) as everyone:
        monkeypatch.setenv("PIP_INDEX_URL", f"{everyone.url}/public/")
        pip_settings.cache_clear()
        web.forget_pages()
        yield private, everyone
    pip_settings.cache_clear()
    web.forget_pages()


def decided(tmp_path: Path, own: OwnSources, *packages: str) -> Lock | Refusal:
    decider = Decider(tmp_path / "locks", load_matrix(), lambda text: None)
    request = Request(packages=packages)
    return decider.decide(CPU_HOST, request, None, lambda: None, extra_sources=own)


def sources(url: str, *names: str, optional: tuple[str, ...] = ()) -> OwnSources:
    return OwnSources(sources=(OwnSource(url=url, packages=names),), optional=optional)


def version(found: Lock | Refusal) -> str:
    assert isinstance(found, Lock), found
    return found.packages["acme-utils"]


def test_the_private_source_comes_first(indexes: tuple[Index, Index], tmp_path: Path) -> None:
    assert version(decided(tmp_path, sources(f"{indexes[0].url}/private/"), "acme-utils")) == "1.0"


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503])
def test_no_lock_takes_a_name_from_behind_a_source_that_gave_no_answer(
    indexes: tuple[Index, Index], tmp_path: Path, status: int
) -> None:
    private = f"{indexes[0].url}/private/"
    indexes[0].replies[PAGE] = Reply(status)
    found = decided(tmp_path, sources(private), "acme-utils")
    assert isinstance(found, Refusal)
    assert "acme-utils would come from" in found.reasons[0]
    assert f"{private} (inventory) stands before it" in found.reasons[0]
    assert f"HTTP status {status}" in found.reasons[0]
    assert found.unlocks[0].startswith(f"{private}: ")
    assert "[{url: ADDRESS, packages: [acme-utils]}]" in found.unlocks[1]
    assert f"optional_sources: ['{private}']" in found.unlocks[2]


def test_the_name_of_a_dependency_is_as_safe(indexes: tuple[Index, Index], tmp_path: Path) -> None:
    own = make_wheel(tmp_path / "own", "acme", "1.0", requires=("acme_utils",))
    indexes[0].variants = {"private": [own]}
    indexes[0].replies[PAGE] = Reply(503)
    found = decided(tmp_path, sources(f"{indexes[0].url}/private/"), "acme")
    assert isinstance(found, Refusal)
    assert "acme-utils would come from" in found.reasons[0]


def test_silence_is_no_answer(indexes: tuple[Index, Index], tmp_path: Path) -> None:
    with silent_server() as url:
        found = decided(tmp_path, sources(url), "acme-utils")
    assert isinstance(found, Refusal)
    assert f"{url} does not answer within 1.5 s" in found.reasons[0]


def test_a_directory_that_is_not_mounted_is_no_answer(
    indexes: tuple[Index, Index], tmp_path: Path
) -> None:
    found = decided(tmp_path, sources(str(tmp_path / "gone")), "acme-utils")
    assert isinstance(found, Refusal)
    assert "gone does not exist" in found.reasons[0]
    assert "mount" in found.unlocks[0]


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_absent_comes_from_the_next_source(
    indexes: tuple[Index, Index], tmp_path: Path, status: int
) -> None:
    indexes[0].replies[PAGE] = Reply(status)
    own = sources(f"{indexes[0].url}/private/")
    assert version(decided(tmp_path, own, "acme-utils")) == "99.0"


@pytest.mark.parametrize("status", [401, 403, 404, 410, 500, 503])
def test_a_bound_name_comes_from_its_source_or_not_at_all(
    indexes: tuple[Index, Index], tmp_path: Path, status: int
) -> None:
    own = sources(f"{indexes[0].url}/private/", "Acme_*")
    assert version(decided(tmp_path, own, "acme-utils")) == "1.0"
    web.forget_pages()
    indexes[0].replies[PAGE] = Reply(status)
    found = decided(tmp_path, own, "acme-utils")
    assert isinstance(found, Refusal)
    asked = f"asked: {indexes[0].url}/private/ (bound to it)"
    assert found.reasons[0] == f"no source that answers has a wheel of acme-utils; {asked}"
    assert found.unlocks
    assert "/whl/public/acme-utils/" not in indexes[1].pages()


def test_a_source_for_bound_names_is_asked_for_no_others(
    indexes: tuple[Index, Index], tmp_path: Path
) -> None:
    decided(tmp_path, sources(f"{indexes[0].url}/private/", "acme-*"), "acme-utils", "numpy")
    assert {path for path in indexes[0].pages() if path.startswith("/whl/private")} == {PAGE}


def test_an_optional_source_may_be_silent(indexes: tuple[Index, Index], tmp_path: Path) -> None:
    private = f"{indexes[0].url}/private"
    indexes[0].replies["/whl/private/numpy/"] = Reply(503)
    indexes[0].replies[PAGE] = Reply(503)
    own = sources(private, optional=(f"{private}/",))
    assert version(decided(tmp_path, own, "acme-utils", "numpy")) == "99.0"


def test_a_host_without_the_permission_does_not_get_the_lock_of_one_with_it(
    indexes: tuple[Index, Index], tmp_path: Path
) -> None:
    private = f"{indexes[0].url}/private/"
    indexes[0].replies[PAGE] = Reply(503)
    decider = Decider(tmp_path / "locks", load_matrix(), lambda text: None)
    request = Request(packages=("acme-utils",))
    for own, kind in [(sources(private, optional=(private,)), Lock), (sources(private), Refusal)]:
        found = decider.decide(CPU_HOST, request, None, lambda: None, extra_sources=own)
        assert isinstance(found, kind)


def test_the_default_index_that_nobody_configured_blocks_nothing(
    indexes: tuple[Index, Index], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With it and the official one both dead, wheels on disk are enough."""
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setattr(configured, "default_index", lambda: "http://127.0.0.1:9/simple/")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "public"))
    pip_settings.cache_clear()
    assert version(decided(tmp_path, OwnSources(), "acme-utils", "numpy")) == "99.0"


def test_a_source_distribution_holds_its_name(indexes: tuple[Index, Index], tmp_path: Path) -> None:
    indexes[0].replies[PAGE] = Reply(200, b'<a href="acme_utils-1.0.tar.gz">acme_utils</a>')
    found = decided(tmp_path, sources(f"{indexes[0].url}/private/"), "acme-utils")
    assert isinstance(found, Refusal)
    assert "pip wheel --no-deps --wheel-dir DIRECTORY acme-utils==" in found.unlocks[0]


@pytest.mark.parametrize("file", ["acme_utils-1.0-py3.11.egg", "acme-utils-1.0-1.noarch.rpm"])
def test_a_file_of_another_format_holds_its_name_and_the_refusal_says_what_stands_behind(
    indexes: tuple[Index, Index], tmp_path: Path, file: str
) -> None:
    indexes[0].replies[PAGE] = Reply(200, f'<a href="{file}">{file}</a>'.encode())
    found = decided(tmp_path, sources(f"{indexes[0].url}/private/"), "acme-utils")
    assert isinstance(found, Refusal)
    assert f"acme-utils has no wheel in {indexes[0].url}/private/" in found.reasons[0]
    assert f"{indexes[1].url}/public/ has one, but stands behind it" in found.reasons[0]
    assert "packages: [acme-utils]" in found.unlocks[1]


@pytest.mark.parametrize(
    "page",
    [
        b"<title>Sign in</title><form><input name=password></form>",
        b'<a href="/">Home</a>',
        b"Our servers are taking a rest.",
        b'<a href="numpy-2.4.0-py3-none-any.whl">numpy</a>',
    ],
)
def test_a_page_that_is_not_that_of_the_name_lets_no_other_source_have_it(
    indexes: tuple[Index, Index], tmp_path: Path, page: bytes
) -> None:
    indexes[0].replies[PAGE] = Reply(200, page)
    found = decided(tmp_path, sources(f"{indexes[0].url}/private/"), "acme-utils")
    assert isinstance(found, Refusal)
    assert "stands before it and gave no answer" in found.reasons[0]


def test_a_directory_or_page_of_links_that_is_gone_lets_no_other_source_have_a_name(
    indexes: tuple[Index, Index], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for url in (str(tmp_path / "empty"), f"{indexes[0].url}/gone.html"):
        found = decided(tmp_path, sources(url), "acme-utils")
        assert isinstance(found, Refusal), url
        assert "stands before it and gave no answer" in found.reasons[0]


def test_a_page_that_unpacks_without_end_reaches_nobody(
    indexes: tuple[Index, Index], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PAGE_BYTES", 1_000_000)
    bomb = gzip.compress(b" " * 50_000_000)
    headers = {"Content-Type": "text/html", "Content-Encoding": "gzip"}
    indexes[0].replies[PAGE] = Reply(200, bomb, headers)
    found = decided(tmp_path, sources(f"{indexes[0].url}/private/"), "acme-utils")
    assert isinstance(found, Refusal)
    assert "is larger than 1.0 MB" in found.reasons[0]

"""The survey: what sources of every layout hold, and sources that are slow, broken or hostile."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel import __version__
from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import store, web
from fleetwheel.sources.configured import pip_settings, unfollowed
from fleetwheel.sources.listing import JSON, listing
from fleetwheel.sources.metadata import metadata
from fleetwheel.sources.remedy import source_remedy
from fleetwheel.sources.survey import Survey, sizes, survey
from fleetwheel.sources.web import Page
from fleetwheel.sources.wheel import Source
from tests.serve_index import (
    Index,
    Reply,
    address_of,
    callers,
    serve_index,
    silent_listener,
    silent_server,
)
from tests.small_wheels import make_wheel

TAG = "cp311-cp311-manylinux_2_28_x86_64"
PROJECTS = ("torch", "torchvision")
LOOPBACK = ip_address("127.0.0.1")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Begin with nothing asked, no settings of pip and no proxy."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    web.forget_pages()
    yield
    web.forget_pages()


@pytest.fixture(autouse=True, scope="module")
def settings_of_pip() -> Iterator[None]:
    """Have pip asked at most once, and leave nothing of it for other tests."""
    pip_settings.cache_clear()
    yield
    pip_settings.cache_clear()


@pytest.fixture
def wheels(tmp_path: Path) -> dict[str, list[Path]]:
    """Small wheels by variant, as the official index has them."""
    folder = tmp_path / "wheels"
    return {
        "cpu": [
            make_wheel(folder, "torch", "2.13.0+cpu", tag=TAG),
            make_wheel(folder, "torch", "2.13.0", tag="cp311-none-macosx_11_0_arm64"),
        ],
        "cu130": [
            make_wheel(folder, "torch", "2.14.1+cu130", tag=TAG),
            make_wheel(folder, "torchvision", "0.29.0+cu130", tag=TAG),
        ],
    }


@pytest.fixture
def index(wheels: dict[str, list[Path]]) -> Iterator[Index]:
    with serve_index(wheels) as running:
        yield running


def at(url: str, variant: str | None = None, *, flat: bool = False) -> Source:
    return Source(name="test", url=url, variant=variant, layout="flat" if flat else "simple")


def versions(found: Survey) -> list[str]:
    return [f"{wheel.project} {wheel.version}" for wheel in found.wheels]


def html(*links: str) -> Page:
    return Page("\n".join(links).encode(), "text/html", "https://a.example/simple/torch/")


def test_the_official_layout(index: Index, wheels: dict[str, list[Path]]) -> None:
    found = survey([at(f"{index.url}/cu130/", "cu130")], PROJECTS)
    assert versions(found) == ["torch 2.14.1+cu130", "torchvision 0.29.0+cu130"]
    wheel = found.wheels[0]
    assert wheel.filename == wheels["cu130"][0].name
    assert wheel.url == f"{index.files_url}/whl/{wheel.filename.replace('+', '%2B')}"
    assert wheel.sha256 is not None and len(wheel.sha256) == 64
    assert wheel.size is None
    assert not found.warnings and not found.silent


def test_wheels_without_a_label_are_for_cpu(index: Index) -> None:
    found = survey([at(f"{index.url}/cpu", "cpu")], ["Torch"])
    assert versions(found) == ["torch 2.13.0+cpu", "torch 2.13.0"]


def test_a_general_listing_holds_nothing_of_an_unknown_variant(index: Index) -> None:
    assert not survey([at(f"{index.url}/cu999/", "cu999")], PROJECTS).wheels
    assert len(survey([at(f"{index.url}/cu999/")], PROJECTS).wheels) == 4


@pytest.mark.parametrize("status", [404, 410])
def test_a_missing_page_means_that_nothing_is_held(index: Index, status: int) -> None:
    index.replies["/whl/cpu/torch/"] = Reply(status)
    assert survey([at(f"{index.url}/cpu/")], ["torch"]) == Survey()


def test_what_is_forbidden_is_absent_in_the_official_index_alone(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.replies["/whl/cpu/torch/"] = Reply(403)
    assert survey([at(f"{index.url}/cpu/", "cpu")], ["torch"]) == Survey()
    web.forget_pages()
    assert "HTTP status 403" in survey([at(f"{index.url}/cpu/")], ["torch"]).warnings[0]
    web.forget_pages()
    monkeypatch.setenv("FLEETWHEEL_PYTORCH_INDEX", index.url)
    assert survey([at(f"{index.url}/cpu/")], ["torch"]) == Survey()


def test_json_tells_sizes(wheels: dict[str, list[Path]]) -> None:
    with serve_index(wheels, as_json=True) as index:
        found = survey([at(f"{index.url}/cu130/")], PROJECTS)
    assert versions(found) == ["torch 2.14.1+cu130", "torchvision 0.29.0+cu130"]
    assert [w.size for w in found.wheels] == [path.stat().st_size for path in wheels["cu130"]]
    assert all(wheel.sha256 for wheel in found.wheels)


def test_a_directory_of_wheels(wheels: dict[str, list[Path]]) -> None:
    folder = wheels["cpu"][0].parent
    (folder / "torch-2.0.tar.gz").touch()
    (folder / "torch-9.9-broken.whl").touch()
    (folder / "torch-9.9-py3-none-any.whl").mkdir()
    found = survey([at(str(folder), flat=True)], ["torch"])
    assert versions(found) == ["torch 2.13.0+cpu", "torch 2.13.0", "torch 2.14.1+cu130"]
    assert found.wheels[0].url == wheels["cpu"][0].as_uri()
    assert found.wheels[0].size == wheels["cpu"][0].stat().st_size
    assert survey([at(folder.as_uri(), flat=True)], ["torch"]).wheels[0].url == found.wheels[0].url


def test_an_index_on_disk(tmp_path: Path, wheels: dict[str, list[Path]]) -> None:
    name = wheels["cu130"][0].name
    (tmp_path / "simple/torch").mkdir(parents=True)
    (tmp_path / "simple/torch/index.html").write_text(
        f'<a href="../../wheels/{name.replace("+", "%2B")}#sha256={"A" * 64}">x</a>'
        '<a href="../../wheels/torch-9.9-py3-none-any.whl">not there</a>'
    )
    found = survey([at((tmp_path / "simple").as_uri())], PROJECTS)
    assert versions(found) == ["torch 2.14.1+cu130"]
    assert (found.wheels[0].sha256, found.wheels[0].url) == ("a" * 64, wheels["cu130"][0].as_uri())
    assert found.wheels[0].size == wheels["cu130"][0].stat().st_size
    assert not found.silent


@pytest.mark.parametrize("flat", [True, False])
def test_a_directory_that_is_not_there(tmp_path: Path, flat: bool) -> None:
    source = at(str(tmp_path / "gone"), flat=flat)
    found = survey([source], PROJECTS)
    assert found.silent == (source,)
    assert found.warnings == (f"{tmp_path}/gone does not exist; going on without it",)


def test_a_page_of_links(index: Index, tmp_path: Path) -> None:
    page = b'<a href="cpu/torch-2.13.0%2Bcpu-py3-none-any.whl">cpu/torch-2.13.0+cpu-py..&gt;</a>'
    index.replies["/whl/all.html"] = Reply(200, page)
    found = survey([at(f"{index.url}/all.html", flat=True)], PROJECTS)
    url = f"{index.url}/cpu/torch-2.13.0%2Bcpu-py3-none-any.whl"
    assert [wheel.url for wheel in found.wheels] == [url]
    (tmp_path / "all.html").write_text(f'<a href="{url}">x</a>')
    found = survey([at(str(tmp_path / "all.html"), flat=True)], PROJECTS)
    assert [wheel.url for wheel in found.wheels] == [url]


def test_wheels_come_in_the_order_of_the_sources(index: Index, tmp_path: Path) -> None:
    folder = make_wheel(tmp_path / "own", "torch", "2.10.0").parent
    sources = [at(f"{index.url}/cu130/"), at(str(folder), flat=True), at(f"{index.url}/cpu/")]
    found = survey(sources, ["torch"])
    assert [wheel.source for wheel in found.wheels] == [*sources, sources[2]]


@pytest.mark.parametrize(
    "link",
    [
        '<a href="torch-2.13.0.tar.gz">torch-2.13.0.tar.gz</a>',
        '<a href="torch-2.13.0-py3-none-any.whl" data-yanked="">yanked</a>',
        '<a href="torch-2.13.0-py3-none-any.whl" data-yanked="broken">yanked</a>',
        '<a href="other/">torch-2.13.0-py3-none-any.whl</a>',
        '<a href="torch-2.13.0-py3.whl">too short</a>',
        '<a href="torch-$(id)-py3-none-any.whl">no version</a>',
        '<a href="javascript:torch-2.13.0-py3-none-any.whl">x</a>',
        '<a href="ftp://a.example/torch-2.13.0-py3-none-any.whl">x</a>',
        '<a href="%00/">x</a>',
        "<a>torch-2.13.0-py3-none-any.whl</a>",
        f'<a href="torch-2.13.0-{".".join(["py3"] * 300)}-none-any.whl">too long</a>',
    ],
)
def test_links_that_are_left_out(link: str) -> None:
    good = '<a href="https://a.example/torch-2.10.0-py3-none-any.whl">good</a>'
    assert [file.filename for file in listing(html(good, link)).wheels] == [
        "torch-2.10.0-py3-none-any.whl"
    ]


@pytest.mark.parametrize("link", ['<a href="{}">x</a>', '<base href="{}"><a href="">x</a>'])
def test_the_network_cannot_point_to_a_file_of_this_machine(
    wheels: dict[str, list[Path]], link: str
) -> None:
    page = html(link.format(wheels["cpu"][0].as_uri()))
    assert listing(page).wheels == ()
    assert len(listing(page._replace(url="file:///srv/index.html")).wheels) == 1


def test_other_projects_on_a_page_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    for project in ("torch", "torchaudio"):
        make_wheel(tmp_path, project, "2.10.0")
    page = '<a href="../{0}-2.10.0-py3-none-any.whl">x</a>'.format
    (tmp_path / "torch/index.html").write_text(page("torchaudio") + page("torch"))
    assert versions(survey([at(tmp_path.as_uri())], ["torch"])) == ["torch 2.10.0"]


@pytest.mark.parametrize("fragment", ["", "#sha256=", "#sha256=$(id)", "#md5=" + "a" * 64])
def test_only_a_sha256_is_one(fragment: str) -> None:
    (file,) = listing(html(f'<a href="torch-2.10.0-py3-none-any.whl{fragment}">x</a>')).wheels
    assert (file.sha256, file.url.partition("#")[1]) == (None, "")


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a-1" + "-x" * 20_000 + ".whl", "text/html"), ("a-1" + "-x" * 20_000 + ".whl", JSON)],
)
def test_a_long_name_costs_no_time(name: str, media_type: str) -> None:
    files = [{"filename": name, "url": name, "hashes": {}}]
    document = {"meta": {"api-version": "1.0"}, "name": "torch", "files": files}
    text = json.dumps(document) if media_type == JSON else f'<a href="{name}">{name}</a>'
    begin = time.process_time()
    assert listing(Page(text.encode(), media_type, "https://a.example/")).wheels == ()
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    "page",
    [
        html('<a href="http://[torch-2.13.0-py3-none-any.whl">x</a>'),
        html('<meta name="pypi:repository-version" content="9.0">'),
        Page(b"{", JSON, "https://a.example/"),
        Page(b'{"files": 1}', JSON, "https://a.example/"),
        Page(b"[" * 100_000, JSON, "https://a.example/"),
        Page(b"text", "application/octet-stream", "https://a.example/"),
    ],
)
def test_a_page_that_cannot_be_read(page: Page) -> None:
    with pytest.raises(FleetwheelError, match=r"https://a\.example/.* is no index page"):
        listing(page)


LINKS = st.lists(
    st.builds(
        '<a href="{}{}" {}>{}</a>'.format,
        st.sampled_from(["", "file:///", "//", "http://", "http://["]),
        st.text() | st.just("torch-2.13.0%2Bcpu-py3-none-any.whl#sha256=0"),
        st.sampled_from(["", "class=a", "data-yanked", "data-core-metadata=sha256=0"]) | st.text(),
        st.text(),
    )
).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
FILES = st.fixed_dictionaries(
    {"filename": st.just("torch-2.13.0-py3-none-any.whl") | VALUES, "url": st.text() | VALUES},
    optional={"hashes": VALUES, "size": VALUES, "yanked": VALUES},
)
DOCUMENTS = st.fixed_dictionaries(
    {"meta": st.just({"api-version": "1.0"}) | VALUES, "name": st.just("torch") | VALUES},
    optional={"files": st.lists(FILES | VALUES) | VALUES},
)


@given(
    st.text().map(str.encode) | st.binary() | LINKS.map(lambda text: text.encode(errors="replace")),
    st.sampled_from(["text/html", JSON, ""]),
)
def test_any_page_is_read_or_refused(content: bytes, media_type: str) -> None:
    try:
        files = listing(Page(content, media_type, "https://a.example/")).wheels
    except FleetwheelError:
        return
    assert all(file.url.startswith(("http://", "https://")) for file in files)


@given(DOCUMENTS | VALUES)
def test_any_json_is_read_or_refused(document: object) -> None:
    try:
        files = listing(Page(json.dumps(document).encode(), JSON, "https://a.example/")).wheels
    except FleetwheelError:
        return
    assert all(file.url.startswith(("http://", "https://")) for file in files)


def test_a_redirect_to_a_file_is_refused(index: Index, wheels: dict[str, list[Path]]) -> None:
    page = wheels["cpu"][0].parent / "page.html"
    page.write_text('<a href="https://a.example/torch-9.9-py3-none-any.whl">x</a>')
    index.replies["/whl/cpu/torch/"] = Reply(302, headers={"Location": page.as_uri()})
    found = survey([at(f"{index.url}/cpu/")], ["torch"])
    assert not found.wheels and len(found.silent) == 1
    assert "gives no answer that can be used" in found.warnings[0]


def test_links_are_relative_to_where_a_redirect_leads(index: Index) -> None:
    index.replies["/whl/cpu/torch/"] = Reply(302, headers={"Location": "/moved/here/"})
    index.replies["/moved/here/"] = Reply(200, b'<a href="torch-2.10.0-py3-none-any.whl">x</a>')
    (wheel,) = survey([at(f"{index.url}/cpu/")], ["torch"]).wheels
    assert wheel.url == index.url.replace("/whl", "/moved/here/torch-2.10.0-py3-none-any.whl")


def test_a_page_that_is_too_large_is_refused(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PAGE_BYTES", 100_000)
    index.replies["/whl/cpu/torch/"] = Reply(200, b" " * 100_001)
    (tmp_path / "page.html").write_bytes(b" " * 100_001)
    found = survey([at(f"{index.url}/cpu/"), at(f"{tmp_path}/page.html", flat=True)], ["torch"])
    assert len(found.silent) == 2
    assert all("is larger than" in warning for warning in found.warnings)


def test_an_error_of_one_page_silences_the_source(index: Index) -> None:
    """uv would stumble over the same page, so nothing may be chosen from there."""
    index.replies["/whl/cu130/torchvision/"] = Reply(503)
    broken, sound = at(f"{index.url}/cu130/"), at(f"{index.url}/cpu/")
    found = survey([broken, sound], PROJECTS)
    assert found.silent == (broken,)
    assert {wheel.source for wheel in found.wheels} == {sound}
    assert found.warnings == (
        f"{index.url}/cu130/torchvision/ answers with HTTP status 503; going on without it",
    )


def test_credentials_are_used_and_never_shown(wheels: dict[str, list[Path]]) -> None:
    with serve_index(wheels, login="user:se@cret") as index:
        index.replies["/whl/cpu/torchvision/"] = Reply(500)
        secret = index.with_login("user:se%40cret")
        found = survey([at(f"{secret}/cu130/"), at(f"{secret}/cpu/")], PROJECTS)
        refused = survey([at(f"{index.with_login('user:wrong')}/cu130/")], PROJECTS)
    assert versions(found) == ["torch 2.14.1+cu130", "torchvision 0.29.0+cu130"]
    assert len(found.silent) == 1
    shown = "".join([*found.warnings, *refused.warnings, *(wheel.url for wheel in found.wheels)])
    assert "HTTP status 401" in shown
    assert not any(word in shown for word in ("user", "cret", "wrong"))


def test_wheels_beside_a_page_with_credentials_have_none(index: Index) -> None:
    page = b'<a href="torch-2.10.0-py3-none-any.whl">x</a>'
    index.replies["/whl/all.html"] = Reply(200, page)
    source = at(f"{index.with_login('user:secret')}/all.html", flat=True)
    (wheel,) = survey([source], ["torch"]).wheels
    assert wheel.url == f"{index.url}/torch-2.10.0-py3-none-any.whl"


def test_credentials_that_come_from_an_index_are_not_kept(index: Index) -> None:
    secret = index.with_login("user:secret")
    index.replies["/whl/cpu/torch/"] = Reply(302, headers={"Location": f"{secret}/broken"})
    index.replies["/whl/broken"] = Reply(200, b'<a href="http://[">')
    assert "secret" not in survey([at(f"{index.url}/cpu/")], ["torch"]).warnings[0]
    (file,) = listing(
        html('<a href="https://user:secret@b/torch-2.10.0-py3-none-any.whl">x</a>')
    ).wheels
    assert file.url == "https://b/torch-2.10.0-py3-none-any.whl"


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    """Make a key and a certificate for 127.0.0.1 that nobody else has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fleetwheel tests")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(LOOPBACK)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path / "tls.pem"
    path.write_bytes(pem + signed.public_bytes(serialization.Encoding.PEM))
    return path


def test_certificates_of_pip_are_trusted_and_others_are_not(
    wheels: dict[str, list[Path]], tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_index(wheels, tls=tls) as index:
        source = at(f"{index.url}/cu130/")
        assert "CERTIFICATE_VERIFY_FAILED" in survey([source], ["torch"]).warnings[0]
        web.forget_pages()
        monkeypatch.setenv("PIP_CERT", str(tls))
        pip_settings.cache_clear()
        assert versions(survey([source], ["torch"])) == ["torch 2.14.1+cu130"]
        index.replies["/whl/cpu/torch/"] = Reply(302, headers={"Location": index.files_url})
        index.replies["/"] = Reply(200, b'<a href="torch-9.9-py3-none-any.whl">x</a>')
        (warning,) = survey([at(f"{index.url}/cpu/")], ["torch"]).warnings
        assert "redirects to an address without encryption" in warning
    pip_settings.cache_clear()


def test_what_pip_trusts_without_a_certificate_is_refused_and_named(
    wheels: dict[str, list[Path]], tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
    pip_settings.cache_clear()
    with serve_index(wheels, tls=tls) as index:
        (warning,) = survey([at(f"{index.url}/cu130/")], ["torch"]).warnings
    assert "CERTIFICATE_VERIFY_FAILED" in warning
    assert "global.cert" in source_remedy(warning)
    said = unfollowed()
    assert said and "trusted-host" in said and "give pip the authority" in said
    pip_settings.cache_clear()


def test_the_proxy_of_pip_is_used(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source's own host does not exist: the proxy answers for it."""
    monkeypatch.setenv("PIP_PROXY", index.files_url)
    pip_settings.cache_clear()
    page = b'<a href="torch-2.10.0-py3-none-any.whl">x</a>'
    index.replies["http://wheels.invalid/simple/torch/"] = Reply(200, page)
    address = "http://wheels.invalid/simple/torch/torch-2.10.0-py3-none-any.whl"
    index.replies[address] = Reply(200, b"x" * 17)
    (wheel,) = survey([at("http://wheels.invalid/simple/")], ["torch"]).wheels
    assert wheel.url == address
    assert sizes([wheel.url]) == {address: 17}
    assert store.keep(wheel.url).read_bytes() == b"x" * 17
    pip_settings.cache_clear()


def test_requests_say_who_asks(index: Index) -> None:
    survey([at(f"{index.url}/cpu/")], ["torch"])
    assert {asked.headers["User-Agent"] for asked in index.asked} == {f"fleetwheel/{__version__}"}


def test_every_page_is_asked_for_once(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETWHEEL_PYTORCH_INDEX", index.url)
    sources = [at(f"{index.url}/cpu/"), at(f"{index.url}/cpu", "cpu"), at(f"{index.url}/cu130/")]
    first = survey(sources, PROJECTS)
    assert survey(sources, PROJECTS) == first
    assert sorted(index.pages()) == [
        f"/whl/{variant}/{project}/" for variant in ("cpu", "cu130") for project in PROJECTS
    ]
    assert [asked.path for asked in index.asked if asked.method == "HEAD"] == ["/"]
    web.forget_pages()
    survey(sources, PROJECTS)
    assert len(index.pages()) == 8


def test_a_silent_host_is_given_up_once(monkeypatch: pytest.MonkeyPatch, index: Index) -> None:
    monkeypatch.setattr(web, "PROBE_S", 2.0)
    with silent_listener() as listener:
        url = address_of(listener)
        secret = url.replace("://", "://user:secret@")
        dead = [at(f"{secret}/{variant}/") for variant in ("cpu", "cu126", "cu130")]
        found = survey([*dead, at(f"{index.url}/cpu/")], PROJECTS)
        again = survey([*dead, at(f"{url}/cu132/")], PROJECTS)
        assert sizes([f"{url}/torch-2.10.0-py3-none-any.whl"]).popitem()[1] is None
        assert callers(listener) == 1
    assert found.silent == tuple(dead)
    assert found.warnings == (f"{url} does not answer within 2 s; going on without it",)
    assert again.warnings == found.warnings
    assert versions(found) == ["torch 2.13.0+cpu", "torch 2.13.0"]


def test_a_host_that_refuses_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PROBE_S", 60.0)
    with silent_listener() as listener:
        url = address_of(listener)
    begin = time.monotonic()
    found = survey([at(url)], PROJECTS)
    assert time.monotonic() - begin < 30, "half of what a silent one costs"
    assert found.warnings == (f"{url} does not answer: Connection refused; going on without it",)


def test_a_page_that_does_not_come_is_given_up(
    monkeypatch: pytest.MonkeyPatch, index: Index
) -> None:
    monkeypatch.setattr(web, "PROBE_S", 1.5)
    monkeypatch.setattr(web, "PAGE_S", 0.2)
    index.replies["/whl/cpu/torch/"] = Reply(200, delay=5)
    found = survey([at(f"{index.url}/cpu/"), at(f"{index.url}/cu130/")], ["torch"])
    assert found.warnings == (f"{index.url}/cpu/ takes longer than 1.7 s; going on without it",)
    assert versions(found) == ["torch 2.14.1+cu130"]


def test_sizes_by_stat_and_by_head(index: Index, wheels: dict[str, list[Path]]) -> None:
    path = wheels["cpu"][0]
    remote = f"{index.files_url}/whl/{path.name.replace('+', '%2B')}"
    missing, gone = f"{index.files_url}/whl/none.whl", f"{path.as_uri()}.gone"
    index.replies["/whl/none.whl"] = Reply(403)
    expected = {
        path.as_uri(): path.stat().st_size,
        remote: path.stat().st_size,
        missing: None,
        gone: None,
        "": None,
        "http://[": None,
    }
    assert sizes(list(expected)) == expected
    before = len(index.asked)
    assert sizes([remote]) == {remote: path.stat().st_size}
    assert len(index.asked) == before
    with pytest.raises(FleetwheelError, match=r"lost\.whl answers with HTTP status 404"):
        sizes([f"{index.files_url}/whl/lost.whl"])


def test_sources_lend_their_credentials_to_sizes(wheels: dict[str, list[Path]]) -> None:
    with serve_index(wheels, login="user:secret") as index:
        address = f"{index.url}/cpu/torch/"
        assert sizes([address]) == {address: None}
        found = sizes([address], [at(index.with_login("user:secret"))])
    assert found[address]


def test_what_one_login_sees_is_no_answer_for_another(wheels: dict[str, list[Path]]) -> None:
    """Hosts of one run may have sources of their own."""
    wheel = wheels["cpu"][0]
    with serve_index(wheels, login="user:secret", one_address=True) as index:
        open_, closed = f"{index.url}/cpu/", f"{index.with_login('user:secret')}/cpu/"
        assert survey([at(open_)], ["torch"]).silent
        (found, *_) = survey([at(closed)], ["torch"]).wheels
        with pytest.raises(FleetwheelError, match="HTTP status 401"):
            store.fetch(found.url, {store.sha256(wheel)}, [at(open_)])
        kept = store.fetch(found.url, {store.sha256(wheel)}, [at(closed)])
        with pytest.raises(FleetwheelError, match="401"):
            metadata(found, [at(open_)])
        assert metadata(found, [at(closed)]).startswith(b"Metadata-Version")
    assert kept.read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize("place", ["pages", "files"])
def test_a_redirect_takes_no_login_to_another_server(
    wheels: dict[str, list[Path]], place: str
) -> None:
    """Another port is another server."""
    wheel = wheels["cpu"][0]
    with serve_index(wheels, login="user:secret") as index, serve_index(wheels) as stranger:
        source = at(f"{index.with_login('user:secret')}/cpu/")
        if place == "pages":
            there = f"{stranger.url}/cpu/torch/"
            index.replies["/whl/cpu/torch/"] = Reply(302, headers={"Location": there})
            assert survey([source], ["torch"]).wheels
        else:
            there = f"{stranger.files_url}/{wheel.name}"
            index.replies["/whl/x.whl"] = Reply(302, headers={"Location": there})
            store.fetch(f"{index.url}/x.whl", {store.sha256(wheel)}, [source])
    asked = [request for request in index.asked if request.method == "GET"]
    assert all("Authorization" in request.headers for request in asked)
    assert stranger.asked
    assert not any("Authorization" in request.headers for request in stranger.asked)


def test_the_official_index_and_another_source_at_its_address_are_asked_apart(
    index: Index,
) -> None:
    """403 means another thing in each."""
    index.replies["/whl/cpu/torch/"] = Reply(403)
    assert survey([at(f"{index.url}/cpu/", "cpu")], ["torch"]) == Survey()
    assert survey([at(f"{index.url}/cpu/")], ["torch"]).silent


@pytest.mark.parametrize("first", ["", "from gevent import monkey; monkey.patch_all()"])
def test_a_program_ends_while_a_host_is_silent(index: Index, first: str) -> None:
    """Also inside pyinfra, where gevent has replaced threads and sockets."""
    program = (
        f"{first}\nimport sys; from fleetwheel.sources import web\n"
        "web.PROBE_S, web.READ_S = 3.0, 60.0\n"
        "from fleetwheel.sources.configured import pip_settings; pip_settings()\n"
        "from fleetwheel.sources.survey import survey\n"
        "from fleetwheel.sources.wheel import Source\n"
        "found = survey([Source(name='t', url=url) for url in sys.argv[1:]], ['torch'])\n"
        "print(len(found.wheels), len(found.silent))"
    )
    with silent_server() as url:
        command = [sys.executable, "-c", program, f"{index.url}/cu130/", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.stdout == "1 1\n", done.stderr

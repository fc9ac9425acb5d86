"""When a source has a name, when it says that it lacks it, and when that is no answer at all."""

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from time import thread_time
from typing import Any

import pytest

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import web
from fleetwheel.sources.listing import JSON, Listing, holds, is_of, listing
from fleetwheel.sources.survey import ask_sources
from fleetwheel.sources.wheel import Source
from tests.serve_index import Index, Reply, serve_index
from tests.small_wheels import make_wheel

pytestmark = pytest.mark.usefixtures("quick_pip")

WHEEL = "acme_utils-1.0-py3-none-any.whl"
OTHER = "numpy-2.4.0-py3-none-any.whl"
HAS, LACKS = "has it", "lacks it"
EMPTY = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
LOGIN = "<html><title>Sign in</title><form action=/login><input name=password></form></html>"


def links(*names: str) -> str:
    return "".join(f'<a href="../../files/{name}">{name}</a><br/>' for name in names)


def judged(page: web.Page, project: str = "acme-utils", flat: bool = False) -> str:
    """Return what a page means, or why it is no answer."""
    try:
        held = holds(listing(page, project), project, "flat" if flat else "simple")
    except FleetwheelError as error:
        return error.message
    return HAS if held else LACKS


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        # files of the name, in whatever format, and yanked ones too
        (links(WHEEL), HAS),
        (links("acme_utils-1.0.tar.gz"), HAS),
        (f'<a href="{WHEEL}" data-yanked="broken">x</a>', HAS),
        (links("acme_utils-1.0-py3.11.egg"), HAS),
        (links("acme-utils-1.0-1.noarch.rpm"), HAS),
        (links("acme_utils-1.0.win-amd64-py3.7.exe"), HAS),
        (links("acme-utils_1.0_amd64.deb"), HAS),
        (links("acme_utils-1.0.tar.bz2"), HAS),
        (links("acme_utils-1.0-broken.whl"), HAS),
        (links(WHEEL) + LOGIN, HAS),
        # an index page without a file
        ("<html></html>", LACKS),
        (EMPTY.format("Links for acme-utils"), LACKS),
        (EMPTY.format("lab/dev: links for Acme_Utils"), LACKS),
        (EMPTY.format("acme.utils"), LACKS),
        # what a server sends that is failing
        ("", "ends before </html>"),
        (" \n", "ends before </html>"),
        ("<html><h1>Links for acme-utils</h1><a hr", "ends before </html>"),
        ("<html><title>Links for acme-utils</title><body>", "ends before </html>"),
        (EMPTY.format("Error: could not look up acme-utils"), "says other things"),
        (EMPTY.format("Sign in to see acme-utils"), "says other things"),
        (EMPTY.format("acme-utils server: down for maintenance"), "says other things"),
        ('{"error": "acme-utils: not authorized"}', "ends before </html>"),
        ("<" * 150_001, "has more than 150,000 elements"),
        (f"{links(WHEEL)}<!-- {'x' * 2**20}", "a tag, comment or script of more than 1,048,576"),
        (f'<meta name="pypi:repository-version" content="1.9">{links(WHEEL)}', HAS),
        (
            f'<meta name="pypi:repository-version" content="2.0">{links(WHEEL)}',
            "known version: '2.0'",
        ),
        ("<br/>".join([links(WHEEL)] * 2), HAS),
        # anything else
        (LOGIN, "it asks for input, as a login page does"),
        ("<title>Links for acme-utils</title><form><input></form>", "it asks for input"),
        (EMPTY.format("Service unavailable"), "says other things"),
        ("Please log in", "ends before </html>"),
        ('<meta http-equiv="Refresh" content="0; url=/login">', "more on it than a heading"),
        ('<body onload="location=1"></body>', "more on it than a heading"),
        ("<div id=root></div><script src=app.js></script>", "more on it than a heading"),
        (f"<h1>acme-utils</h1>{' ' * 2**16}", "more on it than a heading"),
        ('<a href="../">..</a>', "its links lead to no wheel"),
        ('<a href="/simple/acme-utils/">acme-utils</a>', "its links lead to no wheel"),
        (links("download.php?file=acme_utils-1.0-py3-none-any.whl"), HAS),
        (links(OTHER), "lists files of other names alone"),
        (links("acme-1.0.egg"), "lists files of other names alone"),
    ],
)
def test_what_the_page_of_a_package_means(text: str, meaning: str) -> None:
    page = web.Page(text.encode(), "text/html", "https://lab.example/simple/acme-utils/")
    assert meaning in judged(page)


MANY = 40_000


@pytest.mark.parametrize(
    "text",
    [
        "&" * 2**21,
        "&#1;" * MANY,
        "<a href=x>" * MANY,
        "<br>" * MANY,
        "<meta>" * MANY,
        "<!-- >" * MANY,
        "<![CDATA[ >" * MANY,
        "<br" * MANY,
        "<a '" * MANY,
        f"<a {'a ' * MANY}>",
        f"<script>{'</a>' * MANY}",
    ],
    ids=lambda text: text[:9],
)
def test_no_page_holds_up_the_work_of_others(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each took minutes, or time that grew with the square of its length, and never let go."""
    turns: list[float] = []
    monkeypatch.setattr(time, "sleep", lambda seconds: turns.append(thread_time()))
    began = thread_time()
    page = web.Page((text + " " * 2**18).encode(), "text/html", "https://lab.example/acme-utils/")
    judged(page)
    assert len(turns) >= 4
    assert max(after - before for before, after in pairwise([began, *turns])) < 2
    assert thread_time() - began < 5


@pytest.mark.parametrize(
    ("content", "charset"),
    [
        ('<meta charset="latin1"><a href="é/{0}">x</a>'.encode("latin-1"), ""),
        ('<a href="é/{0}">x</a>'.encode("latin-1"), "ISO-8859-1"),
        ('<a href="é/{0}">x</a>'.encode(), "utf-8"),
        ('<a href="é/{0}">x</a>'.encode(), "punycode"),
        ('<a href="é/{0}">x</a>'.encode(), "no-such"),
        ('<a href="é/{0}">x</a>'.encode(), ""),
    ],
)
def test_a_page_is_read_in_its_charset(content: bytes, charset: str) -> None:
    content = content.replace(b"{0}", WHEEL.encode())
    page = web.Page(content, "text/html", "https://lab.example/acme-utils/", charset)
    assert [file.url for file in listing(page).wheels] == [
        f"https://lab.example/acme-utils/é/{WHEEL}"
    ]


def test_bytes_of_another_charset_are_no_word_on_the_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    content = links(WHEEL).encode() + b"\xff\xfe"
    assert judged(web.Page(content, "text/html", "https://lab.example/acme-utils/")) == HAS
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("names", "meaning"),
    [
        ([WHEEL], HAS),
        (["acme_utils-1.0-py3.11.egg"], HAS),
        ([], LACKS),
        ([OTHER], "lists files of other names alone"),
    ],
)
def test_a_page_in_json_means_the_same(names: list[str], meaning: str) -> None:
    files = [{"filename": name, "url": name, "hashes": {}} for name in names]
    document = {"meta": {"api-version": "1.0"}, "name": "acme-utils", "files": files}
    page = web.Page(json.dumps(document).encode(), JSON, "https://lab.example/simple/acme-utils/")
    assert meaning in judged(page)


@pytest.mark.parametrize(
    ("changes", "meaning"),
    [
        ({}, LACKS),
        ({"name": "Acme_Utils"}, LACKS),
        ({"project-status": {"status": "active"}}, LACKS),
        ({"name": "zzz"}, "does not name the package"),
        ({"name": "", "error": "unauthorized"}, "does not name the package"),
        ({"versions": ["1.0"]}, "no files, and versions"),
        ({"project-status": {"status": "quarantined"}}, "quarantined there"),
        ({"files": [{"filename": "README", "url": "x", "hashes": {}}]}, "other names alone"),
        ({"files": [{"filename": "acme_utils-1.0.txz", "url": "x", "hashes": {}}]}, HAS),
    ],
)
def test_a_page_in_json_without_wheels(changes: dict[str, Any], meaning: str) -> None:
    document = {"meta": {"api-version": "1.0"}, "name": "acme-utils", "files": [], **changes}
    page = web.Page(json.dumps(document).encode(), JSON, "https://lab.example/simple/acme-utils/")
    assert meaning in judged(page)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (links(WHEEL, OTHER), HAS),
        (links(OTHER, "dl?file=acme_utils-1.0-py3-none-any.whl"), HAS),
        (links("acme_utils-1.0-py3.11.egg"), HAS),
        (links(OTHER), LACKS),
        (links(OTHER) + LOGIN, LACKS),
        ("", "has no wheel and no source distribution in it"),
        (LOGIN, "has no wheel and no source distribution in it"),
    ],
)
def test_what_a_page_of_links_means(text: str, meaning: str) -> None:
    page = web.Page(text.encode(), "text/html", "https://lab.example/wheels.html")
    assert meaning in judged(page, flat=True)


@pytest.mark.parametrize("flat", [True, False])
def test_a_page_of_another_type_is_no_answer(flat: bool) -> None:
    page = web.Page(b"", "application/octet-stream", "https://lab.example/")
    assert "is of type 'application/octet-stream'" in judged(page, flat=flat)


def test_a_page_that_is_said_not_to_be_there_means_that_the_name_is_lacking() -> None:
    assert holds(None, "acme-utils", "simple") is False
    assert holds(Listing(), "acme-utils", "simple") is False


@pytest.mark.parametrize(
    ("filename", "project", "expected"),
    [
        ("acme_utils-1.0-py3-none-any.whl", "acme", False),
        ("acme_utils-1.0-py3.11.egg", "acme", False),
        ("acme-docs.zip", "acme", False),
        ("acme-v1.0.tar.xz", "acme", True),
        ("Acme.Utils-1.0.zip", "acme-utils", True),
        ("acme_utils-1.0.tar", "acme-utils", True),
        ("acme_utils-1.0.txz", "acme-utils", True),
        ("ACME_UTILS-1.0-PY3-NONE-ANY.WHL", "acme-utils", True),
        ("acme-utils-1.0-2.tar.gz", "acme-utils", True),
        ("acme-utils-2024-01-15.zip", "acme-utils", True),
        ("acme_utils.zip", "acme-utils", True),
        ("acme_utils-latest.zip", "acme-utils", True),
        ("acme_utils-1.0-py3-none-any.whl.tmp", "acme-utils", True),
        ("acme_utils-1.0.tar.gz.part", "acme-utils", True),
        ("acme_utils_extras-1.0.tar.gz", "acme-utils", False),
        ("acme_2-1.0-py3-none-any.whl", "acme", False),
    ],
)
def test_whose_a_file_is(filename: str, project: str, expected: bool) -> None:
    assert is_of(filename, project) is expected


@pytest.fixture
def index() -> Iterator[Index]:
    web.forget_pages()
    with serve_index({}) as running:
        yield running
    web.forget_pages()


def asked(url: str, *, flat: bool = False) -> str:
    source = Source(name="inventory", url=url, layout="flat" if flat else "simple")
    (answer,) = ask_sources("acme-utils", [source])
    return answer.failure or (HAS if answer.holds else LACKS)


@pytest.mark.parametrize("status", [404, 410, 401, 403, 500])
@pytest.mark.parametrize("flat", [True, False])
def test_a_status_code_says_what_an_index_lacks_and_nothing_of_a_page_of_links(
    index: Index, status: int, flat: bool
) -> None:
    index.replies["/whl/acme-utils/"] = index.replies["/whl"] = Reply(status)
    lacking = status in (404, 410) and not flat
    assert (LACKS if lacking else f"HTTP status {status}") in asked(index.url, flat=flat)


def test_a_login_page_that_a_redirect_leads_to_is_named(index: Index) -> None:
    index.replies["/whl/acme-utils/"] = Reply(302, headers={"Location": "/login"})
    index.replies["/login"] = Reply(200, LOGIN.encode())
    said = asked(index.url)
    assert said.endswith("/login is no index page: it asks for input, as a login page does")


def test_a_directory_of_wheels(tmp_path: Path) -> None:
    assert asked(f"{tmp_path}/gone", flat=True) == f"{tmp_path}/gone does not exist"
    web.forget_pages()
    assert "has no wheel and no source distribution" in asked(str(tmp_path), flat=True)
    web.forget_pages()
    make_wheel(tmp_path, "numpy", "2.4.0")
    assert asked(str(tmp_path), flat=True) == LACKS
    web.forget_pages()
    (tmp_path / "acme_utils-1.0-py3.11.egg").mkdir()
    assert asked(str(tmp_path), flat=True) == HAS


def test_an_index_on_disk(tmp_path: Path) -> None:
    url = tmp_path.as_uri()
    assert asked(url) == f"{tmp_path} has no page of any package in it"
    web.forget_pages()
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy/index.html").write_text(links(OTHER))
    assert asked(url) == LACKS
    web.forget_pages()
    (tmp_path / "acme-utils").mkdir()
    assert asked(url) == f"{tmp_path}/acme-utils has no index.html in it"
    web.forget_pages()
    (tmp_path / "acme-utils/index.html").write_text(links(WHEEL))
    assert asked(url) == HAS


@pytest.mark.parametrize(
    ("file", "meaning"),
    [
        (
            {"filename": WHEEL, "url": "https://a.example/\ud800.whl"},
            "no index page that can be read",
        ),
        ({"filename": "acme_utils-1.0-py3-none-any\udc80.whl", "url": "x.whl"}, HAS),
        ({"filename": WHEEL, "url": f"https://a.example/%ud800/{WHEEL}"}, HAS),
        ({"filename": WHEEL, "url": WHEEL, "requires-python": "\ud800"}, HAS),
        (
            {"filename": WHEEL, "url": WHEEL, "requires-python": "===\ud800"},
            "no index page that can be read",
        ),
    ],
)
def test_text_that_cannot_be_written_is_the_matter_of_its_source(
    index: Index, file: dict[str, str], meaning: str
) -> None:
    files = [file | {"hashes": {}}]
    document = {"meta": {"api-version": "1.0"}, "name": "acme-utils", "files": files}
    reply = Reply(200, json.dumps(document).encode(), {"Content-Type": JSON})
    index.replies["/whl/acme-utils/"] = reply
    assert meaning in asked(index.url)


@pytest.mark.parametrize("status", [200, 404, 410])
def test_a_redirect_to_another_page_says_nothing_of_the_name(index: Index, status: int) -> None:
    index.replies["/whl/acme-utils/"] = Reply(302, headers={"Location": "/sso"})
    index.replies["/sso"] = Reply(status, b"<html></html>")
    assert "another page" in asked(index.url) or "a redirect led to it" in asked(index.url)
    web.forget_pages()
    index.replies["/whl/acme-utils/"] = Reply(302, headers={"Location": "/whl/Acme_Utils/"})
    index.replies["/whl/Acme_Utils/"] = Reply(status, b"<html></html>")
    assert asked(index.url) == LACKS


def test_a_name_on_disk_is_there_in_whatever_spelling(tmp_path: Path) -> None:
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy/index.html").write_text(links(OTHER))
    (tmp_path / "Acme_Utils").mkdir()
    assert asked(tmp_path.as_uri()).endswith("/Acme_Utils is not named acme-utils")
    web.forget_pages()
    (tmp_path / "Acme_Utils").rmdir()
    (tmp_path / "acme-utils").symlink_to("/mnt/gone/acme-utils")
    assert asked(tmp_path.as_uri()).endswith("/acme-utils has no index.html in it")
    web.forget_pages()
    (tmp_path / "acme-utils").unlink()
    (tmp_path / "index.html").write_text('<a href="acme-utils/">acme-utils</a>')
    assert "names acme-utils, which has no page there" in asked(tmp_path.as_uri())


def test_a_login_of_netrc_is_for_its_source_alone(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it is good for a whole machine, whatever the port, and for where pages lead to."""
    (tmp_path / "netrc").write_text(
        "machine 127.0.0.1 login me password s3cret\ndefault login a password b\n"
    )
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    there = f"{index.files_url}/acme-utils/"
    index.replies["/whl/acme-utils/"] = Reply(302, headers={"Location": there})
    index.replies["/acme-utils/"] = Reply(200, links(WHEEL).encode())
    assert asked(index.url) == HAS
    asked(index.url.replace("127.0.0.1", "localhost"))
    source = Source(name="inventory", url=index.url)
    index.replies |= {path: Reply(200) for path in (f"/whl/{WHEEL}", f"/{WHEEL}")}
    for url in (f"{index.url}/{WHEEL}", f"{index.files_url}/{WHEEL}"):
        web.length(*web.with_login(url, [source]))
    web.length(f"{index.url}/{WHEEL}", None)
    with_login = [each.path for each in index.asked if "Authorization" in each.headers]
    assert with_login == ["/whl/acme-utils/", f"/whl/{WHEEL}"]

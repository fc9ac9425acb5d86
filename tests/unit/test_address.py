"""Addresses taken apart: whose login goes where, and what counts as the official index."""

import re

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import web
from fleetwheel.sources.address import (
    host_of,
    is_address,
    is_below,
    lacks_scheme,
    redacted,
    split_login,
)
from fleetwheel.sources.configured import (
    OwnSource,
    OwnSources,
    configured_sources,
    is_official,
    uv_credentials,
)
from fleetwheel.sources.wheel import Source

LAB = Source(name="lab", url="https://me:s3cret@lab.example/simple/")
OFFICIAL = "https://download.pytorch.org/whl"


@pytest.mark.parametrize(
    ("url", "lent"),
    [
        ("https://lab.example/files/a.whl", True),
        ("https://LAB.example:443/files/a.whl", True),
        ("https://lab.example/..//files/a.whl", True),
        ("http://lab.example/files/a.whl", False),
        ("https://lab.example:8443/files/a.whl", False),
        ("https://lab.example.evil.example/a.whl", False),
        ("https://evil.example/?lab.example/a.whl", False),
        ("https://evil.example#@lab.example/a.whl", False),
        ("https://evil.example?@lab.example/a.whl", False),
        (r"https://lab.example\.evil.example/a.whl", False),
        ("https://[::1]/a.whl", False),
    ],
)
def test_a_login_is_lent_to_its_own_server_alone(url: str, lent: bool) -> None:
    bare, login = web.with_login(url, [LAB])
    assert login == (("me", "s3cret") if lent else None)
    assert uv_credentials([LAB], [url]) == ({"UV_INDEX": LAB.url} if lent else {})
    if lent:
        assert parse_url(bare).host == "lab.example"


@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("https://lab.example/team-a/simple/torch/a.whl", "a"),
        ("https://lab.example/team-b/files/a.whl", "b"),
        ("https://lab.example/open/a.whl", None),
        ("https://lab.example/team-ab/a.whl", "a"),
        ("https://lab.example/files/a.whl", "a"),
        ("https://own:pw@lab.example/team-b/a.whl", "own"),
    ],
)
def test_of_two_logins_on_a_server_the_nearest_counts(url: str, user: str | None) -> None:
    """As with pip. Where none is nearer, it is the first that there is."""
    places = ("open", "a:pw@team-a", "b:pw@team-b")
    parts = [place.rpartition("@") for place in places]
    urls = [f"https://{login}{at}lab.example/{path}/simple" for login, at, path in parts]
    _, login = web.with_login(url, [Source(name="inventory", url=each) for each in urls])
    assert login == ((user, "pw") if user else None)


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        ("me:s3cret@lab.example/simple", "lab.example/simple"),
        ("//me:s3cret@lab.example/simple", "//lab.example/simple"),
        ("s3cret@lab.example", "lab.example"),
        ("me:s3/cret@lab.example", None),
    ],
)
def test_a_login_without_a_scheme_is_no_directory(entry: str, shown: str | None) -> None:
    if shown:
        assert redacted(entry) == shown
    with pytest.raises(FleetwheelError, match="begins with https://") as caught:
        configured_sources(OwnSources(sources=(OwnSource(url=entry),)))
    assert not re.search("s3|cret@", str(caught.value))


@pytest.mark.parametrize(
    "entry", ["/srv/a:b@c", "./a@b", "../a:b@c", "~/a@b", "wheels", "C:/a@b", "file:///srv/a@b"]
)
def test_a_directory_may_have_such_letters(entry: str) -> None:
    assert not lacks_scheme(entry)
    assert redacted(entry) == entry


AUTHORITIES = st.text(st.sampled_from("ab.:@/\\?#%lab.example[]0 "), max_size=12)


@given(AUTHORITIES)
def test_whatever_is_asked_with_a_login_goes_to_its_server(middle: str) -> None:
    """Two parsers that read an address differently would send it elsewhere."""
    url = f"https://{middle}lab.example/a.whl"
    if not is_address(url):
        return
    bare, login = web.with_login(url, [LAB])
    if login == ("me", "s3cret"):
        prepared = requests.Request("GET", bare).prepare().url
        assert parse_url(str(prepared)).host == "lab.example"


@pytest.mark.parametrize(
    ("url", "official"),
    [
        (OFFICIAL, True),
        (f"{OFFICIAL}/cu130/", True),
        ("https://me:x@download.pytorch.org:443/whl/cpu", True),
        ("https://Download.PyTorch.org/whl/cpu", True),
        ("http://download.pytorch.org/whl/cpu", False),
        ("https://download.pytorch.org.evil.example/whl/cpu", False),
        ("https://evil.example/?@download.pytorch.org/whl/cpu", False),
        ("https://evil.example?@download.pytorch.org/whl/cpu", False),
        ("https://evil.example#@download.pytorch.org/whl/cpu", False),
        ("https://download.pytorch.org/whl2/cpu", False),
        ("https://download.pytorch.org/whl/../other", False),
        ("https://download.pytorch.org:8443/whl/cpu", False),
        ("/whl", False),
    ],
)
def test_the_official_index_is_known_by_its_server_and_path(
    monkeypatch: pytest.MonkeyPatch, url: str, official: bool
) -> None:
    monkeypatch.delenv("FLEETWHEEL_PYTORCH_INDEX", raising=False)
    assert is_official(Source(name="pip", url=url)) is official


@pytest.mark.parametrize("base", ["https://mirror.example", "https://mirror.example/"])
def test_a_whole_server_can_stand_for_the_official_index(
    monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    monkeypatch.setenv("FLEETWHEEL_PYTORCH_INDEX", base)
    assert is_official(Source(name="pip", url="https://mirror.example/cu130"))
    assert not is_official(Source(name="pip", url="https://mirror.example.evil/cu130"))
    assert is_below("https://mirror.example/a/b", "https://mirror.example/a")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:s3cret@lab.example/simple", "https://lab.example/simple"),
        ("https://me:s3@cret@lab.example/simple", "https://lab.example/simple"),
        ("git+https://me:s3@cret@lab.example/x", "git+https://lab.example/x"),
        ("https://evil.example?@lab.example/", "https://evil.example?@lab.example/"),
        ("https://lab.example/a@b", "https://lab.example/a@b"),
        ("/srv/a@b", "/srv/a@b"),
    ],
)
def test_what_is_shown_names_the_server_that_is_asked(url: str, shown: str) -> None:
    assert redacted(url) == shown
    assert "://" not in shown or host_of(url) == host_of(shown)
    assert split_login(url)[0] == shown

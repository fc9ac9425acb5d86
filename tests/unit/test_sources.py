"""Sources: what pip is configured with, in which order, and addresses that cannot be one."""

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import configured as sources
from fleetwheel.sources.address import local_path
from fleetwheel.sources.configured import (
    OwnSource,
    OwnSources,
    certificate,
    configured_sources,
    official_source,
    parse_pip_settings,
    pip_settings,
    unfollowed,
    uv_credentials,
)
from fleetwheel.sources.wheel import Source
from tests.small_wheels import make_wheel
from tests.unit.conftest import listed_variables


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Begin with a pip that is configured with nothing, in an empty directory."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("FLEETWHEEL_PYTORCH_INDEX", raising=False)
    monkeypatch.chdir(tmp_path)
    pip_settings.cache_clear()
    yield
    pip_settings.cache_clear()


SYSTEM = ssl.get_default_verify_paths()


def own(*urls: str) -> OwnSources:
    """Return what an inventory says that names these sources."""
    return OwnSources(sources=tuple(OwnSource(url=url) for url in urls))


def test_the_quick_pip_of_other_tests_says_what_pip_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("FIND_LINKS", "/it's /b"),
        ("NO_INDEX", "1"),
        ("CERT", ""),
        ("No_Deps", "0"),
    ):
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("PIP_QUIET", "0")  # as it is asked
    said = parse_pip_settings(sources.pip_config_list())
    assert said == parse_pip_settings(listed_variables())
    assert said.keys() >= {"find-links", "no-index"}


def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    """Give pip a configuration file, which it reads last of all."""
    (tmp_path / "pip.conf").write_text(text, encoding="utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("global.index-url='https://a/'", {"index-url": "https://a/"}),
        ("global.cert='/a'\ninstall.cert='/b'", {"cert": "/b"}),
        (":env:.cert='/c'\nglobal.cert='/a'\ninstall.cert='/b'", {"cert": "/c"}),
        (":env:.cert=''\nglobal.cert='/a'", {"cert": "/a"}),
        ("download.cert='/a'\nwheel.find-links='/b'", {}),
        ("global.find-links='\\n/a\\n/b'", {"find-links": "/a\n/b"}),
        ('global.find-links="it\'s"', {"find-links": "it's"}),
        ("WARNING: something\nglobal.cert='/a'\nglobal.broken='", {"cert": "/a"}),
    ],
)
def test_sections_override_in_the_order_of_pip_install(text: str, expected: dict[str, str]) -> None:
    assert parse_pip_settings(text) == expected


@given(st.text() | st.from_regex(r"(global|install|:env:)\.[a-z-]+='.*'\n", fullmatch=True))
def test_no_output_of_pip_is_an_error(text: str) -> None:
    assert all(parse_pip_settings(text).values())


def test_without_settings_there_is_pypi() -> None:
    (source,) = configured_sources()
    assert (source.url, source.layout) == (PYPI_SIMPLE_ENDPOINT, "simple")


def test_without_pip_there_is_pypi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PIP_INDEX_URL", "https://never.example/simple")
    assert [source.url for source in configured_sources()] == [PYPI_SIMPLE_ENDPOINT]


@pytest.mark.usefixtures("quick_pip")
def test_only_the_default_index_and_what_the_inventory_names_are_optional(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert [source.optional for source in configured_sources()] == [True]
    monkeypatch.setenv("PIP_INDEX_URL", PYPI_SIMPLE_ENDPOINT)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://me:secret@a.example/simple/")
    pip_settings.cache_clear()
    assert [source.optional for source in configured_sources()] == [False, False]
    named = OwnSources(optional=("https://a.example/simple",))
    assert [source.optional for source in configured_sources(named)] == [True, False]


@pytest.mark.usefixtures("quick_pip")
@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("PIP_NO_BINARY", ":all:", "no-binary"),
        ("PIP_PRE", "1", "pre"),
        ("PIP_UPLOADED_PRIOR_TO", "2026-01-01", "uploaded-prior-to"),
        ("PIP_KEYRING_PROVIDER", "subprocess", "keyring-provider"),
        ("PIP_TRUSTED_HOST", "wheels.example", "trusted-host"),
        ("PIP_CLIENT_CERT", "/c.pem", "client-cert"),
        ("PIP_PRE", "0", None),
        ("PIP_ONLY_BINARY", ":all:", None),
        ("PIP_PREFER_BINARY", "1", None),
        ("PIP_KEYRING_PROVIDER", "auto", None),
        ("PIP_TIMEOUT", "5", None),
    ],
)
def test_what_no_lock_follows_is_named(
    variable: str, value: str, named: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    said = unfollowed()
    assert (said is None) if named is None else (said and f"configured with {named}, " in said)


def test_all_that_is_not_followed_is_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_PRE", "1")
    monkeypatch.setenv("PIP_NO_BINARY", "numpy")
    assert unfollowed() == (
        "pip on this machine is configured with no-binary, pre, which locks do not follow:"
        " only wheels are locked; pin a pre-release by its version"
    )


def test_variables_hold_several_entries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://main.example/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://a.example/simple \n file:///b/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels ~/more https://c.example/all.html")
    monkeypatch.setenv("HOME", "/home/admin")
    found = configured_sources()
    assert [(source.name, source.url, source.layout) for source in found] == [
        ("pip extra-index-url", "https://a.example/simple", "simple"),
        ("pip extra-index-url", "file:///b/simple", "simple"),
        ("pip find-links", str(tmp_path / "wheels"), "flat"),
        ("pip find-links", "/home/admin/more", "flat"),
        ("pip find-links", "https://c.example/all.html", "flat"),
        ("pip index-url", "https://main.example/simple", "simple"),
    ]


def test_files_and_variables_are_merged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where the file makes pip quiet, which would hide everything."""
    configure(
        monkeypatch,
        tmp_path,
        "[global]\nquiet = 3\nindex_url = https://file.example/simple\nfind-links = /file\n"
        "extra-index-url =\n  https://global.example/simple\n"
        "[install]\nextra-index-url =\n  https://a.example/simple\n  https://b.example/simple\n"
        "[download]\nindex-url = https://never.example/simple\n",
    )
    monkeypatch.setenv("PIP_FIND_LINKS", "/variable")
    assert [source.url for source in configured_sources()] == [
        "https://a.example/simple",
        "https://b.example/simple",
        "/variable",
        "https://file.example/simple",
    ]


def test_no_index_leaves_find_links_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "yes")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://a.example/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    assert [source.url for source in configured_sources()] == ["/wheels"]


def test_pip_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = configured_sources()
    monkeypatch.setenv("PIP_INDEX_URL", "https://later.example/simple")
    assert configured_sources() == before


def test_a_broken_file_of_pip_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configure(monkeypatch, tmp_path, "password-without-a-section\n")
    with pytest.raises(FleetwheelError, match="pip config list") as caught:
        configured_sources()
    assert "password" not in str(caught.value)


def test_the_inventory_comes_first_and_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://a.example/simple/")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://b.example/simple https://b.example/simple/")
    found = configured_sources(own("https://c.example/simple", "https://a.example/simple"))
    assert [(source.name, source.url) for source in found] == [
        ("inventory", "https://c.example/simple"),
        ("inventory", "https://a.example/simple"),
        ("pip extra-index-url", "https://b.example/simple"),
    ]


def test_the_layout_follows_from_the_address() -> None:
    layouts = {
        "https://a.example/simple": "simple",
        "https://a.example/whl/torch_stable.html": "flat",
        "https://a.example/whl/torch_stable.HTML?token=1": "flat",
        "/srv/wheels": "flat",
        "file:///srv/simple": "simple",
        "file:///srv/all.html": "flat",
    }
    found = configured_sources(own(*layouts))
    assert {s.url: s.layout for s in found if s.name == "inventory"} == layouts


def test_a_file_address_of_a_directory_with_wheels_is_flat(tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", "torch", "2.13.0+cpu")
    assert configured_sources(own((tmp_path / "wheels").as_uri()))[0].layout == "flat"
    assert configured_sources(own(tmp_path.as_uri()))[0].layout == "simple"


@pytest.mark.parametrize(
    "entry",
    [
        "",
        " ",
        "https://",
        "http://[",
        "ftp://a.example/wheels",
        "https://a.example:99999/",
        "https://a.example:0/",
        "https://user:se/cret@a.example/",
        "https://user:secret@a.example:port/",
        "/srv/wheels\n",
        "\0",
    ],
)
def test_an_address_that_cannot_be_one_is_refused(entry: str) -> None:
    with pytest.raises(FleetwheelError, match="inventory") as caught:
        configured_sources(own(entry))
    assert caught.value.hint
    assert "cret" not in str(caught.value)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text() | st.text().map("http://".__add__) | st.text().map("file://".__add__))
@example("file:///" + "a" * 5000)
def test_any_text_is_a_source_or_refused(entry: str) -> None:
    try:
        source = configured_sources(own(entry))[0]
    except FleetwheelError:
        return
    assert local_path(source.url) or source.url.lower().startswith("http")


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (None, "https://download.pytorch.org/whl/cu130/"),
        ("https://mirror.example/whl/", "https://mirror.example/whl/cu130/"),
        ("file:///srv/whl", "file:///srv/whl/cu130/"),
    ],
)
def test_the_official_index_can_be_a_mirror(
    monkeypatch: pytest.MonkeyPatch, base: str | None, expected: str
) -> None:
    if base:
        monkeypatch.setenv("FLEETWHEEL_PYTORCH_INDEX", base)
    source = official_source("cu130")
    assert (source.url, source.variant, source.name) == (expected, "cu130", "official cu130")


@pytest.mark.usefixtures("quick_pip")
def test_one_bundle_is_found_as_pip_finds_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in sources.BUNDLE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    system = tmp_path / "system.pem"
    monkeypatch.setattr(sources.ssl, "get_default_verify_paths", lambda: SYSTEM._replace(cafile=""))
    monkeypatch.setattr(sources, "SYSTEM_BUNDLES", (str(system),))
    assert certificate() is None
    system.touch()
    assert certificate() == str(system)
    for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT"):
        monkeypatch.setenv(name, str(tmp_path / f"{name}.pem"))
        pip_settings.cache_clear()
        with pytest.raises(FleetwheelError, match=rf"{name}\.pem"):
            certificate()
        (tmp_path / f"{name}.pem").touch()
        assert certificate() == str(tmp_path / f"{name}.pem")


def test_a_host_gets_the_passwords_alone_that_its_wheels_need() -> None:
    lab, other, public = (
        Source(name=name, url=url)
        for name, url in [
            ("lab", "https://me:s3cret@lab.example/simple"),
            ("other", "https://me:other@other.example:8443/simple"),
            ("public", "https://public.example/simple"),
        ]
    )
    every = [lab, other, public]
    assert uv_credentials(every, []) == {}
    assert uv_credentials(every, ["https://public.example/a.whl", "file:///a.whl"]) == {}
    assert uv_credentials(every, ["https://lab.example/files/a.whl"]) == {"UV_INDEX": lab.url}
    assert uv_credentials(every, ["https://other.example/a.whl"]) == {}
    assert uv_credentials(every, ["http://lab.example/a.whl"]) == {}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://a.example/simple", None),
        ("HTTP://a.example/simple", None),
        ("/srv/wheels", Path("/srv/wheels")),
        ("file:///srv/my%20wheels", Path("/srv/my wheels")),
        ("file://localhost/srv", Path("/srv")),
        ("file://server/share", Path("//server/share")),
    ],
)
def test_local_sources_have_a_path(url: str, expected: Path | None) -> None:
    assert local_path(url) == expected

"""Locks that a hostile host sends back, or that a hostile index brought about."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.delivery.distribution import parcels, require_own_files
from fleetwheel.errors import FleetwheelError
from fleetwheel.lock.lock import Lock
from fleetwheel.sources import store, web
from fleetwheel.sources.wheel import Source, file_name
from tests.samples import lock_with
from tests.serve_index import serve_index
from tests.small_wheels import make_wheel

NAMES = [
    "..%2F..%2Fx-1-py3-none-any.whl",
    "%2Fetc%2Fcron.d%2Fx-1-py3-none-any.whl",
    "..%5Cx-1-py3-none-any.whl",
    ".hidden-1-py3-none-any.whl",
    "-oProxyCommand=x-1-py3-none-any.whl",
    "x-1-py3-none-any.whl%00.txt",
    "x.tar.gz",
    "",
]


def lock(url: str, sha256: str = "a" * 64, *, from_host: bool = True) -> Lock:
    text = (
        'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "x"\nversion = "1"\n'
        f'wheels = [{{ url = "{url}", hashes = {{ sha256 = "{sha256}" }} }}]\n'
    )
    return Lock(name="pylock.x.toml", text=text, from_host=from_host)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_elsewhere_is_none(name: str) -> None:
    with pytest.raises(FleetwheelError):
        parcels(lock(f"https://h.example/{name}"), "push", here=False)
    with pytest.raises(FleetwheelError, match="no file name of a wheel"):
        file_name(f"https://h.example/{name}")


@given(st.text())
def test_what_is_a_name_stays_in_its_directory(text: str) -> None:
    try:
        name = file_name(f"https://h.example/{text}")
    except (FleetwheelError, ValueError):
        return
    assert Path("/srv", name).parent == Path("/srv")


def test_the_store_writes_nothing_beside_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with serve_index({"cpu": []}) as index, pytest.raises(FleetwheelError):
        store.fetch(f"{index.url}/..%2F..%2F..%2Fwritten-1-py3-none-any.whl", {"a" * 64})
    assert not list(tmp_path.rglob("*written*"))


@pytest.mark.parametrize("sha256", ["", "../../x", "A" * 64, "a" * 63])
def test_a_hash_is_one(sha256: str) -> None:
    with pytest.raises(FleetwheelError, match="no sha256"):
        _ = lock("https://h.example/x-1-py3-none-any.whl", sha256).document


def test_a_host_gets_no_file_of_this_machine_but_its_sources(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", "x", "1")
    hash = hashlib.sha256(wheel.read_bytes()).hexdigest()
    asked = lock(wheel.as_uri(), hash)
    (tmp_path / "other").mkdir()
    others = [Source(name="inventory", url=str(tmp_path / "other"), layout="flat")]
    with pytest.raises(FleetwheelError, match="in no wheel source here"):
        require_own_files(asked, others)
    require_own_files(asked, [*others, Source(name="pip", url=str(wheel.parent), layout="flat")])
    require_own_files(lock(wheel.as_uri(), hash, from_host=False), others)


def test_a_file_beside_an_index_on_disk_is_its_own_when_a_page_lists_it(tmp_path: Path) -> None:
    """As an index has it that keeps its files beside ``simple/``."""
    wheel = make_wheel(tmp_path / "files", "x", "1.0")
    (tmp_path / "simple" / "x").mkdir(parents=True)
    index = Source(name="pip index-url", url=(tmp_path / "simple").as_uri())
    asked = lock(wheel.as_uri(), store.sha256(wheel))
    with pytest.raises(FleetwheelError, match="in no wheel source here"):
        require_own_files(asked, [index])
    web.forget_pages()
    page = f'<a href="../../files/{wheel.name}">{wheel.name}</a>'
    (tmp_path / "simple" / "x" / "index.html").write_text(page)
    require_own_files(asked, [index])
    beside = make_wheel(tmp_path / "secret", "x", "1.0")
    with pytest.raises(FleetwheelError, match=r"secret/x-1\.0.* in no wheel source here"):
        require_own_files(lock(beside.as_uri(), store.sha256(beside)), [index])


def test_a_file_that_the_inventory_asks_for_by_path_is_its_own(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "x", "1.0")
    hash = store.sha256(wheel)
    require_own_files(lock(wheel.as_uri(), hash), [], [f"{wheel}#sha256={hash}", "numpy"])


def test_no_name_of_a_lock_leads_out_of_an_index(tmp_path: Path) -> None:
    text = lock("file:///x-1-py3-none-any.whl").text.replace('name = "x"', 'name = "../../x"')
    assert "../../x" in text
    with pytest.raises(FleetwheelError, match="cannot be read"):
        require_own_files(Lock(name="pylock.x.toml", text=text, from_host=True), [])


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ('torch = "2.13.0"', 'torch = "' + "9" * 5000 + 'x"'),
        ('version = "3.11.7"', 'version = "3"'),
        ('    "numpy",\n', '    "???",\n'),
        ("[tool.fleetwheel.choice.packages]\ntorch", "[tool.fleetwheel.choice.packages]\nother"),
        ("[tool.fleetwheel.choice]", "[tool.fleetwheel.chosen]"),
    ],
)
def test_what_a_lock_says_of_itself_has_its_types(was: str, becomes: str) -> None:
    """A value that cannot be compared would end the run for every host."""
    sound = lock_with({"torch": "2.13.0+cpu", "numpy": "2.4.0"})
    assert was in sound.text
    hostile = Lock(name=sound.name, text=sound.text.replace(was, becomes))
    with pytest.raises(FleetwheelError, match="does not say"):
        _ = hostile.choice, hostile.origin


def test_a_table_of_another_kind_is_an_error_of_that_lock() -> None:
    text = 'lock-version = "1.0"\ncreated-by = "x"\npackages = []\n[tool]\nfleetwheel = "x"\n'
    with pytest.raises(FleetwheelError, match="does not say"):
        _ = Lock(name="pylock.x.toml", text=text).origin

"""Locks: what uv makes of a choice, what is read back, and what goes wrong."""

import os
import tempfile
from pathlib import Path

import pytest

from fleetwheel.choice.choose import Choice
from fleetwheel.choice.target import Target
from fleetwheel.errors import FleetwheelError
from fleetwheel.lock import lock as locks
from fleetwheel.lock import locking
from fleetwheel.lock.lock import Lock, name_of
from fleetwheel.lock.locking import uv_platform
from fleetwheel.sources import web
from fleetwheel.sources.wheel import Source
from tests.samples import CPU_HOST, GPU_HOST, PYTHON, REQUEST, choice, target_of
from tests.serve_index import serve_index
from tests.small_wheels import make_wheel

TARGET = target_of(CPU_HOST)


@pytest.fixture(autouse=True)
def fresh() -> None:
    """A server may have the port of one that another test has asked."""
    web.forget_pages()


def made(chosen: Choice, sources: list[Source], target: Target = TARGET) -> Lock:
    return locking.lock_of(locking.pick(chosen, target, sources), chosen, target, REQUEST)


@pytest.fixture
def family(tmp_path: Path) -> Source:
    """A directory with torch for CPU, and a newer torch that nobody chose."""
    directory = tmp_path / "family"
    make_wheel(directory, "torch", "2.13.0+cpu", requires=("numpy", "filelock"))
    make_wheel(directory, "torch", "2.14.1+cpu")
    return Source(name="family", url=str(directory), layout="flat")


@pytest.fixture
def ordinary(tmp_path: Path) -> Source:
    """A directory with everything else, and a torch that must not be taken."""
    directory = tmp_path / "ordinary"
    for name, version in [("numpy", "2.4.0"), ("filelock", "4.0"), ("torch", "2.15.0")]:
        make_wheel(directory, name, version)
    return Source(name="ordinary", url=str(directory), layout="flat")


def test_a_persons_own_settings_for_uv_change_no_lock(
    family: Source, ordinary: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = tmp_path / "mine.txt"
    overrides.write_text("numpy < 2\n")
    monkeypatch.setenv("UV_OVERRIDE", str(overrides))
    assert made(choice(family), [ordinary]).packages["numpy"] == "2.4.0"


OF_OTHERS = """
[project]
name = "theirs"
version = "1"
[tool.uv.workspace]
members = ["fleetwheel/work/lock-*", "fleetwheel-lock-*"]
[tool.uv.sources]
numpy = {{ path = "{wheel}" }}
"""


@pytest.mark.parametrize("text", [OF_OTHERS, "not = TOML"])
def test_no_project_above_the_temporary_one_changes_a_lock(
    family: Source, ordinary: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """In /tmp, everybody can write one, and uv would have its sources count."""
    older = make_wheel(tmp_path / "older", "numpy", "2.3.0")
    make_wheel(Path(ordinary.url), "numpy", "2.3.0")
    (tmp_path / "pyproject.toml").write_text(text.format(wheel=older))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert made(choice(family), [ordinary]).packages["numpy"] == "2.4.0"


def test_uv_looks_for_no_other_interpreter(
    family: Source, ordinary: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shim of pyenv takes ten times what a lock takes, and its Python may be broken."""
    for name in ("python", "python3", "python3.11"):
        shim = tmp_path / "bin" / name
        shim.parent.mkdir(exist_ok=True)
        shim.write_text('#!/bin/sh\ntouch "$0 was asked"\nexit 1\n')
        shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert made(choice(family), [ordinary]).packages["numpy"] == "2.4.0"
    assert not list(tmp_path.glob("bin/*asked"))


def test_the_family_comes_from_its_source_alone(family: Source, ordinary: Source) -> None:
    lock = made(choice(family), [ordinary])
    assert lock.packages == {"torch": "2.13.0+cpu", "numpy": "2.4.0", "filelock": "4.0"}
    assert lock.urls["torch"].startswith(Path(family.url).as_uri())
    assert lock.urls["numpy"].startswith(Path(ordinary.url).as_uri())


def test_a_lock_keeps_its_choice_and_target(family: Source, ordinary: Source) -> None:
    lock = made(choice(family), [ordinary])
    assert lock.choice == choice(family)
    assert lock.origin.target == TARGET
    assert lock.origin.request == REQUEST
    assert locks.from_copy(lock.text, "pylock.x.toml").origin == lock.origin


def test_credentials_stay_out_of_a_lock(family: Source, ordinary: Source) -> None:
    secret = Source(name="s", url="https://me:secret@example.org/simple")
    chosen = choice(family).model_copy(update={"source": secret})
    text = locking._tool_table(chosen, TARGET, REQUEST)
    assert "secret" not in text
    assert "https://example.org/simple" in text


def test_a_saved_lock_is_loaded(tmp_path: Path) -> None:
    lock = Lock(name=name_of(TARGET), text="x")
    assert locks.load_lock(tmp_path / "locks", lock.name) is None
    locks.save_lock(tmp_path / "locks", lock)
    assert locks.load_lock(tmp_path / "locks", lock.name) == lock
    assert [path.name for path in (tmp_path / "locks").iterdir()] == [lock.name]


def test_what_cannot_be_locked_is_said_in_uv_words(family: Source) -> None:
    with pytest.raises(FleetwheelError, match="numpy was not found") as caught:
        made(choice(family), [])
    assert "name the source that has it under sources:" in caught.value.hint


def test_an_index_that_forbids_what_it_lacks_is_passed_over(
    family: Source, ordinary: Source
) -> None:
    with serve_index({"cpu": []}) as bucket:
        bucket.missing = 403
        sources = [Source(name="bucket", url=f"{bucket.url}/cpu/", variant="cpu"), ordinary]
        lock = made(choice(family), sources)
        assert "/whl/cpu/numpy/" in bucket.pages()
    assert lock.packages == {"torch": "2.13.0+cpu", "numpy": "2.4.0", "filelock": "4.0"}


def index(directory: Path, name: str, version: str) -> Source:
    """Return an index on disk that holds one wheel."""
    wheel = make_wheel(directory / name, name, version)
    (directory / name / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
    return Source(name=directory.name, url=directory.as_uri())


def test_a_version_behind_the_first_source_is_no_matter_of_uvs_options(
    family: Source, tmp_path: Path
) -> None:
    sources = [index(tmp_path / "first", "numpy", "1.0"), index(tmp_path / "next", "numpy", "2.0")]
    wanted = choice(family).model_copy(update={"requirements": ("numpy==2.0",)})
    with pytest.raises(FleetwheelError, match=r"there is no version of numpy==2\.0") as caught:
        made(wanted, sources)
    assert "--" not in str(caught.value)
    assert "the first source that holds numpy" in caught.value.hint


def test_another_torch_than_the_chosen_one_is_refused(family: Source, ordinary: Source) -> None:
    """==2.14.1 also matches 2.14.1+cpu: the lock must hold what was chosen, or nothing."""
    with pytest.raises(FleetwheelError, match=r"2\.14\.1 was chosen, but uv locked 2\.14\.1\+cpu"):
        made(choice(family, torch="2.14.1"), [ordinary])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not toml [", "cannot be read"),
        ('lock-version = "1.0"\n', "cannot be read"),
        ('lock-version = "1.0"\ncreated-by = "x"\npackages = []\n', "does not say which choice"),
    ],
)
def test_a_spoilt_lock_says_how_to_mend_it(text: str, message: str) -> None:
    with pytest.raises(FleetwheelError, match=message) as caught:
        _ = Lock(name="pylock.x.toml", text=text).choice
    assert "relock" in caught.value.hint


def test_a_lock_without_hashes_is_refused(family: Source, ordinary: Source) -> None:
    lock = made(choice(family), [ordinary])
    bare = Lock(name=lock.name, text=lock.text.replace("sha256 =", "md5 ="))
    with pytest.raises(FleetwheelError, match="has no sha256"):
        bare.generation(PYTHON)


def test_a_lock_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / name_of(TARGET)).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FleetwheelError, match="it is no text"):
        locks.load_lock(tmp_path, name_of(TARGET))


def test_a_lock_of_another_target_under_its_name_is_refused(
    tmp_path: Path, family: Source, ordinary: Source
) -> None:
    lock = made(choice(family), [ordinary])
    other = TARGET.model_copy(update={"arch": "aarch64"})
    (tmp_path / name_of(other)).write_text(lock.text)
    with pytest.raises(FleetwheelError, match="was made for another target"):
        locks.find(tmp_path, other)


def test_a_lock_is_found_by_the_target_that_it_states(
    tmp_path: Path, family: Source, ordinary: Source
) -> None:
    lock = made(choice(family), [ordinary])
    (tmp_path / "pylock.teaching-lab.toml").write_text(lock.text)
    (tmp_path / "pylock.broken.toml").write_text("not toml [")
    found = locks.find(tmp_path, TARGET)
    assert found is not None
    assert (found.name, found.text) == ("pylock.teaching-lab.toml", lock.text)
    assert locks.find(tmp_path, TARGET.model_copy(update={"arch": "aarch64"})) is None


def test_a_newer_schema_is_refused_by_its_name(family: Source, ordinary: Source) -> None:
    lock = made(choice(family), [ordinary])
    newer = Lock(name="x", text=lock.text.replace("fleetwheel.target/2", "fleetwheel.target/3"))
    with pytest.raises(FleetwheelError, match=r"fleetwheel\.target/3") as caught:
        _ = newer.origin
    assert "newer fleetwheel" in caught.value.hint


def test_equal_targets_share_a_name_and_different_ones_do_not() -> None:
    swapped = GPU_HOST.model_copy(
        update={"gpus": (GPU_HOST.gpus[0].model_copy(update={"uuid": "GPU-2"}),)}
    )
    assert target_of(GPU_HOST) == target_of(swapped)
    other = GPU_HOST.model_copy(update={"glibc": "2.28"})
    assert name_of(target_of(other)) != name_of(target_of(GPU_HOST))


def test_the_names_of_locks_last() -> None:
    """What a new field adds to targets with its default renames none of them."""
    assert name_of(TARGET) == "pylock.linux-x86_64-cpu-b0ac2e094b36.toml"
    assert name_of(target_of(GPU_HOST)) == "pylock.linux-x86_64-sm89-cd74a2d6841e.toml"


@pytest.mark.parametrize(
    ("os", "arch", "glibc", "expected"),
    [
        ("linux", "x86_64", "2.36", "x86_64-manylinux_2_36"),
        ("linux", "x86_64", "2.30", "x86_64-manylinux_2_28"),
        ("linux", "aarch64", "2.99", "aarch64-manylinux_2_40"),
        ("linux", "x86_64", "2.12", "x86_64-manylinux_2_17"),
        ("windows", "x86_64", None, "x86_64-pc-windows-msvc"),
    ],
)
def test_uv_platform(os: str, arch: str, glibc: str | None, expected: str) -> None:
    there = {"glibc": tuple(map(int, glibc.split(".")))} if glibc else {}
    target = TARGET.model_copy(update={"os": os, "arch": arch, **there})
    assert uv_platform(target) == expected


def test_a_generation_is_named_by_wheels_and_interpreter(family: Source, ordinary: Source) -> None:
    lock = made(choice(family), [ordinary])
    name = lock.generation(PYTHON)
    assert name.startswith("2.13.0+cpu-cp311-")
    sha256 = next(iter(lock.document.packages[0].wheels or ())).hashes["sha256"]
    edited = lock.model_copy(update={"text": lock.text.replace(sha256, "0" * 64)})
    assert Lock(name=lock.name, text=edited.text).generation(PYTHON) != name
    assert lock.generation(PYTHON.model_copy(update={"path": "/opt/python3.11"})) != name


def test_the_name_of_a_hosts_copy_is_found_beside_damaged_files(
    tmp_path: Path, family: Source, ordinary: Source
) -> None:
    lock = made(choice(family), [ordinary])
    (tmp_path / "pylock.a.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "pylock.b.toml").mkdir()
    assert locks.name_here(tmp_path, lock.text) is None
    (tmp_path / "pylock.lab.toml").write_text(lock.text)
    assert locks.name_here(tmp_path, lock.text) == "pylock.lab.toml"

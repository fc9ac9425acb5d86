"""Taking environments off a host, or all of fleetwheel: what goes, stays, and is freed."""

import fcntl
import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fleetwheel.deploy import record as records
from fleetwheel.node import activate as activating
from fleetwheel.node import clean, remove, state, uninstall
from fleetwheel.node.link import generation_of, link_of
from fleetwheel.node.root import Failure
from tests.deploying import add_generation
from tests.samples import lock_with, record_of

LOCK = lock_with({"torch": "2.13.0+cpu"})
SIZE = 1 << 20
A, B, SHARED = (
    {build: f"{name}-cp311-0123456789ab-{build}" for build in (1, 2)}
    for name in ("a", "b", "shared")
)
"""Names of generations, by their builds."""


def activate(root: Path, name: str, *ids: str) -> None:
    """Have an environment use these generations one after the other; it keeps all of them."""
    earlier: tuple[records.Earlier, ...] = ()
    for id in ids:
        if not (root / "envs" / id).exists():
            add_generation(root, id)
        record = record_of(LOCK, id).model_copy(update={"earlier": earlier, "keep": 9})
        before = state.records(root).get(name)
        activating.activate(str(root), id, name, record.to_json(), [], before)
        earlier = (records.Earlier(generation=id), *earlier)


def note(root: Path, name: str, record: records.Record) -> None:
    """Write the record of an environment."""
    (root / "state.json").write_text(state.state_with(root, name, record.to_json()))


def fill(root: Path, id: str, archive: str) -> None:
    """Give a generation a file that uv's cache has too, and one of its own."""
    cached = root / "cache/uv/archive-v0" / archive / "torch.so"
    cached.parent.mkdir(parents=True, exist_ok=True)
    if not cached.exists():
        cached.write_bytes(os.urandom(SIZE))
    (root / "envs" / id).mkdir(parents=True, exist_ok=True)
    os.link(cached, root / "envs" / id / "torch.so")
    for name in ("pyvenv.cfg", "RECORD"):
        (root / "envs" / id / name).touch()
    (root / "envs" / id / "own").write_bytes(os.urandom(SIZE))


def disk(root: Path) -> int:
    """Return the bytes that the big files under a root take."""
    found = [path.lstat() for path in root.rglob("*") if path.is_file()]
    return sum(
        {each.st_ino: each.st_blocks * 512 for each in found if each.st_size >= SIZE}.values()
    )


def generations(root: Path) -> set[str]:
    return {path.name for path in (root / "envs").iterdir()}


def kept(root: Path) -> set[str]:
    return set(records.parse_state((root / "state.json").read_text()).environments)


@contextmanager
def lease(generation: Path) -> Iterator[None]:
    """Hold what a process that runs from a generation holds (site_hook.py)."""
    handle = os.open(generation / "pyvenv.cfg", os.O_RDONLY)
    fcntl.fcntl(handle, 37, struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
    try:
        yield
    finally:
        os.close(handle)


def tree(root: Path) -> dict[str, tuple[int, int]]:
    found = {str(path): path.lstat() for path in root.rglob("*")}
    return {path: (each.st_mtime_ns, each.st_ino) for path, each in found.items()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two environments that share a generation, and have each one of their own."""
    activate(tmp_path, "default", "a-cp311-0123456789ab-1", "shared-cp311-0123456789ab-1")
    activate(
        tmp_path,
        "vision",
        "b-cp311-0123456789ab-1",
        "shared-cp311-0123456789ab-1",
        "b-cp311-0123456789ab-2",
    )
    return tmp_path


# An environment


def test_an_environment_goes_with_what_no_other_names(root: Path) -> None:
    said = remove.removal(str(root), ["vision"])["removal"]["vision"]
    assert said["generations"] == ["b-cp311-0123456789ab-2", "b-cp311-0123456789ab-1"]
    assert remove.remove(str(root), "vision")["removed"] == [
        "b-cp311-0123456789ab-2",
        "b-cp311-0123456789ab-1",
    ]
    assert generations(root) == {"a-cp311-0123456789ab-1", "shared-cp311-0123456789ab-1"}
    assert not link_of(root, "vision").is_symlink()
    assert kept(root) == {"default"}
    assert generation_of(root, "default") == "shared-cp311-0123456789ab-1"


def test_a_look_changes_nothing(root: Path) -> None:
    before = tree(root)
    remove.removal(str(root), ["default", "vision"])
    uninstall.leftovers(str(root))
    assert tree(root) == before


def test_the_default_goes_with_both_of_its_links(root: Path) -> None:
    remove.remove(str(root), "default")
    assert not (root / "current").is_symlink()
    assert not (root / "environments/default").is_symlink()
    assert generations(root) == {
        "b-cp311-0123456789ab-1",
        "b-cp311-0123456789ab-2",
        "shared-cp311-0123456789ab-1",
    }
    assert kept(root) == {"vision"}


def test_what_another_one_keeps_for_a_look_stays(root: Path) -> None:
    add_generation(root, "failed-cp311-0123456789ab-1")
    failed = record_of(LOCK, "shared-cp311-0123456789ab-1").model_copy(
        update={"failed": ("failed-cp311-0123456789ab-1", "b-cp311-0123456789ab-1")}
    )
    note(root, "default", failed)
    remove.remove(str(root), "vision")
    assert generations(root) == {
        "a-cp311-0123456789ab-1",
        "shared-cp311-0123456789ab-1",
        "failed-cp311-0123456789ab-1",
        "b-cp311-0123456789ab-1",
    }


def test_its_own_failed_generations_go(root: Path) -> None:
    add_generation(root, "failed-cp311-0123456789ab-1")
    failed = record_of(LOCK, "b-cp311-0123456789ab-2").model_copy(
        update={"failed": ("failed-cp311-0123456789ab-1",)}
    )
    note(root, "vision", failed)
    assert remove.remove(str(root), "vision")["removed"] == [
        "b-cp311-0123456789ab-2",
        "failed-cp311-0123456789ab-1",
    ]


def test_with_the_last_environment_go_old_generations_that_nobody_names(root: Path) -> None:
    for id in ("old-cp311-0123456789ab-1", "builtnow-cp311-0123456789ab-1", "a-persons"):
        add_generation(root, id)
    for id in ("old-cp311-0123456789ab-1", "builtnow-cp311-0123456789ab-1"):
        (root / "envs" / id / "pylock.toml").touch()
    for id in ("old-cp311-0123456789ab-1", "a-persons"):
        os.utime(root / "envs" / id / "pyvenv.cfg", (0, 0))
    remove.remove(str(root), "vision")
    assert generations(root) >= {
        "old-cp311-0123456789ab-1",
        "builtnow-cp311-0123456789ab-1",
        "a-persons",
    }
    remove.remove(str(root), "default")
    assert generations(root) == {"builtnow-cp311-0123456789ab-1", "a-persons"}
    assert kept(root) == set()


def test_a_link_without_a_record_goes(root: Path) -> None:
    """As an activation leaves it that was killed."""
    add_generation(root, "c-cp311-0123456789ab-1")
    (root / "environments/course").symlink_to("../envs/c-cp311-0123456789ab-1")
    assert remove.remove(str(root), "course")["removed"] == ["c-cp311-0123456789ab-1"]
    assert not (root / "environments/course").is_symlink()
    assert kept(root) == {"default", "vision"}


def test_what_a_link_without_a_record_leads_to_stays(root: Path) -> None:
    (root / "environments/course").symlink_to("../envs/b-cp311-0123456789ab-2")
    assert remove.remove(str(root), "vision")["removed"] == ["b-cp311-0123456789ab-1"]
    assert (root / "environments/course").resolve() == root / "envs/b-cp311-0123456789ab-2"


def test_a_record_of_the_first_schema_is_that_of_the_default(tmp_path: Path) -> None:
    first = json.loads(Path("tests/fixtures/state-1/state.json").read_text())
    first |= {
        "generation": "a-cp311-0123456789ab-2",
        "previous": "a-cp311-0123456789ab-1",
        "older": ["a-cp311-0123456789ab-0"],
    }
    (tmp_path / "state.json").write_text(json.dumps(first))
    for id in ("a-cp311-0123456789ab-0", "a-cp311-0123456789ab-1", "a-cp311-0123456789ab-2"):
        add_generation(tmp_path, id)
    (tmp_path / "current").symlink_to("envs/a-cp311-0123456789ab-2")
    activate(tmp_path, "vision", "b-cp311-0123456789ab-1")
    assert remove.remove(str(tmp_path), "default")["removed"] == [
        "a-cp311-0123456789ab-2",
        "a-cp311-0123456789ab-1",
        "a-cp311-0123456789ab-0",
    ]
    assert generations(tmp_path) == {"b-cp311-0123456789ab-1"}
    assert kept(tmp_path) == {"vision"}


@pytest.mark.parametrize("id", ["../../precious", "/precious", "..", ".", ""])
def test_a_record_that_names_something_else_removes_nothing_of_it(root: Path, id: str) -> None:
    (root / "precious").mkdir()
    strange = record_of(LOCK, "b-cp311-0123456789ab-2").model_copy(
        update={"failed": (id, f"../{root.name}/precious")}
    )
    note(root, "vision", strange)
    remove.remove(str(root), "vision")
    assert (root / "precious").is_dir()
    assert (root / "envs/shared-cp311-0123456789ab-1").is_dir()


# In use


@pytest.mark.parametrize("used", ["b-cp311-0123456789ab-2", "b-cp311-0123456789ab-1"])
def test_what_is_in_use_stays_whole(root: Path, used: str) -> None:
    before = tree(root)
    with lease(root / "envs" / used):
        said = remove.removal(str(root), ["vision"])["removal"]["vision"]
        assert said["users"].startswith(f"{used} by process {os.getpid()} (")
        with pytest.raises(Failure, match=rf"in use: {used} by process {os.getpid()} \("):
            remove.remove(str(root), "vision")
    assert {**tree(root), str(root / ".lock"): 0} == {**before, str(root / ".lock"): 0}


def test_what_is_in_use_goes_where_that_is_meant(root: Path) -> None:
    with lease(root / "envs/b-cp311-0123456789ab-2"):
        assert remove.remove(str(root), "vision", used=True)["removed"] == [
            "b-cp311-0123456789ab-2",
            "b-cp311-0123456789ab-1",
        ]
    assert generations(root) == {"a-cp311-0123456789ab-1", "shared-cp311-0123456789ab-1"}


def test_a_process_of_what_stays_is_in_nobodys_way(root: Path) -> None:
    with lease(root / "envs/shared-cp311-0123456789ab-1"):
        assert remove.removal(str(root), ["vision"])["removal"]["vision"]["users"] == ""
        remove.remove(str(root), "vision")
    assert generations(root) == {"a-cp311-0123456789ab-1", "shared-cp311-0123456789ab-1"}


def test_a_process_that_starts_meanwhile_keeps_its_environment(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remove, "users_of", lambda _: "")
    with lease(root / "envs" / B[2]), pytest.raises(Failure, match="a file is open"):
        remove.remove(str(root), "vision")
    assert generation_of(root, "vision") == B[2]
    assert generations(root) == {A[1], SHARED[1], B[2]}
    assert kept(root) == {"default", "vision"}


def test_the_generation_in_use_goes_last(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails before that leaves it whole."""
    monkeypatch.setattr(remove, "users_of", lambda _: "")
    with lease(root / "envs" / B[1]), pytest.raises(Failure, match="a file is open"):
        remove.remove(str(root), "vision")
    assert generation_of(root, "vision") == B[2]
    assert (root / "environments/vision/pyvenv.cfg").exists()


def test_no_environment_is_led_back_to_what_has_gone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(path: Path, *, used: bool) -> bool:
        path.rename(root / path.name)
        return path.name != B[2]

    monkeypatch.setattr(remove, "discard", gone)
    with pytest.raises(Failure):
        remove.remove(str(root), "vision")
    assert not (root / "environments/vision").is_symlink()


def test_what_was_interrupted_is_done_by_the_next_run(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(remove, "prepare", broken)
        with pytest.raises(OSError, match="no space left"):
            remove.remove(str(root), "vision")
    assert kept(root) == {"default", "vision"}
    assert not link_of(root, "vision").is_symlink()
    remove.remove(str(root), "vision")
    assert kept(root) == {"default"}


# What that frees


def test_files_that_others_still_have_free_nothing(tmp_path: Path) -> None:
    for id, archive in (
        ("a-cp311-0123456789ab-1", "torch"),
        ("b-cp311-0123456789ab-1", "torch"),
        ("b-cp311-0123456789ab-2", "other"),
    ):
        fill(tmp_path, id, archive)
    activate(tmp_path, "default", "a-cp311-0123456789ab-1")
    activate(tmp_path, "vision", "b-cp311-0123456789ab-1", "b-cp311-0123456789ab-2")
    before = disk(tmp_path)
    said = remove.removal(str(tmp_path), ["vision"])["removal"]["vision"]["bytes"]
    assert said == 3 * SIZE, (
        "two own files, and what the cache has for b-cp311-0123456789ab-2 alone"
    )
    assert remove.remove(str(tmp_path), "vision")["bytes"] == said
    assert before - disk(tmp_path) == said
    assert {path.name for path in tmp_path.glob("cache/uv/archive-v0/*")} == {"torch"}


def test_environments_one_after_the_other_free_what_was_said(tmp_path: Path) -> None:
    for id in ("a-cp311-0123456789ab-1", "b-cp311-0123456789ab-1", "c-cp311-0123456789ab-1"):
        fill(tmp_path, id, "torch")
    for name, id in (
        ("default", "a-cp311-0123456789ab-1"),
        ("vision", "b-cp311-0123456789ab-1"),
        ("course", "c-cp311-0123456789ab-1"),
    ):
        activate(tmp_path, name, id)
    names = ["vision", "course", "default"]
    said = remove.removal(str(tmp_path), names)["removal"]
    assert [said[name]["bytes"] for name in names] == [SIZE, SIZE, 2 * SIZE]
    for name in names:
        before = disk(tmp_path)
        assert remove.remove(str(tmp_path), name)["bytes"] == said[name]["bytes"]
        assert before - disk(tmp_path) == said[name]["bytes"]


def test_an_environment_that_stays_keeps_what_it_shares(tmp_path: Path) -> None:
    for id in ("a-cp311-0123456789ab-1", "b-cp311-0123456789ab-1"):
        fill(tmp_path, id, "torch")
    activate(tmp_path, "default", "a-cp311-0123456789ab-1")
    activate(tmp_path, "vision", "b-cp311-0123456789ab-1")
    with lease(tmp_path / "envs/a-cp311-0123456789ab-1"):
        said = remove.removal(str(tmp_path), ["default", "vision"])["removal"]
    assert said["default"]["users"]
    assert said["vision"]["bytes"] == SIZE


def test_wheels_that_were_sent_go_with_the_last_lock_that_names_them(root: Path) -> None:
    for id, sha256 in (
        ("b-cp311-0123456789ab-2", "b" * 64),
        ("shared-cp311-0123456789ab-1", "a" * 64),
    ):
        (root / "envs" / id / "pylock.toml").write_text(sha256)
        wheel = root / "cache/wheels" / sha256 / "torch.whl"
        wheel.parent.mkdir(parents=True)
        wheel.write_bytes(os.urandom(SIZE))
    assert remove.removal(str(root), ["vision"])["removal"]["vision"]["bytes"] >= SIZE
    remove.remove(str(root), "vision")
    assert [path.name for path in root.glob("cache/wheels/*")] == ["a" * 64]


def test_trimming_is_as_it_was(tmp_path: Path) -> None:
    fill(tmp_path, "a-cp311-0123456789ab-1", "torch")
    (tmp_path / "cache/uv/archive-v0/stray").mkdir()
    (tmp_path / "cache/uv/archive-v0/stray/file").touch()
    (tmp_path / "cache/wheels/incoming").mkdir(parents=True)
    (tmp_path / "envs/a-cp311-0123456789ab-1/pylock.toml").write_text("incoming")
    clean.trim(tmp_path)
    assert [path.name for path in tmp_path.glob("cache/*/*")] == ["archive-v0"]
    assert [path.name for path in tmp_path.glob("cache/uv/*/*")] == ["torch"]


# All of it


def furnish(root: Path) -> None:
    """Put everything there that deploys put under a root."""
    for name in (
        "bin/uv-0.13.9-0123456789abcdef",
        "bin/fleetwheel-node",
        "lib/node-0123456789abcdef/__main__.py",
        "pythons/cpython-3.12-linux/bin/python3",
        "pythons/.lock",
        "cache/uv/CACHEDIR.TAG",
        "envs/.building-x-cp311-0123456789ab-1/file",
        "envs/unnamed-cp311-0123456789ab-1/RECORD",
        "envs/unnamed-cp311-0123456789ab-1/pyvenv.cfg",
        "certificates.pem",
        "schedule/last.json",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * 5000)
    (root / "bin/uv").symlink_to("uv-0.13.9-0123456789abcdef")


def test_all_goes_and_the_root_with_it(root: Path) -> None:
    home = root / "home"
    home.mkdir()
    for path in [path for path in root.iterdir() if path != home]:
        path.rename(home / path.name)
    furnish(home)
    said = uninstall.leftovers(str(home))
    assert (said["there"], said["users"], said["foreign"]) == (True, "", [])
    assert uninstall.uninstall(str(home)) == {"bytes": said["bytes"], "foreign": []}
    assert said["bytes"] >= 8 * 5000
    assert not home.exists()
    assert uninstall.leftovers(str(home))["there"] is False


FOREIGN = (
    *("notes.txt", "bin/tool", "bin/uv-wrapper", "lib/node-v20/file", "envs/mine/pyvenv.cfg"),
    *("cache/theirs/file", "environments/readme"),
)


def test_a_uv_and_a_link_of_somebody_else_stay(root: Path) -> None:
    """As where the inventory names /usr/local."""
    (root / "bin").mkdir()
    (root / "bin/uv").touch()
    (root / "environments/theirs").symlink_to("/srv/theirs")
    assert uninstall.uninstall(str(root))["foreign"] == ["bin/uv", "environments/theirs"]
    assert (root / "bin/uv").exists()
    assert (root / "environments/theirs").is_symlink()


def test_what_is_not_ours_stays(root: Path) -> None:
    furnish(root)
    for name in FOREIGN:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("theirs")
    stays = [
        *("bin/tool", "bin/uv-wrapper", "cache/theirs", "environments/readme", "envs/mine"),
        *("lib/node-v20", "notes.txt"),
    ]
    assert uninstall.leftovers(str(root))["foreign"] == [*stays[:6], "1 more"]
    assert uninstall.uninstall(str(root))["foreign"] == [*stays[:6], "1 more"]
    left = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert left == {*FOREIGN}
    again = uninstall.leftovers(str(root))
    assert (again["there"], again["foreign"]) == (False, [*stays[:6], "1 more"])


def test_a_link_of_ours_is_removed_and_not_followed(root: Path, tmp_path_factory: Any) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "file").write_bytes(os.urandom(SIZE))
    (root / "cache").mkdir(exist_ok=True)
    (root / "cache/uv").symlink_to(elsewhere)
    assert uninstall.leftovers(str(root))["bytes"] < SIZE
    uninstall.uninstall(str(root))
    assert (elsewhere / "file").exists()
    assert not root.exists()


def test_nothing_goes_while_one_is_in_use(root: Path) -> None:
    furnish(root)
    before = set(tree(root))
    with lease(root / "envs/a-cp311-0123456789ab-1"):
        assert uninstall.leftovers(str(root))["users"].startswith(
            "a-cp311-0123456789ab-1 by process"
        )
        with pytest.raises(Failure, match="in use: a-cp311-0123456789ab-1 by process"):
            uninstall.uninstall(str(root))
        assert set(tree(root)) == before
        uninstall.uninstall(str(root), used=True)
    assert not root.exists()


def test_the_mirror_is_no_stranger_before_it_goes(root: Path) -> None:
    (root / "mirror").mkdir()
    assert uninstall.leftovers(str(root), others=["mirror"])["foreign"] == []
    assert uninstall.uninstall(str(root))["foreign"] == ["mirror"]


# What is somebody else's


OLD = (0, 0)
STRANGERS = ("mine", "copy-of-a-cp311-0123456789ab-1", ".mine-1", ".building-mine-1")
"""Directories that a person made among the generations."""


def crowd(root: Path) -> set[str]:
    """Put among the generations what is none, and return its names."""
    for name in STRANGERS:
        add_generation(root, name)
        (root / "envs" / name / "pylock.toml").write_text("[tool.fleetwheel.target]")
        os.utime(root / "envs" / name / "pyvenv.cfg", OLD)
    no_marks, link, file = (f"{name}-cp311-0123456789ab-1" for name in ("bare", "link", "file"))
    (root / "envs" / no_marks).mkdir()
    (root / "envs" / no_marks / "pylock.toml").write_bytes(b"\xff")
    (root / "envs" / no_marks / "pyvenv.cfg").touch()
    os.utime(root / "envs" / no_marks / "pyvenv.cfg", OLD)
    (root / "envs" / link).symlink_to("mine")
    (root / "envs" / file).write_text("theirs")
    return {*STRANGERS, no_marks, link, file}


def test_what_others_put_among_the_generations_stays(root: Path) -> None:
    theirs = crowd(root)
    activate(root, "default", A[1])
    assert generations(root) >= theirs
    remove.remove(str(root), "vision")
    assert generations(root) >= theirs
    said = remove.removal(str(root), ["default"])["removal"]["default"]["foreign"]
    seen = sorted(f"envs/{name}" for name in theirs if name[0] != ".")
    assert said == remove.remove(str(root), "default")["foreign"] == seen
    assert generations(root) == theirs
    assert {*seen} <= {*uninstall.foreign(root, [])}
    uninstall.uninstall(str(root))
    assert generations(root) == theirs


def test_a_record_makes_nothing_ours(root: Path) -> None:
    theirs = crowd(root)
    record = record_of(LOCK, B[2]).model_copy(update={"failed": tuple(theirs)})
    note(root, "vision", record)
    answer = remove.remove(str(root), "vision")
    assert answer["removed"] == [B[2]]
    assert len(answer["foreign"]) == 5
    assert generations(root) >= theirs


def test_a_generation_of_an_earlier_version_goes_by_its_lock(root: Path) -> None:
    (root / "envs" / B[2] / "RECORD").unlink()
    (root / "envs" / B[2] / "pylock.toml").write_text("[tool.fleetwheel.target]\n")
    assert remove.remove(str(root), "vision")["removed"] == [B[2], B[1]]


def test_names_of_others_are_few_and_printable(root: Path) -> None:
    for number in range(9):
        (root / f"a\n{number}\udcff").touch()
    said = uninstall.leftovers(str(root))["foreign"]
    assert said == [*(f"a?{number}?" for number in range(6)), "3 more"]


@pytest.mark.parametrize("target", ["/srv/elsewhere", "../envs/../x", "envs/{}", "../../x/{}"])
def test_a_link_of_somebody_else_is_no_environment(root: Path, target: str) -> None:
    theirs = root / "environments/vision"
    theirs.unlink()
    theirs.symlink_to(target.format(B[2]))
    assert remove.remove(str(root), "vision")["foreign"] == ["environments/vision"]
    assert theirs.is_symlink()
    assert uninstall.leftovers(str(root))["foreign"] == ["environments/vision"]
    uninstall.uninstall(str(root))
    assert theirs.is_symlink()


# What was interrupted


def test_what_a_killed_removal_left_goes_at_the_next_change(root: Path) -> None:
    left = root / "envs" / ".removing-gone-cp311-0123456789ab-1"
    for change in (lambda: remove.remove(str(root), "vision"), lambda: activate(root, "c", A[1])):
        left.mkdir()
        (left / "pyvenv.cfg").touch()
        with lease(left):
            change()
            assert left.exists()
            assert uninstall.leftovers(str(root))["users"].startswith(left.name)
        activate(root, "default", A[1])
        assert not left.exists()


def test_a_root_that_is_a_link_is_named(root: Path, tmp_path_factory: Any) -> None:
    link = tmp_path_factory.mktemp("links") / "root"
    link.symlink_to(root)
    assert uninstall.leftovers(str(root))["linked"] == ""
    assert uninstall.leftovers(str(link))["linked"] == str(root)
    uninstall.uninstall(str(link))
    assert list(root.iterdir()) == []


def test_records_of_odd_types_change_nothing_of_a_change(root: Path) -> None:
    odd = [5, None, "3", [5, {}], {"generation": [1]}, [{"generation": 5}, None]]
    document = json.loads((root / "state.json").read_text())
    keys = ("keep", "earlier", "failed", "older", "previous")
    for number, value in enumerate(odd):
        document["environments"][f"odd{number}"] = dict.fromkeys(keys, value)
    document["environments"]["vision"]["keep"] = "3"
    (root / "state.json").write_text(json.dumps(document))
    activate(root, "default", A[2])
    assert generation_of(root, "default") == A[2]
    remove.remove(str(root), "odd0")
    remove.remove(str(root), "vision")
    assert generation_of(root, "default") == A[2]
    assert not generations(root) & {*B.values()}

"""Building, activating and cleaning up generations: real uv, real environments, small wheels."""

import fcntl
import grp
import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uv

from fleetwheel.collectors import program as remote
from fleetwheel.delivery import uv_binary
from fleetwheel.node import link
from fleetwheel.node.clean import in_use
from fleetwheel.node.uv import Fetching
from tests.small_wheels import lock_of, make_wheel

PYTHON = str(Path(sys._base_executable).resolve())  # type: ignore[attr-defined]
UV = Path(uv.find_uv_bin())


@pytest.fixture
def lock(tmp_path: Path) -> str:
    return lock_of(make_wheel(tmp_path / "wheels", "alpha", "1.0+cpu"))


def start(action: str, root: Path, **input: Any) -> subprocess.Popen[str]:
    """Start an action as on a host without the program: all of it on standard input."""
    process = subprocess.Popen(
        [PYTHON, "-I", "-c", remote.BOOTSTRAP],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    process.stdin.write(remote.document(action, {"root": str(root), **input}))
    process.stdin.close()
    return process


def run(action: str, root: Path, **input: Any) -> dict[str, Any]:
    state = root / "state.json"
    if action == "activate" and state.exists():
        known = json.loads(state.read_text())["environments"]
        input["planned_by"] = known.get(input["environment"])
    with start(action, root, **input) as process:
        assert process.stdout
        answer = json.loads(process.stdout.read())
    assert process.returncode == (0 if answer["ok"] else 1)
    assert isinstance(answer, dict)
    return answer


def building(lock: str, id: str = "a-cp311-0123456789ab-1", **changes: Any) -> dict[str, Any]:
    sha256 = hashlib.sha256(UV.read_bytes()).hexdigest()
    return {
        "id": id,
        "lock": lock,
        "python": PYTHON,
        "environment": {},
        "needed_bytes": 0,
        "uv_sha256": sha256,
        "uv_name": f"uv-{uv_binary.VERSION}-{sha256[:16]}",
        **changes,
    }


def activating(id: str, keep: int = 3, failed: list[str] | None = None) -> dict[str, Any]:
    record = {"generation": id, "keep": keep}
    return {"id": id, "environment": "default", "record": record, "failed": failed or []}


def build_long_ago(root: Path, lock: str, *ids: str) -> None:
    """Build generations that no other controller can be about to use."""
    for id in ids:
        run("build", root, **building(lock, id=id))
        os.utime(root / "envs" / id / "pyvenv.cfg", (0, 0))


def built(root: Path) -> set[str]:
    return {path.name for path in (root / "envs").iterdir()}


def test_a_build_is_complete_and_leaves_current_alone(root: Path, lock: str) -> None:
    assert run("build", root, **building(lock)) == {"ok": True, "built": "a-cp311-0123456789ab-1"}
    python = root / "envs/a-cp311-0123456789ab-1/bin/python"
    said = subprocess.check_output([python, "-c", "import alpha; print(alpha.__version__)"])
    assert said == b"1.0+cpu\n"
    assert (root / "envs/a-cp311-0123456789ab-1/pylock.toml").read_text() == lock
    assert not (root / "current").exists()


def test_variables_of_the_user_change_nothing_that_uv_does(
    root: Path, lock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_VENV_SEED", "1")
    monkeypatch.setenv("UV_NO_VERIFY_HASHES", "1")
    assert run("build", root, **building(lock))["ok"]
    assert not list((root / "envs/a-cp311-0123456789ab-1/lib").glob("*/site-packages/pip*"))


def test_what_another_controller_has_built_meanwhile_stays(root: Path, lock: str) -> None:
    run("build", root, **building(lock))
    made = (root / "envs/a-cp311-0123456789ab-1/pyvenv.cfg").stat().st_mtime_ns
    assert run("build", root, **building(lock)) == {"ok": True, "built": "a-cp311-0123456789ab-1"}
    assert (root / "envs/a-cp311-0123456789ab-1/pyvenv.cfg").stat().st_mtime_ns == made
    assert built(root) == {"a-cp311-0123456789ab-1"}


def test_activation_points_current_and_writes_the_record(root: Path, lock: str) -> None:
    run("build", root, **building(lock))
    assert run("activate", root, **activating("a-cp311-0123456789ab-1")) == {
        "ok": True,
        "activated": "a-cp311-0123456789ab-1",
        "removed": [],
        "obstacles": [],
    }
    assert (root / "current").readlink() == Path("envs/a-cp311-0123456789ab-1")
    assert (root / "environments/default").readlink() == Path("../current")
    assert json.loads((root / "state.json").read_text()) == {
        "schema": "fleetwheel.state/2",
        "environments": {
            "default": {"generation": "a-cp311-0123456789ab-1", "keep": 3, "published": {}}
        },
    }


def test_a_generation_that_is_gone_is_not_activated(root: Path, lock: str) -> None:
    run("build", root, **building(lock))
    run("activate", root, **activating("a-cp311-0123456789ab-1"))
    answer = run("activate", root, **activating("b-cp311-0123456789ab-1"))
    assert "b-cp311-0123456789ab-1 is not there" in answer["error"]
    assert (root / "current").readlink() == Path("envs/a-cp311-0123456789ab-1")


def test_another_uv_than_the_pinned_one_is_refused(root: Path, lock: str) -> None:
    (root / "bin/uv.new").write_text("#!/bin/sh\n")
    answer = run("build", root, **building(lock))
    assert "is not the uv that was sent" in answer["error"]
    assert [path.name for path in (root / "bin").iterdir()] == ["uv.new"]


def test_the_name_of_uv_says_what_it_is(root: Path, lock: str) -> None:
    (root / "bin/uv-0.0.1-0123456789abcdef").touch()
    (root / "bin/uv").symlink_to("uv-0.0.1-0123456789abcdef")
    assert run("build", root, **building(lock))["ok"]
    named = root / "bin" / building(lock)["uv_name"]
    assert (root / "bin/uv").readlink() == Path(named.name)
    assert named.read_bytes() == UV.read_bytes()
    assert [path.name for path in (root / "bin").glob("*") if path.name != "uv"] == [named.name]


def test_a_wrong_hash_builds_nothing(root: Path, lock: str) -> None:
    wrong = lock.replace(lock.split('sha256 = "')[1][:8], "00000000")
    answer = run("build", root, **building(wrong))
    assert "Hash mismatch" in answer["error"]
    assert "relock" in answer["hint"]
    assert built(root) == set()


def test_too_little_space_is_said_before_anything_is_installed(root: Path, lock: str) -> None:
    answer = run("build", root, **building(lock, needed_bytes=10**18))
    assert "the environment needs 1000000000.0 GB" in answer["error"]
    assert built(root) == set()


def test_a_file_edited_in_one_generation_does_not_spoil_the_next(root: Path, lock: str) -> None:
    """Generations are hard links into uv's cache: an edit would travel with it."""
    run("build", root, **building(lock))
    edited = next((root / "envs/a-cp311-0123456789ab-1/lib").glob("*/site-packages/alpha.py"))
    assert edited.stat().st_nlink > 1
    with edited.open("a") as file:
        file.write("__version__ = 'edited'\n")
    assert run("build", root, **building(lock, id="a-cp311-0123456789ab-2"))["ok"]
    python = root / "envs/a-cp311-0123456789ab-2/bin/python"
    said = subprocess.check_output([python, "-c", "import alpha; print(alpha.__version__)"])
    assert said == b"1.0+cpu\n"


def test_what_no_record_names_is_found(root: Path, lock: str) -> None:
    """A .pth runs at each start, and so does what hides in a dist-info that is no package."""
    run("build", root, **building(lock))
    place = root / "envs/a-cp311-0123456789ab-1"
    site = next(place.glob("lib/python3*/site-packages"))
    subprocess.run([place / "bin/python", "-m", "compileall", "-q", site], check=True)
    assert list(site.glob("__pycache__/alpha.*.pyc"))
    assert run("verify", root, id="a-cp311-0123456789ab-1") == {
        "ok": True,
        "damaged": [],
        "unrecorded": [],
    }
    hidden = site / "hidden-1.dist-info"
    hidden.mkdir()
    (hidden / "RECORD").write_text("hidden.pth,,\nhidden-1.dist-info/RECORD,,\n")
    (site / "hidden.pth").write_text("import os\n")
    (site / "__pycache__/orphan.cpython-311.pyc").write_bytes(b"")
    (site / "linked").symlink_to("/tmp")
    (place / "bin/torchrun").write_text("")
    inside = str(site.relative_to(place))
    assert run("verify", root, id="a-cp311-0123456789ab-1")["unrecorded"] == [
        "bin/torchrun",
        f"{inside}/__pycache__/orphan.cpython-311.pyc",
        f"{inside}/hidden-1.dist-info/RECORD",
        f"{inside}/hidden.pth",
        f"{inside}/linked",
    ]


def test_pip_belongs_to_an_environment_without_one(root: Path, lock: str) -> None:
    run("build", root, **building(lock))
    generation = root / "envs/a-cp311-0123456789ab-1"
    script = f"source {generation}/bin/activate && pip --version"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.returncode == 1 and "is deployed by fleetwheel" in done.stderr
    answer = run("verify", root, id=generation.name)
    assert answer == {"ok": True, "damaged": [], "unrecorded": []}
    (generation / "bin/pip3").write_text("#!/bin/sh\n")
    assert run("verify", root, id=generation.name)["damaged"] == ["fleetwheel"]


def test_a_real_pip_of_the_lock_stays(root: Path, tmp_path: Path) -> None:
    files = {"pip.py": "", "pip-99.data/scripts/pip": "#!python\nprint('the real one')\n"}
    run("build", root, **building(lock_of(make_wheel(tmp_path / "w", "pip", "99", files=files))))
    pip = root / "envs/a-cp311-0123456789ab-1/bin/pip"
    assert subprocess.check_output([pip], text=True) == "the real one\n"
    assert not pip.with_name("pip3").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to a group")
def test_who_is_not_of_the_group_reads_neither_environment_nor_cache(root: Path, lock: str) -> None:
    group = grp.getgrnam("daemon")
    run("build", root, **building(lock, group=group.gr_name))
    generation = root / "envs/a-cp311-0123456789ab-1"
    found = generation.stat()
    assert (found.st_mode & 0o777, found.st_gid) == (0o750, group.gr_gid)
    assert (root / "cache").stat().st_mode & 0o777 == 0o700
    module = next(generation.glob("lib/*/site-packages/alpha.py")).stat()
    assert module.st_nlink > 1 and module.st_mode & 0o004, "links of the cache keep their modes"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to a group")
@pytest.mark.parametrize("group", ["daemon", None])
def test_nobody_else_gets_into_an_environment_that_is_not_complete(
    root: Path, lock: str, tmp_path: Path, group: str | None
) -> None:
    modes, program = tmp_path / "modes", root / "bin/uv.new"
    looks = f"stat -c %a '{root}'/envs/.building-* >>'{modes}'"
    program.write_text(f"#!/bin/sh\n'{UV}' \"$@\" && {looks}\n")
    sha256 = hashlib.sha256(program.read_bytes()).hexdigest()
    assert run("build", root, **building(lock, group=group, uv_sha256=sha256))["ok"]
    assert modes.read_text().split() == ["700", "700"], "once made, and with its packages"
    there = root / "envs/a-cp311-0123456789ab-1"
    assert there.stat().st_mode & 0o777 == (0o750 if group else 0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to a group")
def test_who_has_the_cache_open_when_it_is_closed_sees_nothing_new(root: Path, lock: str) -> None:
    run("build", root, **building(lock))
    run("build", root, **building(lock, id="b-cp311-0123456789ab-1", group="daemon"))
    before = [path for path in (root / "cache").rglob("*") if path.is_dir()]
    archives = [path for path in before if path.parent.name.startswith("archive-")]
    assert archives and all(path.parent.stat().st_mode & 0o777 == 0o700 for path in archives)
    run("build", root, **building(lock, id="c-cp311-0123456789ab-1"))
    inside = root / "envs/c-cp311-0123456789ab-1/lib"
    assert {path.stat().st_mode & 0o777 for path in inside.rglob("*") if path.is_dir()} == {0o755}


@pytest.mark.parametrize("action", ["build", "place"])
def test_a_closed_umask_closes_nothing_to_other_users(root: Path, lock: str, action: str) -> None:
    before = os.umask(0o077)
    try:
        given = {"build": building(lock), "place": {"digest": remote.digest()}}
        assert run(action, root, **given[action])["ok"]
    finally:
        os.umask(before)
    own = {root / name for name in (".lock", "cache")}
    shut = [
        path
        for path in root.rglob("*")
        if not path.is_symlink() and not path.stat().st_mode & 0o004
        if not own & {path, *path.parents}
    ]
    assert shut == []


def test_an_edit_of_our_own_files_is_found(root: Path, lock: str) -> None:
    run("build", root, **building(lock))
    hook = next(
        (root / "envs/a-cp311-0123456789ab-1").glob(
            "lib/python3*/site-packages/fleetwheel_generation.py"
        )
    )
    hook.write_text("import os\n")
    assert run("verify", root, id="a-cp311-0123456789ab-1")["damaged"] == ["fleetwheel"]


def test_a_quick_look_finds_what_is_gone_or_cut(root: Path, lock: str) -> None:
    run("build", root, **building(lock))
    site = next((root / "envs/a-cp311-0123456789ab-1").glob("lib/python3*/site-packages"))
    quick = {"id": "a-cp311-0123456789ab-1", "hashes": False}
    assert run("verify", root, **quick) == {"ok": True, "damaged": []}
    module = site / "alpha.py"
    text = module.read_text()
    for content, damaged in ((text.upper(), []), (text[:-1], ["alpha"]), (None, ["alpha"])):
        module.unlink()
        if content is not None:
            module.write_text(content)
        assert run("verify", root, **quick)["damaged"] == damaged
    shutil.rmtree(root / "envs/a-cp311-0123456789ab-1/lib")
    for hashes in (False, True):
        assert run("verify", root, id="a-cp311-0123456789ab-1", hashes=hashes)["damaged"] == [
            "every package"
        ]


def test_a_wheel_whose_record_has_wrong_sizes_is_whole(root: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", "beta", "1.0", sizes={"beta.py": 7})
    run("build", root, **building(lock_of(wheel)))
    assert run("verify", root, id="a-cp311-0123456789ab-1", hashes=False)["damaged"] == []


def test_a_generation_loses_its_bytecode_alone(root: Path, lock: str) -> None:
    run("build", root, **building(lock))
    site = next(root.glob("envs/a-cp311-0123456789ab-1/lib/*/site-packages"))
    half = site / "__pycache__" / "alpha.pyc"
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(b"half a file")
    assert run("drop_bytecode", root, id="a-cp311-0123456789ab-1")["ok"]
    assert not half.exists()
    assert (site / "alpha.py").exists()


def test_a_wheel_that_contradicts_its_own_record_builds_nothing(root: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels", "alpha", "1.0", record={"alpha.py": "sha256=AAAA"})
    answer = run("build", root, **building(lock_of(wheel)))
    assert "differ from the wheels' RECORD: alpha" in answer["error"]
    assert built(root) == set()


def test_what_was_in_use_last_stays_before_what_was_built_last(root: Path, lock: str) -> None:
    for number, id in enumerate(["a-cp311-0123456789ab-1", "a-cp311-0123456789ab-2"]):
        build_long_ago(root, lock, id)
        os.utime(root / "envs" / id, (number, number))
    run("activate", root, **activating("a-cp311-0123456789ab-1"))
    run("build", root, **building(lock, id="a-cp311-0123456789ab-3"))
    assert run("activate", root, **activating("a-cp311-0123456789ab-3", keep=2))["removed"] == [
        "a-cp311-0123456789ab-2"
    ]


def test_wheels_of_a_local_directory_are_built_again_once_the_cache_was_trimmed(
    root: Path, lock: str, tmp_path: Path
) -> None:
    """With ``keep: 1``, to another torch and back; then removed, and deployed again."""
    newer = lock_of(make_wheel(tmp_path / "wheels", "alpha", "2.0+cpu"))
    build_long_ago(root, lock, "old-cp311-0123456789ab-1")
    run("activate", root, **activating("old-cp311-0123456789ab-1", keep=1))
    build_long_ago(root, newer, "new-cp311-0123456789ab-1")
    assert run("activate", root, **activating("new-cp311-0123456789ab-1", keep=1))["removed"] == [
        "old-cp311-0123456789ab-1"
    ]
    assert run("build", root, **building(lock, id="old-cp311-0123456789ab-1")) == {
        "ok": True,
        "built": "old-cp311-0123456789ab-1",
    }
    run("activate", root, **activating("old-cp311-0123456789ab-1", keep=1))
    assert run("remove", root, environment="default")["ok"]
    assert run("build", root, **building(lock, id="old-cp311-0123456789ab-1")) == {
        "ok": True,
        "built": "old-cp311-0123456789ab-1",
    }


def test_leftovers_of_a_killed_build_are_swept(root: Path, lock: str) -> None:
    (root / "envs/.building-old-cp311-0123456789ab-1").mkdir(parents=True)
    run("build", root, **building(lock))
    assert built(root) == {"a-cp311-0123456789ab-1"}


def test_one_run_at_a_time(root: Path, lock: str) -> None:
    with (root / ".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        answer = run("build", root, **building(lock))
    assert "another run is at work" in answer["error"]


def test_a_build_ends_when_nobody_reads_its_answer(root: Path, lock: str, tmp_path: Path) -> None:
    """As after Ctrl-C on the controller or a cut connection: nothing half made stays."""
    slow = tmp_path / "slow-python"
    slow.write_text(f'#!/bin/sh\ntouch {tmp_path}/asked\nsleep 30\nexec {PYTHON} "$@"\n')
    slow.chmod(0o755)
    process = start("build", root, **building(lock, python=str(slow)))
    deadline = time.monotonic() + 20
    while not (tmp_path / "asked").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.stdout
    process.stdout.close()
    assert process.wait(timeout=10) != 0
    assert built(root) == set()


def test_only_the_newest_generations_stay(root: Path, lock: str) -> None:
    for number, id in enumerate(
        ["a-cp311-0123456789ab-1", "a-cp311-0123456789ab-2", "a-cp311-0123456789ab-3"]
    ):
        build_long_ago(root, lock, id)
        run("activate", root, **activating(id))
        os.utime(root / "envs" / id, (number, number))
    run("build", root, **building(lock, id="a-cp311-0123456789ab-4"))
    answer = run("activate", root, **activating("a-cp311-0123456789ab-4", keep=2))
    assert sorted(answer["removed"]) == ["a-cp311-0123456789ab-1", "a-cp311-0123456789ab-2"]
    assert built(root) == {"a-cp311-0123456789ab-3", "a-cp311-0123456789ab-4"}


def test_a_failed_generation_goes_before_a_good_one(root: Path, lock: str) -> None:
    for id in (
        "good-cp311-0123456789ab-1",
        "failed-cp311-0123456789ab-1",
        "new-cp311-0123456789ab-1",
    ):
        run("build", root, **building(lock, id=id))
    answer = run(
        "activate",
        root,
        **activating("new-cp311-0123456789ab-1", keep=2, failed=["failed-cp311-0123456789ab-1"]),
    )
    assert answer["removed"] == ["failed-cp311-0123456789ab-1"]
    assert built(root) == {"good-cp311-0123456789ab-1", "new-cp311-0123456789ab-1"}


def test_a_process_stays_in_its_generation_and_keeps_it(
    root: Path, lock: str, tmp_path: Path
) -> None:
    """Started through ``current``, which then moves on: it imports from where it started."""
    newer = lock_of(make_wheel(tmp_path / "wheels", "alpha", "2.0+cpu"))
    build_long_ago(root, lock, "old-cp311-0123456789ab-1")
    run("activate", root, **activating("old-cp311-0123456789ab-1"))
    program = "import sys; input(); import alpha; print(alpha.__version__, sys.executable)"
    with subprocess.Popen(
        [root / "current/bin/python", "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for_lease(root / "envs/old-cp311-0123456789ab-1")
        run("build", root, **building(newer, id="new-cp311-0123456789ab-1"))
        assert (
            run("activate", root, **activating("new-cp311-0123456789ab-1", keep=1))["removed"] == []
        )
        said, _ = process.communicate("\n")
    assert said == f"1.0+cpu {root}/envs/old-cp311-0123456789ab-1/bin/python\n"
    assert run("activate", root, **activating("new-cp311-0123456789ab-1", keep=1))["removed"] == [
        "old-cp311-0123456789ab-1"
    ]


def wait_for_lease(generation: Path) -> None:
    deadline = time.monotonic() + 10
    while not in_use(generation):
        assert time.monotonic() < deadline, "the process took no lease"
        time.sleep(0.02)


@contextmanager
def running(program: str, *command: Path | str) -> Iterator[subprocess.Popen[str]]:
    """A Python at work until the block ends, once it has said a line."""
    given = [*command, "-c", f"{program}; print('ready', flush=True); input()"]
    pipe = subprocess.PIPE
    with subprocess.Popen(given, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        yield process
        process.kill()


FLOCK = "import fcntl; file = open(r'{}'); fcntl.flock(file, fcntl.LOCK_{})"


def test_a_stranger_s_lock_pins_no_generation(root: Path, lock: str) -> None:
    build_long_ago(root, lock, "old-cp311-0123456789ab-1", "new-cp311-0123456789ab-1")
    with running(
        FLOCK.format(root / "envs/old-cp311-0123456789ab-1/pyvenv.cfg", "SH"), sys.executable
    ):
        assert run("activate", root, **activating("new-cp311-0123456789ab-1", keep=1))[
            "removed"
        ] == ["old-cp311-0123456789ab-1"]


def test_a_stranger_s_lock_strips_no_job_of_its_lease(root: Path, lock: str) -> None:
    """A job that starts while the lock is held, its children included, keeps its environment."""
    build_long_ago(root, lock, "old-cp311-0123456789ab-1", "new-cp311-0123456789ab-1")
    forked = "import os, time; pid = os.fork(); pid or time.sleep(60)"
    with running(
        FLOCK.format(root / "envs/old-cp311-0123456789ab-1/pyvenv.cfg", "EX"), sys.executable
    ):
        with running(forked, root / "envs/old-cp311-0123456789ab-1/bin/python") as job:
            assert (
                run("activate", root, **activating("new-cp311-0123456789ab-1", keep=1))["removed"]
                == []
            )
            children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
        assert (
            run("activate", root, **activating("new-cp311-0123456789ab-1", keep=1))["removed"] == []
        )
    os.kill(int(children[0]), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while in_use(root / "envs/old-cp311-0123456789ab-1"):
        assert time.monotonic() < deadline
    assert run("activate", root, **activating("new-cp311-0123456789ab-1", keep=1))["removed"] == [
        "old-cp311-0123456789ab-1"
    ]


def test_who_cannot_write_to_the_lease_cannot_take_it_away(tmp_path: Path) -> None:
    (tmp_path / "pyvenv.cfg").touch()
    whole = struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 0, 0)
    with (tmp_path / "pyvenv.cfg").open() as file, pytest.raises(OSError, match="Bad file"):
        fcntl.fcntl(file, 37, whole)


def test_the_lease_of_an_earlier_fleetwheel_counts(root: Path, lock: str) -> None:
    """Its environments hold a flock, and have no RECORD of what fleetwheel put there."""
    build_long_ago(root, lock, "old-cp311-0123456789ab-1", "new-cp311-0123456789ab-1")
    (root / "envs/old-cp311-0123456789ab-1/RECORD").unlink()
    with (root / "envs/old-cp311-0123456789ab-1/pylock.toml").open("a") as copy:
        copy.write("[tool.fleetwheel.target]\n")
    with running(
        FLOCK.format(root / "envs/old-cp311-0123456789ab-1/pyvenv.cfg", "SH"), sys.executable
    ):
        assert (
            run("activate", root, **activating("new-cp311-0123456789ab-1", keep=1))["removed"] == []
        )
    assert run("activate", root, **activating("new-cp311-0123456789ab-1", keep=1))["removed"] == [
        "old-cp311-0123456789ab-1"
    ]


def test_others_cannot_hold_the_lock_of_a_root(root: Path, lock: str) -> None:
    (root / ".lock").touch(0o644)
    run("build", root, **building(lock))
    assert (root / ".lock").stat().st_mode & 0o777 == 0o600


def test_what_an_interrupted_uv_left_in_its_cache_goes(root: Path, lock: str) -> None:
    left = root / "cache/uv/.tmpAbCdEf/torch"
    left.mkdir(parents=True)
    run("build", root, **building(lock))
    assert not left.parent.exists()


@pytest.mark.parametrize("failing", ["symlink", "rename"])
def test_current_is_never_absent(
    root: Path, lock: str, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    run("build", root, **building(lock, id="old-cp311-0123456789ab-1"))
    run("activate", root, **activating("old-cp311-0123456789ab-1"))

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    place, name = (Path, "symlink_to") if failing == "symlink" else (os, "replace")
    monkeypatch.setattr(place, name, full)
    with pytest.raises(OSError, match="No space left"):
        link.point(root / "current", Path("envs/new-cp311-0123456789ab-1"))
    assert (root / "current").readlink() == Path("envs/old-cp311-0123456789ab-1")


def test_how_much_is_there_is_read_from_what_uv_says(tmp_path: Path) -> None:
    said = """\
Using Python 3.11.7 environment at: v
Downloading numpy (512.0KiB)
Downloading torch (1.5GiB)
 Downloaded numpy
 Downloaded torch
Prepared 2 packages in 546ms
"""
    fetching = Fetching(tmp_path / "progress")
    seen = []
    for line in said.splitlines():
        fetching.hear(line)
        if fetching.path.exists():
            seen.append(fetching.path.read_text())
    assert list(dict.fromkeys(seen)) == [
        "fetched 0 of 0 MiB, at numpy\n",
        "fetched 0 of 1536 MiB, at numpy, torch\n",
        "fetched 0 of 1536 MiB, at torch\n",
        "fetched 1536 of 1536 MiB\n",
    ]

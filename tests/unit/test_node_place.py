"""Where the program for hosts stands on one: complete or not at all, and the last two versions."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fleetwheel.collectors import environments, program, script, sections
from fleetwheel.node import place
from fleetwheel.node.pack import digest_of
from fleetwheel.node.root import Failure
from fleetwheel.node.trust import why_distrusted
from tests import node_program

DIGEST = program.digest()


def placed(root: Path) -> Path:
    """Place the program as a deploy on a new host does; return its directory."""
    done = node_program.run_sent(sys.executable, "place", {"root": str(root), "digest": DIGEST})
    assert json.loads(done.stdout) == {"ok": True, "placed": DIGEST, "distrusted": ""}, done.stderr
    return root / "lib" / f"node-{DIGEST}"


def seen(root: Path) -> tuple[str, ...]:
    """Return which programs the question about the host names."""
    command = ["sh", "-c", script("environments"), "sh", str(root), "", ""]
    lines = subprocess.check_output(command, text=True).split("\n")
    return environments.parse_environments(sections(lines, "environments")["environments"]).node


def test_it_is_there_compiled_and_for_everyone_to_read(tmp_path: Path) -> None:
    home = placed(tmp_path)
    assert digest_of(place.contents(home)) == DIGEST
    assert home.stat().st_mode & 0o777 == 0o755
    compiled = {path.name.split(".")[0] for path in home.rglob("*.pyc")}
    assert compiled == {path.stem for path in home.rglob("*.py")}
    assert [path.name for path in home.parent.iterdir()] == [home.name]
    assert seen(tmp_path) == (DIGEST,)
    given = {"places": [], "seconds": 1}
    done = node_program.run(sys.executable, home, "reach", given)
    assert json.loads(done.stdout) == {"ok": True, "unreached": {}}


def test_a_second_time_changes_nothing_in_it(tmp_path: Path) -> None:
    home = placed(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    placed(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before


def test_running_it_writes_nothing(tmp_path: Path) -> None:
    home = placed(tmp_path)
    for compiled in home.rglob("*.pyc"):
        compiled.unlink()
    node_program.run(sys.executable, home, "verify", {"root": str(tmp_path), "id": "none"})
    assert list(home.rglob("*.pyc")) == []


def test_the_last_two_versions_stay(tmp_path: Path) -> None:
    home = placed(tmp_path)
    for age, name in enumerate(["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccccccc"]):
        old = home.with_name(f"node-{name}")
        old.mkdir()
        os.utime(old, (age, age))
    home.with_name(".placing-left").mkdir()
    placed(tmp_path)
    assert sorted(path.name for path in home.parent.iterdir()) == sorted(
        [home.name, "node-cccccccccccccccc"]
    )


def test_a_damaged_one_is_replaced(tmp_path: Path) -> None:
    home = placed(tmp_path)
    (home / "fleetwheel/node/verify.py").write_text("nothing\n")
    (home / "fleetwheel/node/more.py").touch()
    placed(tmp_path)
    assert digest_of(place.contents(home)) == DIGEST


def test_another_program_than_was_sent_is_not_kept(tmp_path: Path) -> None:
    given = {"root": str(tmp_path), "digest": "0000000000000000"}
    answer = json.loads(node_program.run_sent(sys.executable, "place", given).stdout)
    assert (answer["ok"], "is not the program that was sent" in answer["error"]) == (False, True)
    assert list((tmp_path / "lib").glob("node-*")) == []


def test_a_full_disk_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = placed(tmp_path)
    (home / "fleetwheel/node/verify.py").write_text("nothing\n")
    monkeypatch.setattr(place, "HERE", node_program.unpacked(tmp_path))

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(place.shutil, "copytree", full)
    with pytest.raises(OSError, match="No space left"):
        place.place(str(tmp_path), DIGEST)
    assert (home / "fleetwheel/node/verify.py").read_text() == "nothing\n"


def test_one_run_at_a_time(tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / ".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Failure, match="another run is at work"):
            place.place(str(tmp_path), DIGEST)


def test_by_hand_it_starts_with_the_python_that_placed_it(tmp_path: Path) -> None:
    root = tmp_path / "root of it's"
    placed(root)
    launcher = root / "bin/fleetwheel-node"
    done = subprocess.run([launcher, "test", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: fleetwheel-node test ")
    gone = launcher.read_text().replace(sys.executable, "/gone/python")
    launcher.write_text(gone)
    subprocess.run([launcher, "test", "--help"], capture_output=True, check=True)
    none = subprocess.run([launcher], env={"PATH": "/nowhere"}, capture_output=True, text=True)
    assert (none.returncode, "no Python is left" in none.stderr) == (3, True)


@pytest.mark.parametrize(
    ("path", "mode", "owner", "trusted"),
    [
        (".", 0o755, 0, True),
        (".", 0o775, 0, False),
        (".", 0o757, 0, False),
        (".", 0o1777, 0, True),
        (".", 0o755, 1234, False),
        ("root", 0o777, 0, False),
        ("root/lib", 0o755, 1234, False),
        (f"root/lib/node-{DIGEST}", 0o775, 0, False),
        (f"root/lib/node-{DIGEST}/question.sh", 0o644, 1234, False),
        (f"root/lib/node-{DIGEST}/fleetwheel/node/look.py", 0o666, 0, False),
        (f"root/lib/node-{DIGEST}/fleetwheel/node/smoke", 0o1777, 0, False),
    ],
)
def test_what_others_may_have_written_is_not_run(
    tmp_path: Path, path: str, mode: int, owner: int, trusted: bool
) -> None:
    if os.getuid():
        pytest.skip("only root gives files to others")
    node_program.placed(tmp_path / "root")
    (tmp_path / path).chmod(mode)
    os.chown(tmp_path / path, owner, -1)
    assert seen(tmp_path / "root") == ((DIGEST,) if trusted else ())
    assert bool(why_distrusted(tmp_path / f"root/lib/node-{DIGEST}")) is not trusted


def test_a_link_is_followed_to_what_it_leads_to(tmp_path: Path) -> None:
    node_program.placed(tmp_path / "open/root")
    (tmp_path / "link").symlink_to("open/root")
    assert seen(tmp_path / "link") == (DIGEST,)
    (tmp_path / "open").chmod(0o777)
    assert seen(tmp_path / "link") == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_a_link_of_another_user_is_not_followed(tmp_path: Path) -> None:
    home = node_program.placed(tmp_path / "root")
    (tmp_path / "link").symlink_to("root")
    os.lchown(tmp_path / "link", 1234, -1)
    assert seen(tmp_path / "link") == ()
    assert why_distrusted(tmp_path / "link/lib" / home.name).startswith(f"{tmp_path}/link belongs")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_whom_the_inventory_trusts_may_own_it(tmp_path: Path) -> None:
    home = node_program.placed(tmp_path / "root")
    os.chown(home / "question.sh", 1234, 1235)
    (home / "question.sh").chmod(0o664)
    assert not why_distrusted(home, users=["1234"], groups=["1235"])
    assert "group unknown (1235) can write" in why_distrusted(home, users=["1234"])
    assert "belongs to unknown (1234)" in why_distrusted(home, groups=["1235"])
    assert why_distrusted(home, acting="no-such-user") == "nobody knows no-such-user"

"""What others than root and the user who acts could change: a shell that looks at real files."""

import os
import pwd
import re
import subprocess
from pathlib import Path

import pytest

from fleetwheel.node.trust import rule, why_distrusted

OTHER = pwd.getpwnam("nobody").pw_uid
ROOT = "root"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/program").write_text("")
    return tmp_path


def others(path: Path | str, user: str = ROOT, function: str = "trusts_all") -> str:
    """Return the first place that others than root and a user could change."""
    why = why_distrusted(Path(path), function, acting=user)
    found = re.search(r"(/.*?)( belongs to .*| is a link .*)?$", why)
    assert bool(found) is bool(why), why
    return found[1] if found else ""


def test_what_is_roots_alone(base: Path) -> None:
    assert others(base / "a/b/program") == ""
    assert others(base) == ""
    assert why_distrusted(base / "nothing/there") == f"{base}/nothing does not exist"
    everybodys = base / "everybodys"
    everybodys.mkdir()
    everybodys.chmod(0o1777)
    assert others(everybodys) == str(everybodys), "everybody writes into it"
    assert others(everybodys / "new", function="trusts") == str(everybodys)


@pytest.mark.parametrize("part", ["a", "a/b", "a/b/program"])
def test_an_owner_anywhere_on_the_way(base: Path, part: str) -> None:
    os.chown(base / part, OTHER, 0)
    assert others(base / "a/b/program") == str(base / part)
    assert others(base / "a/b/program", "nobody") == ""
    assert others(base / "a/b/program", "daemon") == str(base / part)


@pytest.mark.parametrize(
    ("mode", "found"),
    [(0o755, False), (0o775, True), (0o757, True), (0o2775, True), (0o1777, False)],
)
def test_modes_on_the_way(base: Path, mode: int, found: bool) -> None:
    (base / "a").chmod(mode)
    assert bool(others(base / "a/b/program")) is found


def test_in_a_sticky_directory_the_next_component_counts(base: Path) -> None:
    (base / "a").chmod(0o1777)
    os.chown(base / "a/b", OTHER, 0)
    assert others(base / "a/b/program") == str(base / "a/b")
    os.chown(base / "a/b", 0, 0)
    os.chown(base / "a", OTHER, 0)
    assert others(base / "a/b/program") == str(base / "a"), "its owner renames what is in it"


def test_a_group_is_a_users_own_or_somebody_elses(base: Path) -> None:
    user = pwd.getpwnam("daemon")
    for path in (base / "a", base / "a/b"):
        os.chown(path, user.pw_uid, user.pw_gid)
        path.chmod(0o775)
    assert others(base / "a/b", "daemon") == ""
    os.chown(base / "a/b", user.pw_uid, 100)
    assert others(base / "a/b", "daemon") == str(base / "a/b")
    os.chown(base / "a/b", 0, 0)
    assert others(base / "a/b", "daemon") == str(base / "a/b")


@pytest.mark.parametrize("relative", [True, False])
def test_links_are_followed_component_by_component(base: Path, relative: bool) -> None:
    """A link of root's to a link of another user's, who can lead it elsewhere at any time."""
    theirs = base / "theirs"
    theirs.mkdir()
    (theirs / "hop").symlink_to("../a/b" if relative else base / "a/b")
    (base / "project").symlink_to("theirs/hop" if relative else theirs / "hop")
    assert others(base / "project/program") == ""
    os.chown(theirs, OTHER, 0)
    assert others(base / "project/program") == str(theirs)


def test_a_link_of_another_user(base: Path) -> None:
    (base / "project").symlink_to("a")
    os.lchown(base / "project", OTHER, 0)
    assert others(base / "project/b") == str(base / "project")


def test_a_find_that_cannot_tell_is_not_taken_for_a_good_word(base: Path) -> None:
    (base / "find").write_text("#!/bin/sh\nexit 1\n")
    (base / "find").chmod(0o755)
    script = f'{rule()}\nknow_trusted "" ""; trusts_all "$0" || echo "$why"'
    environment = {"PATH": f"{base}:{os.environ['PATH']}"}
    said = subprocess.check_output(["sh", "-c", script, base], env=environment, text=True)
    assert said == "some of it cannot be looked at\n"


def test_links_that_go_round_end(base: Path) -> None:
    (base / "one").symlink_to("two")
    (base / "two").symlink_to("one")
    assert others(base / "one/b") in {str(base / "one"), str(base / "two")}


@pytest.mark.parametrize("name", ["plain", "with space", "-print", "$(id)", "*", "a\nroot"])
def test_names_are_names(base: Path, name: str) -> None:
    odd = base / "a" / name
    odd.write_text("")
    assert others(base / "a") == ""
    os.chown(odd, OTHER, 0)
    if name.isprintable():
        assert others(odd) == str(odd)
    else:
        assert why_distrusted(odd) == "control characters in a name"
    assert others(base / "a").splitlines() == [str(odd).splitlines()[0]]


def test_what_links_in_a_directory_point_to(base: Path) -> None:
    theirs = base / "theirs"
    theirs.mkdir()
    os.chown(theirs, OTHER, 0)
    (base / "a/facts").symlink_to("../theirs/facts")
    assert others(base / "a") == str(theirs)


@pytest.mark.parametrize("place", ["", "in -> a/", "in\n/"])
@pytest.mark.parametrize("name", ["facts -> b", "facts\nb", "facts -> b\nc", "facts\n", "facts"])
def test_no_name_hides_where_a_link_leads(base: Path, place: str, name: str) -> None:
    theirs = base / "theirs"
    theirs.mkdir()
    os.chown(theirs, OTHER, 0)
    link = base / "a" / f"{place}{name}"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(theirs / "facts")
    odd = f"a link in {base}/a has an odd name"
    plain = f"{theirs} belongs to nobody ({OTHER})"
    assert why_distrusted(base / "a") == (odd if place or name != "facts" else plain)


def test_a_line_break_at_the_end_of_a_link_is_read(base: Path) -> None:
    (base / "a/link").symlink_to(f"{base}/a/b\n")
    assert why_distrusted(base / "a/link") == "control characters in a name"


@pytest.mark.parametrize(
    "environment",
    [{"QUOTING_STYLE": "shell-always"}, {"TIME_STYLE": "+/x/"}, {"LC_ALL": "C.UTF-8"}],
    ids=str,
)
def test_how_ls_writes_is_not_the_users_choice(
    base: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    theirs = base / "theirs"
    theirs.mkdir()
    os.chown(theirs, OTHER, 0)
    (base / "a" / os.fsdecode(b"\xff it's")).symlink_to(theirs / "facts")
    assert others(base / "a") == str(theirs)

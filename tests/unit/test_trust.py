"""Who else could change what a host runs: the rule by itself, and attacks on real files."""

import hashlib
import itertools
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fleetwheel.collectors import program, script
from fleetwheel.host.trust import Trust
from fleetwheel.node import trust
from fleetwheel.operations import _commands
from tests.deploying import hosts
from tests.machine import Machine, away_while_asked
from tests.unit.test_asking import SHELLS, generation

RULE = trust.rule()
ME, MY_GROUP, STRANGER, LAB = 1000, 1000, 4711, 4712
GNU = "ls (GNU coreutils) 9.1"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="giving files to others takes root")


def rule(calls: str, *, uid: int, groups: str = "", shell: str = "sh") -> list[str]:
    """Return what shell calls print, for a user who trusts only itself and groups by number."""
    known = f'owners=" 0 {uid} " writers=" {groups} " judged=$end shared=$end closed=$end\n'
    text = f"{RULE}\ngetent() {{ :; }}\n{known}{calls}\n"
    return subprocess.check_output([*shell.split(), "-c", text], text=True).splitlines()


def verdict(mode: str, owner: int, group: int, *, uid: int, groups: str = "") -> str:
    """Return ``safe``, ``open`` for a sticky directory, or why the path is not trusted."""
    (said,) = rule(
        f'judge /x "{mode}" 1 {owner} {group} && echo "${{open:+open}}" || echo "$why"',
        uid=uid,
        groups=groups,
    )
    return said or "safe"


@pytest.mark.parametrize(
    ("mode", "owner", "group", "said"),
    [
        ("drwxr-xr-x", 0, 0, "safe"),
        ("drwxr-xr-x", ME, 0, "safe"),
        ("drwxr-xr-x", STRANGER, 0, "/x belongs to unknown (4711)"),
        ("lrwxrwxrwx", STRANGER, 0, "/x belongs to unknown (4711)"),
        ("lrwxrwxrwx", ME, LAB, "safe"),
        ("drwxrwxr-x", ME, MY_GROUP, "safe"),
        ("drwxrwsr-x", 0, LAB, "group unknown (4712) can write to /x"),
        ("-rwxrwxr-x.", 0, LAB, "group unknown (4712) can write to /x"),
        ("drwxrwxr-x+", ME, MY_GROUP, "an ACL lets others write to /x"),
        ("drwxr-xr-x+", ME, MY_GROUP, "safe"),
        ("drwxrwxrwx", 0, 0, "everyone can write to /x"),
        ("-rwxr-xrwt", 0, 0, "everyone can write to /x"),
        ("drwxrwxrwt", 0, 0, "open"),
        ("drwxrwx--T", 0, LAB, "open"),
        ("drwxrwxrwt", STRANGER, 0, "/x belongs to unknown (4711)"),
    ],
)
def test_the_rule_for_one_name(mode: str, owner: int, group: int, said: str) -> None:
    assert verdict(mode, owner, group, uid=ME, groups=str(MY_GROUP)) == said


def test_what_cannot_be_looked_at_is_not_trusted() -> None:
    assert rule('judge /x || echo "$why"', uid=0) == ["/x belongs to unknown (no number)"]


numbers = st.sampled_from([0, ME, STRANGER, LAB])
bits = st.integers(0, 0o1777)


def listed(kind: str, mode: int) -> str:
    """Return the mode as ls shows it."""
    text = kind + "".join(
        letter if mode >> (8 - place) & 1 else "-" for place, letter in enumerate("rwxrwxrwx")
    )
    sticky = "t" if mode & 1 else "T"
    return text[:-1] + sticky if mode & 0o1000 else text


@given(bits, numbers, numbers, st.sampled_from([0, ME]))
def test_nobody_but_owner_and_root_writes_to_what_is_safe(
    mode: int, owner: int, group: int, uid: int
) -> None:
    groups = str(MY_GROUP) if uid else ""
    said = verdict(listed("d", mode), owner, group, uid=uid, groups=groups)
    group_writes = bool(mode & 0o020) and not (uid and group == MY_GROUP)
    others_write = bool(mode & 0o002) or group_writes
    if owner not in (0, uid):
        assert said.startswith("/x belongs to")
    elif not others_write:
        # the mode alone cannot tell a sticky directory that one's own group may write to
        assert said in ("safe", "open")
    elif mode & 0o1000:
        assert said == "open"
    else:
        assert "can write to /x" in said


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user reaches, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def trusted(path: Path, *, uid: int = 0, shell: str = "sh", ask: str = "trusts") -> str:
    """Return why a path is not trusted; empty where it is."""
    call = f'{ask} {shlex.quote(str(path))} || echo "${{why:-no reason}}"'
    return "\n".join(rule(call, uid=uid, shell=shell))


def changeable(paths: list[Path], uid: int, gid: int) -> list[Path]:
    """Ask the kernel in whose place a user could put something else."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            os.write(write, bytes(replaceable(path, uid) for path in paths))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        return [path for path, found in zip(paths, answer.read(), strict=True) if found]


def replaceable(path: Path, uid: int) -> bool:
    above = path.parent.stat()
    if above.st_uid == uid or (os.access(path.parent, os.W_OK) and not above.st_mode & 0o1000):
        return True
    if not os.access(path.parent, os.X_OK):
        return False
    return path.stat().st_uid == uid or os.access(path, os.W_OK)


@as_root
def test_the_kernel_lets_no_stranger_change_what_is_trusted(place: Path) -> None:
    modes = (0o755, 0o2775, 0o757, 0o1777)
    kinds = [
        (owner, group, mode) for owner in (0, STRANGER) for group in (0, LAB) for mode in modes
    ]
    paths = []
    for outer, inner in itertools.product(range(len(kinds)), repeat=2):
        path = place / str(outer) / str(inner)
        path.mkdir(parents=True, exist_ok=True)
        for each, (owner, group, mode) in ((path.parent, kinds[outer]), (path, kinds[inner])):
            os.chown(each, owner, group)
            each.chmod(mode)
        paths.append(path)
    calls = "".join(f"trusts {path} && echo {path}\n" for path in paths) + "true"
    safe = rule(calls, uid=0)
    for uid, gid in ((STRANGER, STRANGER), (STRANGER + 5, LAB)):
        assert not {*safe} & {*map(str, changeable(paths, uid, gid))}
    assert (
        len(safe) == 4 * 2
    )  # above: closed or sticky, of two groups; below: closed, of two groups


@as_root
@pytest.mark.parametrize("shell", [" ".join(each.values[0]) for each in SHELLS])
def test_links_are_judged_with_what_they_lead_to(place: Path, shell: str) -> None:
    good, theirs = place / "good", place / "theirs"
    good.mkdir()
    theirs.mkdir()
    (theirs / "root").symlink_to("../good")
    (place / "out").symlink_to("theirs/root")
    (place / "in").symlink_to(f"{good}/../good/.")
    os.chown(theirs, STRANGER, STRANGER)
    assert trusted(place / "in", shell=shell) == ""
    assert trusted(place / "in/not/yet", shell=shell) == f"{good}/not does not exist"
    assert trusted(place / "in/not/yet", shell=shell, ask="if_there trusts") == ""
    for path in (place / "out", theirs / "root", theirs / "new", place / "in/../theirs"):
        assert trusted(path, shell=shell) == f"{theirs} belongs to unknown ({STRANGER})"
    (place / "round").symlink_to("round")
    assert "leads to no end" in trusted(place / "round", shell=shell)
    assert "control characters" in trusted(place / "a\nb", shell=shell)


@as_root
def test_a_sticky_directory_is_safe_to_pass_and_no_place_to_be(place: Path) -> None:
    shared = place / "shared"
    (shared / "mine").mkdir(parents=True)
    (shared / "theirs").mkdir()
    os.chown(shared / "theirs", STRANGER, STRANGER)
    shared.chmod(0o1777)
    assert trusted(shared / "mine") == ""
    for ask in ("trusts", "if_there trusts"):
        assert trusted(shared / "not yet", ask=ask) == f"everyone can write to {shared}"
    assert "theirs belongs to" in trusted(shared / "theirs" / "x")
    assert trusted(shared) == f"everyone can write to {shared}"


def acl(user: int) -> bytes:
    """Return an ACL that lets one more user write, as Linux keeps it in an extended attribute."""
    nobody = 0xFFFFFFFF
    entries = [(1, 7, nobody), (2, 7, user), (4, 5, nobody), (16, 7, nobody), (32, 5, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@as_root
@pytest.mark.parametrize("which", ["access", "default"])
def test_an_acl_of_a_root(away: Machine, which: str) -> None:
    """One that counts for what is made in a directory does not show in the directory's mode."""
    away.write("root of it/envs/x", "")
    os.setxattr(away.root / "envs", f"system.posix_acl_{which}", acl(STRANGER))
    said = {"access": f"an ACL lets others write to {away.root}/envs", "default": "an ACL of"}
    assert refusal(away).startswith(said[which])


def planted(machine: Machine, path: str) -> Path:
    """Make a program that leaves a mark where it runs."""
    return machine.program(path, f"echo ran >>{shlex.quote(str(machine.home))}/mark; exit 1")


def ran(machine: Machine) -> bool:
    return (machine.home / "mark").exists()


@pytest.fixture
def away(machine: Machine, place: Path) -> Machine:
    """A machine whose directories another user can reach."""
    machine.home, machine.root, machine.tree = place, place / "root of it", place / "tree"
    machine.write("tree/etc/os-release", "")
    return machine


def give_away(path: Path) -> None:
    for each in (path, *path.rglob("*")):
        os.chown(each, STRANGER, STRANGER, follow_symlinks=False)


def refusal(machine: Machine) -> str:
    """Return why the root is refused; whatever is planted there was not run or read."""
    state = machine.state("pythons", "environments")
    assert not ran(machine)
    there = state.installation
    if there.distrusted:
        assert (there.uv, there.current, there.generations, there.record) == (None, None, (), "")
    return there.distrusted


@as_root
@pytest.mark.parametrize("shell", SHELLS)
def test_a_root_that_another_user_made_first(away: Machine, shell: list[str]) -> None:
    away.shell = shell
    planted(away, "root of it/bin/uv")
    planted(away, "root of it/pythons/x/bin/python3")
    generation(away, "a-1")
    give_away(away.root)
    away.home.chmod(0o1777)
    assert refusal(away) == f"{away.root} belongs to unknown ({STRANGER})"


@as_root
@pytest.mark.parametrize(
    ("inner", "mode", "owner", "group", "words"),
    [
        ("", 0o2775, 0, LAB, "group unknown (4712) can write to"),
        ("..", 0o755, STRANGER, 0, "belongs to unknown (4711)"),
        ("bin", 0o755, STRANGER, 0, "belongs to unknown (4711)"),
        ("lib", 0o777, 0, 0, "everyone can write to"),
        ("cache/uv", 0o775, 0, LAB, "group unknown (4712) can write to"),
        ("envs", 0o1777, 0, 0, "everyone can write to"),
        ("envs/a-1", 0o755, STRANGER, 0, "belongs to unknown (4711)"),
        ("envs/a-1/lib/python3.11/site-packages", 0o775, 0, LAB, "group unknown (4712)"),
        ("pythons", 0o755, STRANGER, 0, "belongs to unknown (4711)"),
        ("state.json", 0o644, STRANGER, 0, "belongs to unknown (4711)"),
    ],
)
def test_a_root_that_another_user_can_change(
    away: Machine, inner: str, mode: int, owner: int, group: int, words: str
) -> None:
    away.root = away.home / "lab" / "root"
    for name in ("bin/uv", "lib/x", "cache/uv/x", "pythons/x/bin/python3"):
        planted(away, f"lab/root/{name}")
    away.write("lab/root/state.json", "{}")
    site = away.write("lab/root/envs/a-1/lib/python3.11/site-packages/x", "").parent
    assert site.is_dir()
    path = away.root / inner
    os.chown(path, owner, group)
    path.chmod(mode)
    for python in away.root.glob("pythons/*"):
        give_away(python)  # else it is rightly run
    assert words in refusal(away)


@as_root
@pytest.mark.parametrize("shell", SHELLS)
def test_programs_of_others_are_skipped_and_named(away: Machine, shell: list[str]) -> None:
    away.shell = shell
    names = ("python3", "nvidia-smi", "sort", "sed", "timeout", "realpath", "modinfo", "id", "ls")
    for name in names:
        planted(away, f"theirs/{name}")
    give_away(away.home / "theirs")
    away.environment = {"PATH": f"{away.home}/theirs:/usr/bin:/bin"}
    state = away.state()
    assert not ran(away)
    assert [python.path for python in state.profile.pythons] != []
    said = "\n".join(state.profile.problems)
    for name in ("python3", "nvidia-smi"):
        reason = f"{away.home}/theirs belongs to unknown ({STRANGER})"
        assert f"skipped {away.home}/theirs/{name}: {reason}" in said


@as_root
def test_a_library_that_others_can_change_is_not_loaded(away: Machine) -> None:
    away.pci("0000:01:00.0", "0x10de", "0x030000")
    library = away.write("theirs/libnvidia-ml.so.1", "")
    give_away(library.parent)
    away.environment = {"LD_LIBRARY_PATH": str(library.parent)}
    profile = away.state().profile
    assert profile.installed_driver.library is None
    assert any(f"skipped {library}: {library.parent} belongs" in p for p in profile.problems)


@as_root
@pytest.mark.parametrize(
    ("theirs", "mode", "owner"),
    [
        ("lib/python3.12", 0o777, 0),
        ("lib/python3.12/os.py", 0o666, 0),
        ("lib/python3.12/encodings/utf_8.py", 0o644, STRANGER),
        ("lib/python3.12/site-packages", 0o2775, 0),
        ("lib/python3.12/site-packages/x.pth", 0o644, STRANGER),
        ("lib/python3/dist-packages", 0o2775, 0),
        ("local/lib/python3.12/dist-packages", 0o2775, 0),
        ("local/lib/python3.12/dist-packages/sitecustomize.py", 0o664, 0),
        ("lib64/python3.12/lib-dynload", 0o755, STRANGER),
        ("lib/python312.zip", 0o644, STRANGER),
    ],
)
def test_an_interpreter_is_judged_with_what_it_starts_from(
    away: Machine, theirs: str, mode: int, owner: int
) -> None:
    planted(away, "opt/bin/python3.12")
    path = away.home / "opt" / theirs
    if path.suffix in (".py", ".pth", ".zip"):
        away.write(f"opt/{theirs}", "")
    else:
        path.mkdir(parents=True, exist_ok=True)
    os.chown(path, owner, LAB)
    path.chmod(mode)
    away.environment = {"PATH": f"{away.home}/opt/bin:/usr/bin:/bin"}
    problems = away.state("pythons").profile.problems
    assert not ran(away)
    assert any(f" {path}" in problem for problem in problems), problems


@as_root
def test_a_library_where_everyone_can_write_is_not_taken(away: Machine) -> None:
    planted(away, "opt/bin/python3.12")
    (away.home / "opt/lib/python312.zip").unlink()
    (away.home / "opt/lib").chmod(0o1777)
    away.environment = {"PATH": f"{away.home}/opt/bin:/usr/bin:/bin"}
    problems = away.state("pythons").profile.problems
    assert not ran(away)
    assert any(f"everyone can write to {away.home}/opt/lib" in problem for problem in problems)


@as_root
def test_a_copied_python_is_judged_with_the_one_it_comes_from(away: Machine) -> None:
    planted(away, "opt/bin/python3.12")
    away.write("opt/pyvenv.cfg", f"home = {away.home}/base/bin\nversion = 3.12.1\n")
    planted(away, "base/bin/python3.12")
    away.environment = {"PATH": f"{away.home}/opt/bin:/usr/bin:/bin"}
    library = away.write("base/lib/python3.12/os.py", "")
    library.chmod(0o666)
    problems = away.state("pythons").profile.problems
    assert not ran(away)
    assert any(f"everyone can write to {library}" in problem for problem in problems), problems


PRETENDS = "import posix; posix.open({mark!r}, posix.O_CREAT)"
"""A package of the library that leaves a mark; so early in its life, Python has few modules."""


@pytest.fixture
def real_python(away: Machine) -> Path:
    """A real interpreter of root's, below a directory that everyone can write to."""
    base, name = Path(sys.base_prefix), "python{}.{}".format(*sys.version_info)
    program = away.home / "opt/bin" / name
    program.parent.mkdir(parents=True)
    shutil.copy(base / "bin" / name, program)
    (away.home / "opt/lib").mkdir()
    for library in (base / "lib").glob("*python3*"):
        (away.home / "opt/lib" / library.name).symlink_to(library)
    away.home.chmod(0o1777)
    away.environment = {
        "PATH": f"{program.parent}:/usr/bin:/bin",
        "LD_LIBRARY_PATH": str(base / "lib"),
    }
    return program


@as_root
@pytest.mark.skipif(sys.version_info < (3, 11), reason="older ones look for no such file")
def test_no_library_above_an_interpreter_comes_before_its_own(
    away: Machine, real_python: Path
) -> None:
    library = "lib/python{}{}.zip".format(*sys.version_info)
    above = away.write(library, "")
    with zipfile.ZipFile(above, "w") as archive:
        archive.writestr("encodings/__init__.py", PRETENDS.format(mark=f"{away.home}/mark"))
    command = [real_python, "-I", "-S", "-c", "import sys; print(sys.prefix)"]
    subprocess.run(command, env=away.environment, capture_output=True, check=False)
    assert ran(away), "so does Python itself"
    (away.home / "mark").unlink()
    own = real_python.parents[1] / library
    said = f"unless there is a file {own}"
    assert any(said in problem for problem in away.state("pythons").profile.problems)
    assert not ran(away)
    own.touch()
    assert str(real_python) in [python.path for python in away.state("pythons").profile.pythons]
    assert not ran(away)


@as_root
@pytest.mark.parametrize("config", ["pyvenv.cfg", "../pyvenv.cfg"])
def test_no_environment_is_made_of_an_interpreter_by_others(away: Machine, config: str) -> None:
    program = planted(away, "opt/bin/python3.12")
    shared = (program.parent / config).parent
    shared.chmod(0o1777)
    away.environment = {"PATH": f"{program.parent}:/usr/bin:/bin"}
    problems = away.state("pythons").profile.problems
    assert not ran(away)
    assert any(f"everyone can write to {shared.resolve()}" in problem for problem in problems)


@as_root
@pytest.mark.parametrize(
    ("python", "root", "closed", "reach"),
    [
        ("opt/bin/python3.12", "root", "none", "everyone"),
        ("opt/bin/python3.12", "root", "opt", "private"),
        ("opt/bin/python3.12", "root", "opt/bin/python3.12", "private"),
        ("opt/bin/python3.12", "root", "opt/lib/python3.12", "private"),
        ("root/pythons/x/bin/python3.12", "root", "none", "everyone"),
        ("root/pythons/x/bin/python3.12", "root", "root/pythons", "root"),
        ("opt/bin/python3.12", "opt/root", "opt", "everyone"),  # as private as the root itself
    ],
)
def test_who_can_run_an_interpreter(
    away: Machine, python: str, root: str, closed: str, reach: str
) -> None:
    said = "3.12.1 cpython 64 - 1"
    path = away.program(python, f"echo '{said} {away.home}/{python}'")
    away.write(f"{path.parent.parent.relative_to(away.home)}/lib/python3.12/os.py", "")
    away.root = away.home / root
    away.write("none/x", "")
    (away.home / closed).chmod(0o750)
    away.environment = {"PATH": f"{path.parent}:/usr/bin:/bin"}
    found = {each.path: each.reach for each in away.state("pythons").profile.pythons}
    assert found[str(path)] == reach


@as_root
def test_an_environment_of_an_interpreter_of_others_does_not_run(away: Machine) -> None:
    generation(away, "a-1")
    theirs = planted(away, "theirs/python3.11")
    give_away(theirs.parent)
    python = away.root / "envs/a-1/bin/python"
    python.unlink()
    python.symlink_to(theirs)
    state = away.state("pythons", "environments")
    assert not ran(away) and state.installation.distrusted == ""
    assert [found.python for found in state.installation.generations] == [""]
    assert any(
        f"skipped {away.root}/envs/a-1: {theirs.parent}" in p for p in state.profile.problems
    )


@as_root
@pytest.mark.parametrize(
    ("trust", "refused"),
    [
        (Trust(users=("4711",), groups=("4712",)), False),
        (Trust(users=("4711",)), True),
        (Trust(groups=("4712",)), True),
        (Trust(users=("no-such-user",), groups=("4712",)), True),
    ],
)
def test_the_inventory_widens_whom_a_host_believes(
    away: Machine, trust: Trust, refused: bool
) -> None:
    away.write("root of it/state.json", "{}")
    os.chown(away.root, STRANGER, LAB)
    away.root.chmod(0o775)
    away.trust = trust
    assert bool(refusal(away)) is refused


def test_names_are_looked_up_on_the_host(machine: Machine) -> None:
    call = 'know_trusted "root 65534 no-such-user" "root nobody-at-all 12"; echo "$owners|$writers"'
    text = f"{RULE}\n{call}\n"
    said = subprocess.check_output(["sh", "-c", text], text=True, stderr=subprocess.DEVNULL).split()
    assert said[-6:] == ["0", str(os.getuid()), "0", "65534", "|", "0", "12"][-6:]


@pytest.mark.parametrize(
    ("user", "group", "members", "others", "ls", "own"),
    [
        ("ada", "ada", "", "", GNU, "1000"),
        ("ada", "ada", "", "", "ls (uutils coreutils) 0.2.2", "1000"),
        ("ada", "ada", "", "", "BusyBox v1.35.0 multi-call binary.", ""),
        ("ada", "ada", "ada", "", GNU, "1000"),
        ("ada", "ada", "ada,eve", "", GNU, ""),
        ("ada", "users", "", "", GNU, ""),
        ("ada", "ada", "", "1000\n1000", GNU, ""),
    ],
)
def test_a_user_s_own_group(
    user: str, group: str, members: str, others: str, ls: str, own: str
) -> None:
    stubs = f"""
uid=1000
ls() {{ echo '{ls}'; }}
id() {{ case $1 in -g) echo 1000 ;; -gn) echo {group} ;; -un) echo {user} ;; esac; }}
getent() {{ echo '{group}:x:1000:{members}'; }}
cut() {{ case $* in *passwd) printf '%s\\n' '{others}' ;; *) command cut "$@" ;; esac; }}
own_group
"""
    assert subprocess.check_output(["sh", "-c", RULE + stubs], text=True).strip() == own


@as_root
@pytest.mark.parametrize("section", ["pythons", "environments"])
def test_a_root_that_is_away_while_the_rule_looks(away: Machine, section: str) -> None:
    """Another user puts back, before it is used, what was not there when it was judged."""
    planted(away, "root of it/pythons/x/bin/python3.12")
    planted(away, "root of it/bin/uv")
    away.write("root of it/state.json", '{"planted": 1}')
    generation(away, "a-1")
    give_away(away.root)
    away.home.chmod(0o1777)
    answer = away.answer(question=away_while_asked(script(section), away.root))
    assert (away.root / "state.json").exists()
    assert not ran(away)
    assert not {"planted", "a-1", "exists"} & set(re.findall(r"[\w-]+", answer))


@as_root
def test_a_shared_directory_is_looked_at_once_and_stays_shared(place: Path) -> None:
    place.chmod(0o1777)
    (place / "mine").touch()
    looked = f'ls() {{ echo "$*" >>{place}/mine; command ls "$@"; }}'
    asked = f"""
        {looked}
        for each in {place}/mine {place} {place}/absent {place}/mine; do
            if_there trusts "$each" || echo "$why"
        done
    """
    assert rule(asked, uid=0) == [f"everyone can write to {place}"] * 2
    assert (place / "mine").read_text().split().count(str(place)) == 1


@as_root
def test_a_directory_that_comes_and_goes_is_never_trusted(place: Path) -> None:
    theirs, hidden = place / "theirs", place / "hidden"
    (theirs / "bin").mkdir(parents=True)
    os.chown(theirs, STRANGER, STRANGER)
    place.chmod(0o1777)
    flips = f"while mv {theirs} {hidden}; do mv {hidden} {theirs}; done"
    asked = f"""
        ( {flips} ) 2>/dev/null & flipping=$!
        for each in $(seq 200); do
            trusts {theirs}/bin && echo trusted
            if_there trusts {theirs}/bin && echo trusted
        done
        kill $flipping; echo done
    """
    assert rule(asked, uid=0) == ["done"]


@as_root
def test_a_program_that_is_away_while_the_rule_looks(away: Machine) -> None:
    for place in ("root of it", "root of it/lib", f"root of it/lib/node-{program.digest()}"):
        away.write(f"{place}/question.sh", f"echo ran >>'{away.home}/mark'")
    give_away(away.root)
    away.home.chmod(0o1777)
    line = away_while_asked(program.short_question(), away.root, "trusts_all")
    assert away.answer(question=line) == "node absent\n"
    assert not ran(away)


@as_root
def test_a_full_memory_disk_is_left_alone(machine: Machine) -> None:
    fill = "mount -t tmpfs -o size=64k none /dev/shm; head -c 1000000 /dev/zero >/dev/shm/x"
    machine.shell = ["unshare", "-m", "sh", "-c", f'{fill} 2>/dev/null; exec sh "$@"', "sh"]
    assert machine.state().profile.pythons


@as_root
def test_the_program_runs_where_somebody_has_filled_the_memory_disk() -> None:
    fill = "mount -t tmpfs -o size=64k none /dev/shm; head -c 1000000 /dev/zero >/dev/shm/x"
    shell = ["unshare", "-m", "sh", "-c", f'{fill} 2>/dev/null; exec "$@"', "sh"]
    command = [sys.executable, "-I", "-c", program.BOOTSTRAP]
    given = program.document("reach", {"places": [], "seconds": 1})
    done = subprocess.run([*shell, *command], input=given, capture_output=True, text=True)
    assert done.returncode == 0 and '"ok": true' in done.stdout, done.stderr


@as_root
def test_nothing_is_put_where_another_user_could_replace_it(away: Machine) -> None:
    """What lies in $work is believed and run, and TMPDIR may be a directory of that user."""
    theirs = away.home / "theirs"
    theirs.mkdir()
    os.chown(theirs, STRANGER, STRANGER)
    asked = (
        script("platform")
        .replace("make_work /dev/shm ||", "")
        .replace("answer platform", 'say work "$work"; answer platform')
    )
    away.environment = {"TMPDIR": str(theirs)}
    assert "\nwork /tmp/fleetwheel." in f"\n{away.answer(question=asked)}"
    assert list(theirs.iterdir()) == []
    os.chown(theirs, 0, 0)
    assert f"\nwork {theirs}/fleetwheel." in f"\n{away.answer(question=asked)}"


def test_a_program_of_a_host_is_not_told_of_temporary_directories() -> None:
    with hosts("@fake/a") as state:
        (host,) = state.inventory
        command = _commands.program(host, "env", timeout=5).get_raw_value()
    environment = {"TMPDIR": "/theirs", "TMP": "/theirs", "PATH": "/usr/bin:/bin"}
    said = subprocess.check_output(["sh", "-c", command], env=environment, text=True)
    assert "PATH" in said and "theirs" not in said


@as_root
def test_a_directory_is_made_only_where_nobody_was_first(place: Path) -> None:
    place.chmod(0o1777)
    (place / "theirs").mkdir()
    os.chown(place / "theirs", STRANGER, STRANGER)
    with hosts("@fake/a") as state:
        (host,) = state.inventory
        for name, code, words in (("mine", 0, ""), ("theirs", 1, "is not used")):
            command = _commands.make_own_directory(host, f"{place}/{name}/bin", Trust())
            done = subprocess.run(
                ["sh", "-c", command.get_raw_value()], capture_output=True, text=True, check=False
            )
            assert done.returncode == code and words in done.stderr
    assert (place / "mine/bin").stat().st_mode & 0o777 == 0o755


@as_root
@pytest.mark.parametrize("made", ["before", "away while asked", "in between", "a link in between"])
def test_no_directory_is_made_in_one_of_another_user(place: Path, made: str) -> None:
    place.chmod(0o1777)
    theirs, other = place / "root", place / "other"
    other.mkdir()
    text = RULE + _commands.MAKE_OWN
    if made in ("before", "away while asked"):
        theirs.mkdir()
        os.chown(theirs, STRANGER, STRANGER)
        text = away_while_asked(text, theirs) if made == "away while asked" else text
    else:
        first = f"mkdir {theirs} && chown {STRANGER} {theirs}"
        if "link" in made:
            first = f"ln -s {other} {theirs} && chown -h {STRANGER} {theirs}"
        text = f'mkdir() {{ [ -e {theirs} ] || command {first}; command mkdir "$@"; }}\n{text}'
    done = subprocess.run(
        ["sh", "-c", text, "sh", f"{theirs}/bin", "", ""],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert not list(other.iterdir())
    assert made == "a link in between" or not (theirs / "bin").exists()


def test_a_uv_that_was_changed_on_its_way_is_not_put_in_place(tmp_path: Path) -> None:
    directory, name = tmp_path / "bin of it", "uv-0.13.9-0a1b2c3d4e5f6a7b"
    directory.mkdir()
    good = hashlib.sha256(b"good").hexdigest()
    with hosts("@fake/a") as state:
        (host,) = state.inventory
        command = _commands.make_uv(host, str(directory), name, good).get_raw_value()
    for content, expected in ((b"bad", ["uv.new"]), (b"good", ["uv", name])):
        (directory / "uv.new").write_bytes(content)
        subprocess.run(["sh", "-c", command], capture_output=True, check=False)
        assert sorted(path.name for path in directory.iterdir()) == expected
    assert (directory / "uv").read_bytes() == b"good"


@pytest.mark.parametrize("name", ["a b", "$(id)", "-x", "*", "", True])
def test_what_is_no_name_of_a_user_is_refused(name: object) -> None:
    with pytest.raises(ValidationError):
        Trust.model_validate({"users": [name]})
    assert Trust.model_validate({"users": [65534], "groups": ["staff"]}).users == ("65534",)

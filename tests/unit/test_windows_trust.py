"""Who else can change what runs on a Windows host: descriptors as Windows writes them.

Those with a comment are Windows' own defaults, as Microsoft's documentation and `icacls` of Windows
11 and Server 2022 give them; the hosts themselves were not here to be asked.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.collectors import sections
from fleetwheel.collectors.places import Places, parse_places
from fleetwheel.host.trust import NOBODY, Trust
from fleetwheel.node import windows_trust
from fleetwheel.node.sddl import ADMINISTRATORS, READ, SYSTEM, Seen, parse, why_open

TI = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
ME = "S-1-5-21-1004336348-1177238915-682003330-1001"
STRANGER = "S-1-5-21-1004336348-1177238915-682003330-1007"
DRIVE = (
    f"O:{TI}G:{TI}D:PAI(A;OICIIO;SDGXGWGR;;;AU)(A;;LC;;;AU)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
    "(A;OICI;0x1200a9;;;BU)"
)
"""C:\\: users may make directories in it, and change what these inherit."""
DATA_DRIVE = (
    "O:BAG:SYD:(A;OICI;FA;;;BA)(A;OICI;FA;;;SY)(A;OICI;0x1301bf;;;AU)(A;OICI;0x1200a9;;;BU)"
)
"""Another drive: users may change it, and so what is made in it."""
PROGRAM_DATA = (
    "O:SYG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICIIO;GA;;;CO)(A;OICI;0x1200a9;;;BU)"
    "(A;CI;DCLCRPCR;;;BU)"
)
"""C:\\ProgramData: users may add files and directories."""
PROGRAM_FILES = (
    f"O:{TI}G:{TI}D:PAI(A;;FA;;;{TI})(A;CIIO;GA;;;{TI})(A;;0x1301bf;;;SY)(A;OICIIO;GA;;;SY)"
    "(A;;0x1301bf;;;BA)(A;OICIIO;GA;;;BA)(A;;0x1200a9;;;BU)(A;OICIIO;GXGR;;;BU)(A;OICIIO;GA;;;CO)"
    "(A;;0x1200a9;;;S-1-15-2-1)(A;OICIIO;GXGR;;;S-1-15-2-1)"
)
INHERITED = "O:BAG:SYD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1200a9;;;BU)"
CLOSED = "O:BAG:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)"
"""What a deploy makes its root with."""
MADE_BY_A_USER = f"O:{STRANGER}G:BUD:AI(A;OICIID;FA;;;SY)(A;OICIID;FA;;;BA)(A;OICIID;0x1301bf;;;AU)"
DIRECTORY, LINK = 0x10, 0x410


@pytest.mark.parametrize(
    ("path", "sddl", "passed", "said"),
    [
        ("C:\\", DRIVE, True, ""),
        ("C:\\", DRIVE, False, "Authenticated Users can write to C:\\"),
        ("D:\\", DATA_DRIVE, True, ""),
        ("D:\\work", DATA_DRIVE, True, "Authenticated Users can write to D:\\work"),
        ("C:\\ProgramData", PROGRAM_DATA, True, ""),
        ("C:\\ProgramData", PROGRAM_DATA, False, "Users can write to C:\\ProgramData"),
        ("C:\\Program Files", PROGRAM_FILES, False, ""),
        ("C:\\Program Files\\Python312", INHERITED, False, ""),
        ("C:\\x", CLOSED, False, ""),
        ("C:\\x", MADE_BY_A_USER, True, f"C:\\x belongs to {STRANGER}"),
        ("C:\\x", f"O:{STRANGER}D:P(A;OICI;FA;;;SY)", False, f"C:\\x belongs to {STRANGER}"),
        ("C:\\x", f"O:{ME}D:P(A;OICI;FA;;;{ME})", False, ""),
        ("C:\\x", "O:BAD:NO_ACCESS_CONTROL", False, "everyone can write to C:\\x"),
        ("C:\\x", "O:BAG:SY", False, "everyone can write to C:\\x"),
        ("C:\\x", "O:BAD:P", False, ""),
        ("C:\\x", "O:BAD:(A;;WD;;;BU)", True, "Users can write to C:\\x"),
        ("C:\\x", "O:BAD:(A;;DT;;;WD)", True, "Everyone can write to C:\\x"),
        ("C:\\x", "O:BAD:(D;;FA;;;WD)(A;;FA;;;BU)", False, "Users can write to C:\\x"),
        ("C:\\x", "O:BAD:(A;OICIIO;FA;;;CO)(A;;FA;;;OW)", False, ""),
        ("C:\\x", "O:BAD:(A;OICI;FA;;;CO)", False, "CREATOR OWNER can write to C:\\x"),
        ("C:\\x", "O:BAD:(A;OICIIO;FA;;;CG)", False, "CG can write to C:\\x"),
        ("C:\\x", "O:BAD:(A;OICIIO;FA;;;BU)", False, "Users can write to C:\\x"),
        ("C:\\x", 'O:BAD:(XA;;FA;;;WD;(@User.a == "(b"))', False, "Everyone can write to C:\\x"),
        (
            "C:\\x",
            "O:BAD:(XA;;FA;;;WD;(Member_of {SID(BA)}))",
            False,
            "Everyone can write to C:\\x",
        ),
    ],
)
def test_who_can_change_a_path(path: str, sddl: str, passed: bool, said: str) -> None:
    if "(b" in sddl:  # a parenthesis in a text has no partner: not understood, so not believed
        said = f"{path}: its security descriptor is cut off"
    assert why_open(path, Seen(DIRECTORY, sddl), {ME}, passed=passed) == said


@pytest.mark.parametrize(
    "sddl", ["", "D:P(A;;FA;;;BA)", "O:BAD:(A;;FA;;;BA", "O:BAD:(ZZ;;FA;;;BA)"]
)
def test_what_is_not_understood_is_not_believed(sddl: str) -> None:
    assert why_open("C:\\x", Seen(DIRECTORY, sddl), {ME}, passed=False)
    assert why_open("C:\\x", None, {ME}, passed=False)


def test_a_link_is_not_followed() -> None:
    assert why_open("C:\\x", Seen(LINK, CLOSED), {ME}, passed=True) == "C:\\x is a link"


sids = st.sampled_from(["SY", "BA", "BU", "WD", "AU", "OW", ME, STRANGER, TI])
rights = st.one_of(
    st.integers(0, 2**32 - 1).map(hex),
    st.sampled_from(["FA", "FR", "FX", "FRFX", "SDRCWDWO", "GA"]),
)
entries = st.tuples(st.sampled_from(["", "OICI", "OICIIO", "CIIOID"]), rights, sids)
TRUSTED = ("SY", "BA", "OW", ME, TI)


@given(st.lists(entries, max_size=5), sids)
def test_nobody_but_the_trusted_has_more_than_reading(
    given_: list[tuple[str, str, str]], owner: str
) -> None:
    sddl = f"O:{owner}D:" + "".join(f"(A;{flags};{right};;;{sid})" for flags, right, sid in given_)
    others = [entry for entry in parse(sddl).entries or () if entry.sid not in NAMED]
    safe = owner in TRUSTED[:2] + TRUSTED[3:] and all(not each.rights & ~READ for each in others)
    assert (why_open("C:\\x", Seen(DIRECTORY, sddl), {ME}, passed=False) == "") is safe
    if safe:  # and what may be passed asks for no more
        assert why_open("C:\\x", Seen(DIRECTORY, sddl), {ME}, passed=True) == ""


NAMED = {SYSTEM, ADMINISTRATORS, "S-1-3-4", ME, TI}


@given(st.text(max_size=80))
def test_no_text_is_an_exception(text: str) -> None:
    why_open("C:\\x", Seen(DIRECTORY, text), (), passed=False)
    why_open("C:\\x", Seen(DIRECTORY, f"O:BAD:({text})"), (), passed=False)


GROUND = {
    "C:\\": DRIVE,
    "C:\\ProgramData": PROGRAM_DATA,
    "C:\\Program Files": PROGRAM_FILES,
    "C:\\Program Files\\Python312": INHERITED,
    "C:\\Program Files\\Python312\\python.exe": INHERITED,
    "C:\\Program Files\\Python312\\Lib": INHERITED,
    "C:\\Python311": f"{INHERITED}(A;OICIID;0x1301bf;;;AU)",
    "C:\\Python311\\python.exe": f"{INHERITED}(A;ID;0x1301bf;;;AU)",
    "C:\\Windows": PROGRAM_FILES,
    "C:\\Windows\\System32": PROGRAM_FILES,
    "C:\\Windows\\System32\\nvidia-smi.exe": INHERITED,
}
FOUND = (
    r"python C:\Python311\python.exe",
    r"python C:\Program Files\Python312\python.exe",
    r"python c:\program files\python312\python.exe",
    r"smi C:\Windows\System32\nvidia-smi.exe",
)


def places(
    ground: dict[str, str],
    *more: str,
    root: str = "C:\\ProgramData\\fleetwheel",
    trust: Trust = NOBODY,
) -> Places:
    lines = [f'user "WS-04\\admin","{ME}"', f"root {root}", *more]
    lines += [f'at "{path}"' for path in ground] + [f"acl 16 {sddl}" for sddl in ground.values()]
    answer = [f"places {line}" for line in [*lines, "ended 0"]]
    return parse_places(sections(answer, "places")["places"], trust)


def test_a_workstation() -> None:
    found = places(GROUND, *FOUND)
    assert found.user == ME
    assert found.distrusted == ""
    assert found.pythons == (r"C:\Program Files\Python312\python.exe",)
    assert found.smi == r"C:\Windows\System32\nvidia-smi.exe"
    assert found.skipped_pythons == (
        r"C:\Python311\python.exe: Authenticated Users can write to C:\Python311",
    )


ROOT = "C:\\ProgramData\\fleetwheel"


@pytest.mark.parametrize(
    ("name", "sddl", "said"),
    [
        ("", CLOSED, ""),
        ("", PROGRAM_DATA, f"Users can write to {ROOT}"),
        ("", MADE_BY_A_USER, f"{ROOT} belongs to {STRANGER}"),
        ("\\lib", MADE_BY_A_USER, f"{ROOT}\\lib belongs to {STRANGER}"),
        ("\\state.json", f"{CLOSED}(A;;FA;;;WD)", f"Everyone can write to {ROOT}\\state.json"),
    ],
)
def test_a_root(name: str, sddl: str, said: str) -> None:
    ground = GROUND | {ROOT: CLOSED} | {ROOT + name: sddl}
    assert places(ground, "exists yes").distrusted == said


@pytest.mark.parametrize(
    ("name", "sddl", "trusted", "said"),
    [
        ("", CLOSED, (), ""),
        ("", PROGRAM_DATA, (), "Users can write to {root}"),
        ("lib", MADE_BY_A_USER, (), "{root}/lib belongs to " + STRANGER),
        ("lib", f"O:{STRANGER}G:BUD:P(A;;FA;;;{STRANGER})", (STRANGER,), ""),
        ("envs", PROGRAM_DATA, (), ""),
        ("lib", None, (), "the permissions of {root}/lib cannot be read"),
    ],
)
def test_a_host_judges_its_own_root_by_the_same_rule(
    tmp_path: Path, name: str, sddl: str | None, trusted: tuple[str, ...], said: str
) -> None:
    """Others may add to what lies above, not to the root; what is not there counts for nothing."""
    (tmp_path / "lib").mkdir()

    def see(path: Path) -> Seen | None:
        if path == tmp_path / name:
            return None if sddl is None else Seen(16, sddl)
        return Seen(16, PROGRAM_DATA if path in tmp_path.parents else CLOSED)

    assert windows_trust.why_open(tmp_path, trusted, see) == said.format(root=tmp_path)


def test_a_root_that_is_not_there_is_judged_by_what_it_would_lie_in() -> None:
    away = "C:\\theirs\\fleetwheel"
    assert places(GROUND, root=away).distrusted == ""
    ground = GROUND | {"C:\\theirs": MADE_BY_A_USER}
    assert places(ground, root=away).distrusted == f"C:\\theirs belongs to {STRANGER}"


def test_an_answer_that_lacks_something_is_not_believed() -> None:
    """PowerShell that does not run, as an application policy has it, or that stops half way."""
    lines = [f'at "{path}"' for path in GROUND] + list(FOUND) + [f"root {ROOT}"]
    for more in ([], [f"acl 16 {CLOSED}"] * (len(GROUND) - 1)):
        answer = [f"places {line}" for line in [*lines, *more, "ended 0"]]
        found = parse_places(sections(answer, "places")["places"], NOBODY)
        assert found.distrusted == "the permissions of C:\\ cannot be read"
        assert not found.pythons and not found.smi
    unlisted = {path: sddl for path, sddl in GROUND.items() if path != "C:\\Program Files"}
    assert not places(unlisted, *FOUND).pythons
    assert places(GROUND, "exists yes").distrusted == f"the permissions of {ROOT} cannot be read"


def test_the_inventory_widens_whom_a_host_believes() -> None:
    ground = GROUND | {ROOT: f"O:{STRANGER}G:BUD:P(A;OICI;FA;;;{STRANGER})(A;OICI;FA;;;SY)"}
    assert places(ground, "exists yes").distrusted == f"{ROOT} belongs to {STRANGER}"
    assert places(ground, "exists yes", trust=Trust(users=(STRANGER,))).distrusted == ""

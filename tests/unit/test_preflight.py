"""What keeps a host from taking an environment, and what is said then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.collectors.platform import SHORT_PATHS
from fleetwheel.deploy import preflight
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import HostState, Installation
from tests.samples import CPU_HOST

NOW = 1_800_000_000
GOOD = Installation(
    root="/opt/x",
    user="ada",
    writable=True,
    free_bytes=10**9,
    file_system="ext4",
    mount_options=("rw", "relatime"),
)


def said(clock_s: int | None = NOW, *, named: bool = False, **changes: object) -> str:
    """Return what is said about the host; empty when nothing stands in the way."""
    state = HostState(
        profile=CPU_HOST, installation=GOOD.model_copy(update=changes), clock_s=clock_s
    )
    try:
        preflight.refuse_unfit(state, 10**9, now=NOW, root_named=named)
    except FleetwheelError as error:
        assert error.hint
        return str(error)
    return ""


def test_nothing_stands_in_the_way() -> None:
    assert said() == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"writable": False}, "ada cannot write to /opt/x"),
        ({"free_bytes": 10**9 - 1}, "/opt/x has 1000 MB free, the environment needs 1.0 GB"),
        ({"mount_options": ("rw", "noexec")}, "/opt/x is on a file system that is mounted noexec"),
        ({"file_system": "nfs4"}, "/opt/x is on nfs4, which other hosts may see too"),
        ({"clock_s": NOW + 3 * 86400}, "the host's clock is 3 days ahead"),
        ({"clock_s": 0}, "the host's clock is 20833 days behind"),
    ],
)
def test_what_stands_in_the_way(changes: dict[str, object], words: str) -> None:
    clock = changes.pop("clock_s", NOW)
    assert isinstance(clock, int)
    assert words in said(clock, **changes)


@pytest.mark.parametrize(
    ("runtimes", "torch", "words"),
    [
        (None, "2.13.0+cpu", ""),
        ({"x86_64": "14.40.33810"}, "2.13.0+cpu", ""),
        ({"x86_64": "14.38.33135"}, "2.13.0+cpu", "14.40 or newer, and the host has 14.38.33135"),
        ({"x86_64": "14.38.33135"}, "2.8.0", ""),
        ({"aarch64": "14.38.33135"}, "2.13.0", ""),
        ({}, "2.8.0", "there is no msvcp140.dll"),
        ({}, "2.13.0", "there is no msvcp140.dll"),
    ],
)
def test_a_runtime_of_visual_cpp_that_torch_cannot_load(
    runtimes: dict[str, str] | None, torch: str, words: str
) -> None:
    host = CPU_HOST.model_copy(update={"visual_cpp": runtimes})
    try:
        preflight.refuse_without_visual_cpp(host, r"C:\P\python.exe", torch)
        assert not words
    except FleetwheelError as error:
        assert words and words in str(error)
        assert "https://aka.ms/vc14/vc_redist.x64.exe" in error.hint


def test_a_python_with_a_runtime_of_its_own_is_not_judged() -> None:
    own = {"visual_cpp": {}, "visual_cpp_own": (r"C:\Conda\python.exe",)}
    host = CPU_HOST.model_copy(update=own)
    preflight.refuse_without_visual_cpp(host, r"C:\conda\python.exe", "2.13.0")
    with pytest.raises(FleetwheelError):
        preflight.refuse_without_visual_cpp(host, r"C:\P\python.exe", "2.13.0")


def test_a_root_that_others_can_change_is_refused() -> None:
    preflight.refuse_distrusted(GOOD)
    changed = GOOD.model_copy(update={"distrusted": "group lab (50) can write to /opt/x"})
    with pytest.raises(FleetwheelError, match="/opt/x is not used: group lab") as refused:
        preflight.refuse_distrusted(changed)
    assert "in the inventory: trust: {groups: [lab]}" in refused.value.hint


@pytest.mark.parametrize(
    ("why", "link"),
    [
        ("everyone can write to /tmp", True),
        ("/srv/x belongs to ann (1000)", True),
        ("everyone can write to /opt", False),
        ("everyone can write to /opt/x/envs", False),
        ("/opt/x belongs to ann (1000)", False),
    ],
)
def test_where_a_link_leads_is_not_to_be_closed(why: str, link: bool) -> None:
    """Nobody should be told to take the write permission from /tmp."""
    with pytest.raises(FleetwheelError) as refused:
        preflight.refuse_distrusted(GOOD.model_copy(update={"distrusted": why}))
    assert ("a link at or below /opt/x leads to " in refused.value.hint) == link
    assert ("chmod go-w" in refused.value.hint) != link


def test_a_shared_root_that_the_inventory_names_is_meant() -> None:
    assert said(named=True, file_system="nfs4") == ""


@given(st.integers(-86400, 86400))
def test_a_clock_may_be_a_day_off(seconds: int) -> None:
    assert said(NOW + seconds) == ""


def test_what_a_host_does_not_say_stands_in_no_way() -> None:
    assert said(None, free_bytes=None, file_system="", mount_options=()) == ""


def test_hints_of_a_windows_host_speak_windows() -> None:
    windows = CPU_HOST.model_copy(update={"os": "windows", "problems": (SHORT_PATHS,)})
    there = Installation(root="C:/" + "a" * 68, user="ada", writable=True)
    state = HostState(profile=windows, installation=there)
    preflight.refuse_unfit(state, 0, now=NOW, root_named=True)
    longer = there.model_copy(update={"root": "C:/" + "a" * 69})
    with pytest.raises(FleetwheelError, match="has 72 characters") as raised:
        preflight.refuse_unfit(
            state.model_copy(update={"installation": longer}), 0, now=NOW, root_named=True
        )
    assert "LongPathsEnabled" in raised.value.hint
    closed = there.model_copy(update={"writable": False})
    with pytest.raises(FleetwheelError, match="cannot write") as raised:
        preflight.refuse_unfit(
            state.model_copy(update={"installation": closed}), 0, now=NOW, root_named=True
        )
    assert "administrator" in raised.value.hint
    assert "sudo" not in raised.value.hint
    theirs = there.model_copy(update={"distrusted": "C:/a belongs to S-1-5-21-1"})
    with pytest.raises(FleetwheelError) as raised:
        preflight.refuse_distrusted(theirs)
    assert "chown" not in raised.value.hint

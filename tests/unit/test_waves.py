"""The order of a roll-out, and what stops it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyinfra.api import Host, State
from pyinfra.context import ctx_host

from fleetwheel.deploy.waves import waves
from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _report
from fleetwheel.operations._waves import wait
from fleetwheel.reporting.report import EnvironmentReport, HostReport, Status
from tests.deploying import hosts

HOSTS = [f"h{number}" for number in range(10)]
SIZES = st.integers(1, 30) | st.integers(1, 100).map(lambda n: f"{n}%")


@pytest.mark.parametrize(
    ("serial", "sizes"),
    [
        ((), [10]),
        ((1,), [1] * 10),
        ((1, "100%"), [1, 9]),
        ((1, "30%"), [1, 3, 3, 3]),
        (("5%",), [1] * 10),
        ((4,), [4, 4, 2]),
    ],
)
def test_sizes(serial: tuple[int | str, ...], sizes: list[int]) -> None:
    assert [len(wave) for wave in waves(HOSTS, serial)] == sizes


@given(st.lists(st.text(), unique=True), st.lists(SIZES, max_size=4))
def test_every_host_goes_once_and_in_order(hosts: list[str], serial: list[int | str]) -> None:
    assert [host for wave in waves(hosts, serial) for host in wave] == hosts


@pytest.mark.parametrize(
    ("said", "read"),
    [("1,10%", (1, "10%")), (5, (5,)), ([1, "50%"], (1, "50%")), ("100%", ("100%",))],
)
def test_reading_the_setting(said: object, read: tuple[int | str, ...]) -> None:
    assert Settings.from_data({"serial": said}).serial == read


@pytest.mark.parametrize("said", [0, "0%", "101%", "half", -1, True, [1, "x"], 1.5])
def test_what_is_no_size(said: object) -> None:
    with pytest.raises(FleetwheelError, match="is no number of hosts, nor a percentage of them"):
        Settings.from_data({"serial": said})


@pytest.mark.parametrize(
    ("ended", "goes_on"),
    [
        (("changed", "unchanged"), True),
        (("changed", "refused"), True),
        (("unchanged", "on hold"), True),
        (("refused", "refused"), False),
        (("refused", "on hold"), False),
        (("changed", "failed"), False),
    ],
)
def test_a_wave_waits_for_the_one_before(
    ended: tuple[Status, Status], goes_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = "@fake/a", "@fake/b"
    reports = {n: HostReport(name=n, status=s) for n, s in zip(names, ended, strict=True)}
    monkeypatch.setattr(_report, "_hosts", reports)
    with hosts(*names, "@fake/c", serial=(2,)) as state:
        assert waiting(state, "@fake/a") is None
        obstacle = waiting(state, "@fake/c")
    assert (obstacle is None) is goes_on
    assert obstacle is None or "wave 1 of the roll-out (@fake/a, @fake/b)" in obstacle


@pytest.mark.parametrize(
    ("ended", "goes_on"),
    [
        (("unchanged", "on hold"), True),
        (("changed", "refused"), True),
        (("changed", "failed"), False),
        (("on hold", "on hold"), False),
    ],
)
def test_what_counts_is_how_the_environments_of_a_host_ended(
    ended: tuple[Status, Status], goes_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (EnvironmentReport(name=n, status=s) for n, s in zip("ab", ended, strict=True))
    begun = HostReport(name="@fake/a", status="unchanged")
    monkeypatch.setattr(_report, "_hosts", {"@fake/a": begun})
    monkeypatch.setattr(_report, "_environments", {"@fake/a": {"a": one, "b": other}})
    with hosts("@fake/a", "@fake/b", serial=(1,)) as state:
        assert (waiting(state, "@fake/b") is None) is goes_on


def test_a_wave_that_is_down_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_report, "_hosts", {})
    monkeypatch.setattr(_report, "_environments", {})
    with hosts("@fake/a", "@fake/b", serial=(1,)) as state:
        down: Host = state.inventory.get_host("@fake/a")
        state.failed_hosts.add(down)
        assert "did not end well" in (waiting(state, "@fake/b") or "")


def waiting(state: State, name: str) -> str | None:
    """Return what keeps a host from beginning."""
    host = state.inventory.get_host(name)
    with ctx_host.use(host):
        return wait(Settings(serial=host.data.serial))

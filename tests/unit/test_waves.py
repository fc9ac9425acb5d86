"""The order of a roll-out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.errors import FleetwheelError
from fleetwheel.settings import Settings
from fleetwheel.waves import waves

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

"""The documentation explains each state of the driver in the words of the program."""

from pathlib import Path

import pytest

from fleetwheel.host.profile import DriverState, OperatingSystem
from fleetwheel.node.driver_states import explain_state

DOCUMENT = Path("docs/facts.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("os", ["linux", "windows"])
@pytest.mark.parametrize("state", DriverState)
def test_a_state_is_explained_in_the_same_words(state: DriverState, os: OperatingSystem) -> None:
    meaning, repair = explain_state(state, os)
    assert f"| `{state.value}` | {meaning} | {repair} |" in DOCUMENT


@pytest.mark.parametrize("state", sorted(set(DriverState) - {DriverState.FABRIC_NOT_READY}))
def test_nobody_is_told_to_use_the_tools_of_another_system(state: DriverState) -> None:
    words = " ".join(explain_state(state, "windows"))
    assert not [
        tool for tool in ("modprobe", "dmesg", "/dev/", "persistenced", "wsl") if tool in words
    ]

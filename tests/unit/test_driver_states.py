"""The documentation explains each state of the driver in the words of the program."""

from pathlib import Path

import pytest

from fleetwheel.driver_states import EXPLANATIONS
from fleetwheel.profile import DriverState

DOCUMENT = Path("docs/facts.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("state", DriverState)
def test_a_state_is_explained_in_the_same_words(state: DriverState) -> None:
    meaning, repair = EXPLANATIONS[state]
    assert f"| `{state.value}` | {meaning} | {repair} |" in DOCUMENT

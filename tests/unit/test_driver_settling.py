"""A driver that needs a while after a boot is asked until it works."""

from collections.abc import Iterator
from itertools import repeat
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Driver, DriverState
from fleetwheel.operations import _driver
from tests.samples import CPU_HOST, host


class Clock:
    """Time that passes only in sleep, and what the host answers then."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.states: Iterator[str] = iter(())

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def ask(self, settings: Any) -> Any:
        driver = Driver(state=DriverState(next(self.states)))
        return host(CPU_HOST.model_copy(update={"driver": driver}))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_driver, "time", clock)
    monkeypatch.setattr(_driver, "host_state", clock.ask)
    monkeypatch.setattr(_driver, "forget_host_state", lambda: None)
    return clock


NOTHING = cast("Any", SimpleNamespace())


def test_a_driver_that_comes_up_late_is_waited_for(clock: Clock) -> None:
    clock.states = iter(["not-loaded", "hung", "fabric-not-ready", "fabric-not-ready", "ok"])
    _driver._check(NOTHING, NOTHING)
    assert clock.seconds == 4 * _driver.PAUSE_S


@pytest.mark.parametrize(
    ("state", "seconds"), [("not-loaded", 60), ("fabric-not-ready", 300), ("gpu-lost", 0)]
)
def test_what_does_not_settle_is_said(clock: Clock, state: str, seconds: int) -> None:
    clock.states = repeat(state)
    with pytest.raises(FleetwheelError, match="the driver still does not work"):
        _driver._check(NOTHING, NOTHING)
    assert clock.seconds == seconds

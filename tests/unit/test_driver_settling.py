"""A driver that needs a while after a boot is asked until it works."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fleetwheel.host.profile import Driver, DriverState
from fleetwheel.operations import _driver
from tests.samples import CPU_HOST, host


class Clock:
    """Time that passes only in sleep, and what the host answers then."""

    def __init__(self, states: Iterator[str]) -> None:
        self.seconds = 0.0
        self.states = states
        self.failed: list[str] = []

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def ask(self, settings: Any) -> Any:
        driver = Driver(state=DriverState(next(self.states)))
        return host(CPU_HOST.model_copy(update={"driver": driver}))

    def fail(self, host: Any, profile: Any, error: Exception) -> bool:
        self.failed.append(str(error))
        return False


def check(monkeypatch: pytest.MonkeyPatch, states: Iterator[str]) -> tuple[bool, Clock]:
    clock = Clock(states)
    monkeypatch.setattr(_driver, "time", clock)
    monkeypatch.setattr(_driver, "host_state", clock.ask)
    monkeypatch.setattr(_driver, "forget_host_state", lambda: None)
    monkeypatch.setattr(_driver, "_fail", clock.fail)
    nothing = cast("Any", SimpleNamespace())
    return _driver._check(nothing, nothing, nothing), clock


def test_a_driver_that_comes_up_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    states = iter(["not-loaded", "hung", "fabric-not-ready", "fabric-not-ready", "ok"])
    done, clock = check(monkeypatch, states)
    assert done
    assert clock.seconds == 4 * _driver.PAUSE_S


@pytest.mark.parametrize(
    ("state", "seconds"), [("not-loaded", 60), ("fabric-not-ready", 300), ("gpu-lost", 0)]
)
def test_what_does_not_settle_is_said(
    monkeypatch: pytest.MonkeyPatch, state: str, seconds: int
) -> None:
    done, clock = check(monkeypatch, iter([state] * 100))
    assert not done
    assert clock.seconds == seconds
    assert "the driver still does not work" in clock.failed[0]

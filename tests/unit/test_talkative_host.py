"""A host whose command fails with endless output: pyinfra logs every line of it."""

import logging
from types import SimpleNamespace

import gevent
import pytest

from fleetwheel import fleet
from fleetwheel.fleet import Heard
from operations import _outcome

HOST = SimpleNamespace(name="a", print_prefix="    [\x1b[1ma\x1b[0m] ")


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("pyinfra", logging.ERROR, "", 0, text, None, None)


def test_the_first_lines_of_a_host_are_heard() -> None:
    heard = Heard(pytest.fail)

    def talk() -> str:
        heard.emit(record("x" * 10_000_000))
        for number in range(100_000):
            heard.emit(record(f"{HOST.print_prefix}line {number}"))
        return heard.about(HOST)  # type: ignore[arg-type]

    first, *lines = gevent.spawn(talk).get().splitlines()
    assert len(first) == fleet.LONGEST
    assert lines == [f"line {number}" for number in range(fleet.MOST_LINES - 1)]


def test_a_report_has_the_first_errors_of_each_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_outcome, "_errors", {})
    errors = _outcome._Errors()
    for number in range(10_000):
        errors.emit(record(f"{HOST.print_prefix}\x1b[31mline {number}\x1b[0m"))
    errors.emit(record("    [b] " + "x" * 10_000_000))
    said = _outcome._said_of("a").splitlines()
    assert said == [f"line {number}" for number in range(_outcome.MOST_LINES)]
    assert 900 < len(_outcome._said_of("b")) < 1001
    assert _outcome._said_of("c") == ""

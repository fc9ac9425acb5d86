"""A host whose command fails with endless output: pyinfra logs every line of it."""

import logging
import subprocess
import sys

import pytest

from fleetwheel.operations import _report

PREFIX = "    [\x1b[1ma\x1b[0m] "
HEARING = f"""
from fleetwheel.cli.fleet import Heard, LONGEST, MOST_LINES
import gevent, logging
from types import SimpleNamespace

host = SimpleNamespace(print_prefix={PREFIX!r})
heard = Heard()

def say(text):
    heard.emit(logging.LogRecord("pyinfra", logging.ERROR, "", 0, text, None, None))

def talk():
    say("x" * 10_000_000)
    for number in range(100_000):
        say(f"{{host.print_prefix}}line {{number}}")
    return heard.about(host)

first, *lines = gevent.spawn(talk).get().splitlines()
assert len(first) == LONGEST
assert lines == [f"line {{number}}" for number in range(MOST_LINES - 1)]
"""
"""In a process of its own, whose sockets pyinfra's command makes cooperative."""


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("pyinfra", logging.ERROR, "", 0, text, None, None)


def test_the_first_lines_of_a_host_are_heard() -> None:
    done = subprocess.run([sys.executable, "-c", HEARING], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_report_has_the_first_errors_of_each_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_report, "_errors", {})
    errors = _report._Errors()
    for number in range(10_000):
        errors.emit(record(f"{PREFIX}\x1b[31mline {number}\x1b[0m"))
    errors.emit(record("    [b] " + "x" * 10_000_000))
    said = _report._said_of("a").splitlines()
    assert said == [f"line {number}" for number in range(_report.MOST_LINES)]
    assert 900 < len(_report._said_of("b")) < 1001
    assert _report._said_of("c") == ""

"""What strangers and hosts say, on its way to a terminal."""

import io
import logging

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel import terminal
from fleetwheel.reporting import report
from fleetwheel.reporting.report import HostReport
from fleetwheel.reporting.table import print_rows

STEERS = "\x1b\x07\x08\x0c\x0e\r\x7f\x85\x90\x9b\x9d\u202e\u2066"
HOSTILE = [
    "\x1b]52;c;aGk=\x07",
    "\x1b[2J",
    "\x1b[8m",
    "\x9b31m",
    "a\rb",
    "\u202e",
    "\x1b[1A",
    "\x1b",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_steers_the_terminal(text: str) -> None:
    for shown in (terminal.printable(text), terminal.cleaned(text), terminal.single_line(text)):
        assert not set(shown) & set(STEERS)


@given(st.text())
def test_what_is_left_is_colours_and_text(text: str) -> None:
    rest = terminal.COLOUR.sub("", terminal.cleaned(text))
    assert rest.replace("\n", "").isprintable()
    assert terminal.single_line(text).isprintable()


def test_colours_of_pyinfra_stay() -> None:
    text = f"    [{click.style('host', bold=True)}] {click.style('no', 'red')}\n\tx"
    assert terminal.cleaned(text) == text.replace("\t", "    ")


def test_further_lines_of_a_message_are_indented() -> None:
    said = terminal.hanging("[a] no\n[b] yes\n  hint: x\n")
    assert said == "[a] no\n        [b] yes\n          hint: x\n"
    assert terminal.hanging(said) == said


def test_a_stranger_gets_one_line() -> None:
    said = terminal.single_line("a\n[healthy] Connected\r\n" + "x" * 1000)
    assert said.startswith("a [healthy] Connected xxx")
    assert len(said) == terminal.LINE + 3


def test_logs_are_cleaned_whoever_writes_them(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = logging.getLogRecordFactory()
    terminal.clean_logs()
    try:
        logging.getLogger("pyinfra").error("[%s] %s", "host", "\x1b]52;c;aGk=\x07\nnext")
        logging.getLogger("paramiko.transport").error("Disconnect: x\n[healthy] Connected")
        logging.getLogger("other").error(ValueError("\x1b[2J"))
        logging.getLogger("other").error("%d%%", 5)
    finally:
        logging.setLogRecordFactory(before)
    assert [record.getMessage() for record in caplog.records] == [
        "[host] ?]52;c;aGk=?\n        next",
        "Disconnect: x [healthy] Connected",
        "?[2J",
        "5%",
    ]


def test_what_pyinfra_echoes_is_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.echo("mkdir: \x1b]52;c;aGk=\x07", err=True)
    terminal.echo(b"bytes \x9b", err=True)
    terminal.echo()
    said = capsys.readouterr()
    assert said.err.startswith("mkdir: ?]52;c;aGk=?\nbytes ")
    assert said.out == "\n"
    assert not set(said.err) & set(STEERS)


def test_json_on_a_terminal_is_ascii() -> None:
    found = report.report_of([HostReport(name="h", status="failed", why="\x9b2J\u202e\x1b")])
    assert report.report_json(found).isascii()
    assert "\x1b" not in report.report_json(found)


@pytest.mark.parametrize(("value", "styled"), [("", True), ("1", False)])
def test_no_style_is_left_with_no_color(
    value: str, styled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of rich, which takes bold for no colour."""
    monkeypatch.setenv("NO_COLOR", value)
    monkeypatch.setenv("TERM", "xterm-256color")
    out = io.StringIO()
    print_rows(["host"], [["a"]], terminal.new_console(file=out, force_terminal=True))
    assert ("\x1b[1m" in out.getvalue()) is styled
    assert styled or "\x1b" not in out.getvalue()

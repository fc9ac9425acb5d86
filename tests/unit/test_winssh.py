"""The connector for Windows, as far as it needs no host: what is sent, and what is refused."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paramiko import SSHException
from pyinfra.api import Config, HiddenValue, Host, Inventory, QuoteString, State, StringCommand
from pyinfra.api.connectors import get_all_connectors
from pyinfra.api.exceptions import ConnectError

from fleetwheel.connection import winssh
from fleetwheel.connection.batch import (
    LONGEST,
    batch_file,
    batch_settings,
    one_line,
    sftp_path,
    start,
)
from fleetwheel.errors import FleetwheelError

lines_of_text = st.lists(st.text(st.sampled_from("aü日😀%&^\n") | st.characters(codec="utf-8")))


def hosts(*names: str) -> list[Host]:
    inventory = Inventory(([(name, {}) for name in names], {}))
    State(inventory, Config())
    return list(inventory)


def test_pyinfra_finds_it_and_it_knows_its_hosts() -> None:
    assert get_all_connectors()["winssh"] is winssh.WinSSHConnector
    windows, linux = hosts("@winssh/ws", "@ssh/server")
    assert winssh.is_windows(windows)
    assert not winssh.is_windows(linux)
    assert windows.connector.data["ssh_hostname"] == "ws"
    assert windows.connector.data["ssh_strict_host_key_checking"] == "yes"


@pytest.mark.parametrize(
    ("answer", "shell"),
    [
        ("Windows_NT:$PSHOME", "cmd"),
        ("Welcome to WS-04\n\nWindows_NT:$PSHOME\n", "cmd"),
        ("%OS%:C:\\Windows\\System32\\WindowsPowerShell\\v1.0", "powershell"),
    ],
)
def test_the_default_shell_is_known_by_its_answer(answer: str, shell: str) -> None:
    assert winssh.default_shell(answer) == shell


@pytest.mark.parametrize("answer", ["%OS%:", "", "Windows_NT:$PSHOME\nbye"])
def test_other_hosts_are_no_windows_hosts(answer: str) -> None:
    with pytest.raises(ConnectError, match="no Windows host"):
        winssh.default_shell(answer)


def test_a_command_is_quoted_wherever_a_quote_string_stands() -> None:
    command = StringCommand(
        "type",
        QuoteString("C:\\a b"),
        StringCommand("--x=", QuoteString('q"&'), _separator=""),
        QuoteString(StringCommand("in", "one")),
        QuoteString(HiddenValue("s3cret %")),
        7,
    )
    arguments: dict[str, Any] = {"_env": {"TOKEN": HiddenValue("s3cret&")}, "_chdir": "C:/x y"}
    where = ['cd /d "C:\\x y"', "(if errorlevel 1 exit 1)"]
    assert winssh.command_lines(command, arguments) == [
        *where,
        "set TOKEN=s3cret^&",
        'type "C:\\a b" --x=^"q\\^"^&^" "in one" "s3cret %%" 7',
    ]
    shown = winssh.command_lines(command, arguments, masked=True)
    assert shown[:2] == where
    assert "s3cret" not in "".join(shown)
    assert "".join(shown).count("*MASKED*") == 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"_sudo": True}, "no sudo"),
        ({"_su_user": "admin"}, "no su"),
        ({"_doas": True}, "no doas"),
        ({"_get_pty": True}, "no terminals"),
        ({"_env": {"A=B": "c"}}, "'A=B'"),
        ({"_env": {"A": "s3cret\n"}}, "line"),
        ({"_chdir": "a\nb"}, "line"),
    ],
)
def test_what_windows_has_not_fails_with_a_reason(given: dict[str, Any], words: str) -> None:
    """One host's failure, and no exception: that would end the run for all."""
    (host,) = hosts("@winssh/ws")
    ok, output = host.run_shell_command(StringCommand("ver"), **given)
    assert not ok
    assert words in output.stderr
    assert "s3cret" not in output.stderr


@pytest.mark.parametrize(
    ("lines", "fits"),
    [
        (["ver"], True),
        (["echo grüße & ver"], True),
        (["set A=b", "ver"], True),
        (["echo %OS%"], False),
        (["echo hello!"], False),
        (["echo a\necho b"], False),
        (["echo " + "x" * LONGEST], False),
    ],
)
def test_a_line_goes_to_cmd_only_if_it_means_the_same_there(lines: list[str], fits: bool) -> None:
    line = one_line(lines)
    assert (line is not None) == fits
    assert line is None or line.endswith("&".join(lines))


@given(lines_of_text)
@example(["a\r\nb\nc"])
def test_a_batch_file_is_ascii_and_says_the_same(lines: list[str]) -> None:
    words, content = batch_file(lines)
    text = content.decode("ascii")
    assert text.isascii()
    assert not re.search(r"[^\r]\n", text)
    for name, word in words.items():
        text = text.replace(f"%{name}%", word)
    said = "\n".join(lines).replace("\r\n", "\n").replace("\n", "\r\n")
    assert text.endswith(f"set PYTHONUTF8=1\r\n{said}\r\n" if lines else "set PYTHONUTF8=1\r\n")


def test_a_batch_file_is_started_by_either_shell() -> None:
    words = {"FLEETWHEEL_0": "ü", "FLEETWHEEL_1": "\u2019"}
    assert start("cmd", "x.cmd", words) == (
        "set FLEETWHEEL_0=ü&set FLEETWHEEL_1=\u2019&"
        r'cd /d "%USERPROFILE%"&AppData\Local\Temp\fleetwheel\x.cmd'
    )
    assert start("powershell", "x.cmd", words) == (
        "$env:FLEETWHEEL_0='ü'; $env:FLEETWHEEL_1='\u2019\u2019'; "
        "Set-Location -LiteralPath $env:USERPROFILE; "
        r"cmd.exe /d /c AppData\Local\Temp\fleetwheel\x.cmd; exit $LASTEXITCODE"
    )


def test_more_than_cmd_takes_is_refused() -> None:
    with pytest.raises(FleetwheelError, match=f"cmd takes {LONGEST}"):
        batch_file(["echo " + "x" * LONGEST])
    with pytest.raises(FleetwheelError, match="standard input"):
        start("cmd", "x.cmd", {"FLEETWHEEL_0": "ü" * LONGEST})


@pytest.mark.parametrize("error", [EOFError(), ConnectionResetError("reset by peer")])
def test_a_connection_that_ends_is_one_hosts_failure(error: Exception) -> None:
    """pyinfra takes an SSHException for that; an EOFError would end the run for all."""
    with pytest.raises(SSHException, match="dropped"), winssh.told_as_dropped():
        raise error
    with pytest.raises(TimeoutError), winssh.told_as_dropped():
        raise TimeoutError


def test_a_directory_is_entered_before_anything_is_set() -> None:
    assert batch_settings({"A": ""}, "C:/") == ["cd /d C:\\", "(if errorlevel 1 exit 1)", "set A="]
    assert batch_settings({}, None) == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("C:\\a b\\c", "/C:/a b/c"),
        ("d:/x", "/d:/x"),
        ("/C:/x", "/C:/x"),
        ("AppData\\x", "AppData/x"),
    ],
)
def test_sftp_names_paths_in_its_own_way(path: str, expected: str) -> None:
    assert sftp_path(path) == expected


class HeldFile:
    """An SFTP client of a host on which somebody has the file open for so many tries."""

    def __init__(self, tries: int, *, there: bool = True) -> None:
        self.tries, self.there = tries, there

    def posix_rename(self, new: str, path: str) -> None:
        if self.tries:
            self.tries -= 1
            raise OSError("Failure")

    def stat(self, path: str) -> None:
        if not self.there:
            raise FileNotFoundError(path)


def test_a_file_that_somebody_has_open_is_replaced_once_they_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(winssh, "HELD_PAUSE_S", 0)
    held: Any = HeldFile(5)
    winssh._replace(held, "/C:/x.part", "/C:/x")
    assert held.tries == 0


def test_one_that_stays_open_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winssh, "HELD_S", 0)
    held: Any = HeldFile(5)
    with pytest.raises(OSError, match="a program may have it open: Failure"):
        winssh._replace(held, "/C:/x.part", "/C:/x")
    elsewhere: Any = HeldFile(1, there=False)
    with pytest.raises(OSError, match="Failure"):
        winssh._replace(elsewhere, "/C:/x.part", "/C:/no/x")

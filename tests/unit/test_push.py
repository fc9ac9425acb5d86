"""Sending files to a host: the way that is taken, and the end of one that hangs."""

from io import StringIO
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import gevent
import pytest
from pyinfra.api import StringCommand
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import CommandOutput, run_local_process

from fleetwheel.errors import FleetwheelError
from fleetwheel.operations import _push


class Uploads:
    """A pyinfra host of which only the transfers are real enough."""

    name = "far"
    print_prefix = ""
    current_op_global_arguments: Any = MappingProxyType({"_timeout": 9, "name": "Install"})

    def __init__(self, *, rsync: bool = True, seconds: float = 0, **data: str) -> None:
        self.connector = SSHConnector.__new__(SSHConnector)
        self.data = data
        self.has_rsync = rsync
        self.seconds = seconds
        self.sent: list[tuple[str, ...]] = []

    def check_can_rsync(self) -> None:
        if not self.has_rsync:
            raise NotImplementedError("no rsync")

    def rsync(self, sources: str, directory: str, flags: object, **arguments: Any) -> bool:
        assert arguments == {}
        self.sent.append(("rsync", sources, directory))
        return True

    def put_file(self, path: str, to: str, **arguments: Any) -> bool:
        assert arguments == {"_timeout": 9}
        gevent.sleep(self.seconds)
        self.sent.append(("SFTP", path, to))
        return True


FILES = {"a-1.0+cpu.whl": Path("/cache/a-1.0+cpu.whl")}
BY_RSYNC = [("rsync", "/cache/a-1.0+cpu.whl", "/opt/in/")]
BY_SFTP = [("SFTP", "/cache/a-1.0+cpu.whl", "/opt/in/a-1.0+cpu.whl")]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (Uploads(), BY_RSYNC),
        (Uploads(ssh_key="~/.ssh/lab", ssh_user="ops", ssh_hostname="192.0.2.7"), BY_RSYNC),
        (Uploads(rsync=False), BY_SFTP),
        (Uploads(ssh_user="ops; reboot"), BY_SFTP),
        (Uploads(ssh_key="/home/a b/key"), BY_SFTP),
        (Uploads(ssh_hostname="$(reboot)"), BY_SFTP),
    ],
)
def test_rsync_where_nothing_needs_quoting(host: Any, expected: object) -> None:
    _push.send(host, "/opt/in", FILES, 5)
    assert host.sent == expected


def test_a_directory_that_needs_quoting_goes_by_sftp() -> None:
    host: Any = Uploads()
    _push.send(host, "/opt/my wheels", FILES, 5)
    assert host.sent == [("SFTP", "/cache/a-1.0+cpu.whl", "/opt/my wheels/a-1.0+cpu.whl")]


def test_other_connectors_have_no_rsync() -> None:
    host: Any = Uploads()
    host.connector = SimpleNamespace()
    _push.send(host, "/opt/in", FILES, 5)
    assert host.sent == BY_SFTP


def test_a_transfer_that_hangs_ends_in_time() -> None:
    host: Any = Uploads(rsync=False, seconds=60)
    with pytest.raises(FleetwheelError, match="took longer than 1 s"):
        _push.send(host, "/opt/in", FILES, 1)


class Becoming(Uploads):
    """One on which commands run as another user than the one who logs in."""

    def __init__(self, how: str = "_sudo") -> None:
        super().__init__(rsync=False)
        self.current_op_global_arguments = {how: "ops"}

    def put_file(self, path: str, to: str, **arguments: Any) -> bool:
        raise AssertionError("it would lie in /tmp under a name that is known beforehand")

    def run_shell_command(
        self, command: StringCommand, _stdin: str, **arguments: Any
    ) -> tuple[bool, CommandOutput]:
        assert arguments == self.current_op_global_arguments
        assert len(_stdin) < 2 * _push.PIECE_BYTES
        code, output = run_local_process(command.get_raw_value(), stdin=_stdin)
        return code == 0, output


@pytest.mark.parametrize("how", _push.BECOMES)
@pytest.mark.parametrize("size", [0, 1, 29, 30, 31, 95])
def test_another_user_takes_files_from_standard_input(
    how: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_push, "PIECE_BYTES", 30)
    host: Any = Becoming(how)
    content = bytes(range(256))[-size:] if size else b""
    here = tmp_path / "here"
    here.write_bytes(content)
    _push.send(host, str(tmp_path), {"it's a wheel": here}, 5)
    assert (tmp_path / "it's a wheel").read_bytes() == content


def test_a_link_in_the_place_of_a_file_is_not_written_through(tmp_path: Path) -> None:
    host: Any = Becoming()
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "unit.new").symlink_to(tmp_path / "theirs")
    _push.file(host, StringIO("ours\n"), str(tmp_path / "unit.new"))
    assert (tmp_path / "theirs").read_text() == "theirs"
    assert (tmp_path / "unit.new").read_text() == "ours\n"


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    host: Any = Becoming()
    with pytest.raises(FleetwheelError, match="nowhere"):
        _push.file(host, StringIO("ours"), str(tmp_path / "nowhere/unit"))

"""Sending files to a host: the way that is taken, and the end of one that hangs."""

from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import gevent
import pytest
from pyinfra.connectors.ssh import SSHConnector

from fleetwheel.errors import FleetwheelError
from fleetwheel.operations import _push


class Uploads:
    """A pyinfra host of which only the transfers are real enough."""

    name = "far"
    print_prefix = ""
    current_op_global_arguments: Any = MappingProxyType({"_sudo": True, "name": "Install"})

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
        assert arguments == {"_sudo": True}
        self.sent.append(("rsync", sources, directory))
        return True

    def put_file(self, path: str, to: str, **arguments: Any) -> bool:
        assert arguments == {"_sudo": True}
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

"""Strangers and hosts that mean harm, over real sockets: each fails alone, in bounded time."""

import json
import subprocess
import sys
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from fleetwheel.connection import bounds
from fleetwheel.connection.bounds import Link
from tests import hostile_server as server
from tests.hostile_server import Talk, serving

CONNECTING = """
from gevent import monkey
monkey.patch_all()
import json, logging, resource, sys, time
import gevent
from paramiko import SSHException
from pyinfra.connectors.util import read_output_buffers
from fleetwheel import terminal
from fleetwheel.connection import bounds, client

bounds.PROOF_S = bounds.LOGIN_S = bounds.SILENCE_S = 1
bounds.OUTPUT_BYTES, bounds.LINE_BYTES, bounds.UNREAD_BYTES = 4 << 20, 1 << 20, 3 << 20
bounds.OUTPUT_LINES = 20_000
client.PAUSES_S = (0.1, 0.1)
terminal.clean_logs()
logging.basicConfig(stream=sys.stderr, level=logging.DEBUG)
client.install_client()
OPTIONS = dict(username="me", password="x", look_for_keys=False, allow_agent=False, timeout=2,
    _pyinfra_ssh_config_file="/dev/null", _pyinfra_ssh_known_hosts_file="/dev/null",
    _pyinfra_ssh_strict_host_key_checking="no")
worst = 0.0

def watch():
    global worst
    while True:
        before = time.monotonic()
        gevent.sleep(0.01)
        worst = max(worst, time.monotonic() - before)

def run(ssh, command):
    _, out, err = ssh.exec_command(command)
    found = read_output_buffers(out, err, timeout=20, print_output=False, print_prefix="")
    return {"lines": len(found.combined_lines), "last": found.output_lines[-1],
        "code": out.channel.recv_exit_status(), "size": len(found.output)}

def connect(port, command):
    began = time.monotonic()
    ssh = client.BoundedClient()
    try:
        with gevent.Timeout(25):
            ssh.connect("127.0.0.1", port=port, **OPTIONS)
            said = run(ssh, command) if command else {"connected": True}
    except (SSHException, OSError, EOFError) as error:
        said = {"error": f"{type(error).__name__}: {error}"}
    return said | {"seconds": time.monotonic() - began}

gevent.spawn(watch)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
visits = [gevent.spawn(connect, *each) for each in json.loads(sys.argv[1])]
gevent.joinall(visits)
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps({"hosts": [v.get() for v in visits], "stall": worst, "mib": used // 1024}))
"""
"""In a process of its own, whose sockets pyinfra's command makes cooperative; limits are short."""
STRANGERS: dict[Talk, str] = {
    server.silence: "not shown its host key within 1 s",
    server.a_byte_a_second: "not shown its host key within 1 s",
    server.an_endless_line: "sent 262144 bytes",
    server.endless_lines: "Indecipherable protocol version",
    server.a_line_that_steers: "Indecipherable protocol version",
    server.a_huge_packet: "packet",
    server.silence_after_the_banner: "not shown its host key within 1 s",
    server.a_disconnect: "Negotiation failed",
    server.busy: "it hung up",
}


def connected(*hosts: tuple[Talk, ...], command: str = "") -> tuple[Any, str]:
    """Return how connections to such servers went, all at once, and what was logged."""
    with ExitStack() as servers:
        ports = [servers.enter_context(serving(*talks)) for talks in hosts]
        asked = json.dumps([(port, command) for port in ports])
        done = subprocess.run(
            [sys.executable, "-c", CONNECTING, asked], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def strangers() -> tuple[Any, str]:
    """What became of one connection to each stranger, and of one to a host that means well."""
    return connected(*[(talk,) for talk in STRANGERS], (server.host(server.well),))


@pytest.mark.parametrize("number", range(len(STRANGERS)), ids=[t.__name__ for t in STRANGERS])
def test_a_stranger_is_given_up(strangers: tuple[Any, str], number: int) -> None:
    said = strangers[0]["hosts"][number]
    assert [*STRANGERS.values()][number] in said["error"]
    assert said["seconds"] < 20, "limits of a second"
    assert said["error"].isprintable()


def test_strangers_hold_nobody_and_say_nothing(strangers: tuple[Any, str]) -> None:
    said, logged = strangers
    assert said["hosts"][-1]["connected"]
    assert said["stall"] < 2
    assert said["mib"] < 100
    assert not set(logged) & set("\x1b\x07")
    assert "\n[healthy]" not in logged


def test_sshd_that_is_busy_is_tried_again() -> None:
    (said,) = connected((server.busy, server.busy, server.host(server.well)))[0]["hosts"]
    assert said["connected"]


def test_hosts_that_never_end_are_ended() -> None:
    behaviours = [
        server.well,
        server.endless_output,
        server.an_endless_output_line,
        server.more_than_the_window,
        server.no_exit_status,
        None,
    ]
    found, _ = connected(*[(server.host(behave),) for behave in behaviours], command="id")
    well, endless, line, window, status, mute = found["hosts"]
    assert (well["lines"], well["last"], well["code"]) == (1, "well", 0)
    for cut in (endless, line, window):
        assert "the rest was not read" in cut["last"]
        assert cut["code"] == -1
        assert cut["lines"] < 40_000
    assert line["size"] < 2**21
    assert (status["last"], status["code"]) == ("well", -1)
    assert "not done within 1 s" in mute["error"]
    assert found["mib"] < 100
    assert found["stall"] < 2


def test_others_have_their_turn_while_a_host_sends() -> None:
    """What is there already is read without a pause, by gevent's sockets too."""
    link = Link(SimpleNamespace(recv=lambda size: b"x" * size))
    link.trust()
    turns: list[int] = []
    other = gevent.spawn(turns.append, 1)
    for _ in range(bounds.BREATH_BYTES // 65536 + 1):
        link.recv(65536)
    assert turns == [1]
    other.join()

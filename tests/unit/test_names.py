"""Names that hang: an address in numbers asks nobody, and each name has its own time."""

import json
import subprocess
import sys

HANGING = """
from gevent import monkey
monkey.patch_all()
import _socket, json, socket, time
import gevent
from fleetwheel.connection import names

sleep = monkey.get_original("time", "sleep")
real = _socket.getaddrinfo

def hanging(host, port, family=0, type=0, proto=0, flags=0):
    if flags & socket.AI_NUMERICHOST:
        return real(host, port, family, type, proto, flags)
    if host == "alive.example":
        return real("127.0.0.9", port, family, type, proto, flags)
    sleep(30)

_socket.getaddrinfo = hanging
names.NAME_S = 2
names.install_resolver(100)
began = time.monotonic()

def look(name):
    try:
        found = socket.getaddrinfo(name, 22, socket.AF_UNSPEC, socket.SOCK_STREAM)[0][4][0]
    except socket.gaierror as error:
        found = error.strerror
    return found, time.monotonic() - began

asked = [f"dead-{n}.example" for n in range(80)] + ["127.0.0.1", "::1", "alive.example"]
looks = [gevent.spawn(look, name) for name in asked]
gevent.joinall(looks)
print(json.dumps([each.get() for each in looks]))
"""
"""In a process of its own, which gevent changes; it ends at once, though 80 threads still wait."""


def test_80_names_that_hang_keep_nobody_waiting() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0, done.stderr
    *dead, four, six, alive = json.loads(done.stdout)
    assert [found for found, _ in (four, six, alive)] == ["127.0.0.1", "::1", "127.0.0.9"]
    assert {found for found, _ in dead} == {"the name service did not answer within 2 s"}
    first = min(seconds for _, seconds in dead)
    assert all(seconds < first for _, seconds in (four, six, alive))
    assert all(seconds < 20 for _, seconds in dead), "less than a name hangs"

"""How fast wheels reach a host: pushed, against scp; through the mirror, against the source itself.

Run it with ``python -m benchmarks.transfer [--megabytes 256] [--rounds 3]`` as root, with sshd,
rsync and nginx. All of it is on loopback, so that programs are compared and no network; the ways
take turns, and medians are printed. Needs four times the size on the disk of temporary files.
"""

import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import requests
from pyinfra.api import Config, Host, Inventory, State
from pyinfra.api.connect import connect_all
from pyinfra.context import ctx_host, ctx_state

from fleetwheel.delivery.distribution import mirrored
from fleetwheel.operations import _push
from tests.project import Project, copy_of_checkout
from tests.small_wheels import make_wheel
from tests.sshd import known_hosts, sshd
from tests.upstream import make_certificate, upstream

READERS = 10
"""Hosts that fetch at once."""


def timed(action: Callable[[], object]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


def scp(base: Path, port: int, wheel: Path) -> None:
    way = ["-i", base / "id", "-o", f"UserKnownHostsFile={base}/known-host", "-P", str(port)]
    subprocess.run(["scp", "-q", *way, wheel, f"127.0.0.1:{base}/incoming/"], check=True)


def connected(base: Path, port: int) -> Host:
    """Return the host behind sshd, as pyinfra reaches it."""
    data = {
        "ssh_hostname": "127.0.0.1",
        "ssh_port": port,
        "ssh_key": str(base / "id"),
        "ssh_known_hosts_file": str(base / "known-host"),
        "ssh_strict_host_key_checking": "yes",
    }
    state = State(Inventory(([("far", data)], {})), Config())
    ctx_state.set(state)
    connect_all(state)
    host = state.inventory.get_host("far")
    ctx_host.set(host)
    return host


def push(host: Host, base: Path, wheel: Path, *, rsync: bool) -> None:
    path = os.environ["PATH"]
    os.environ["PATH"] = path if rsync else str(base / "no-programs")
    try:
        _push.send(host, f"{base}/incoming", {wheel.name: wheel}, 600)
    finally:
        os.environ["PATH"] = path


def pushing(base: Path, wheel: Path) -> dict[str, float]:
    """Return the seconds of each way to send the wheel."""
    found = {}
    with sshd(base) as port:
        known_hosts(base, "host", port)
        host = connected(base, port)
        ways: dict[str, Callable[[], object]] = {
            "scp": lambda: scp(base, port, wheel),
            "push, rsync": lambda: push(host, base, wheel, rsync=True),
            "push, SFTP": lambda: push(host, base, wheel, rsync=False),
        }
        for name, way in ways.items():
            (base / "incoming").mkdir()
            found[name] = timed(way)
            shutil.rmtree(base / "incoming")
        host.disconnect()
    return found


def fetch(url: str, authority: Path) -> None:
    """Read a wheel to its end, as many times at once as there are readers."""

    def read(_: int) -> None:
        with requests.get(url, stream=True, verify=str(authority), timeout=60) as answer:
            answer.raise_for_status()
            for _piece in answer.iter_content(1 << 20):
                pass

    with ThreadPoolExecutor(READERS) as readers:
        list(readers.map(read, range(READERS)))


def mirroring(base: Path, wheel: Path) -> dict[str, float]:
    """Return the seconds in which all readers have the wheel, each way."""
    (base / "project").mkdir()
    project = Project(copy_of_checkout(base / "project"), base / "root")
    key, authority = make_certificate(base)
    with ExitStack() as stack:
        source = stack.enter_context(upstream(wheel.parent, key))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (project.directory / "inventory" / "lab.yaml").write_text(
            f"hosts:\n  '@local': {{mirror: '@local:{port}', sources: ['{source.url}/simple']}}\n"
        )
        environment = {"PIP_CERT": str(authority), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
        done = project.run("-y", "deploys/mirror.py", env=environment)
        if done.returncode != 0:
            sys.exit(done.stdout[-2000:])
        stack.callback(stop, base / "root" / "mirror" / "nginx.pid")
        url = f"{source.url}/files/{quote(wheel.name)}"
        through = mirrored(url, f"http://127.0.0.1:{port}")
        return {
            "the source itself": timed(lambda: fetch(url, authority)),
            "mirror, first time": timed(lambda: fetch(through, authority)),
            "mirror, later": timed(lambda: fetch(through, authority)),
        }


def stop(pid: Path) -> None:
    """End the mirror, and remove the user that it ran as."""
    os.kill(int(pid.read_text()), signal.SIGTERM)
    time.sleep(1)
    subprocess.run(["userdel", "fleetwheel-mirror"], capture_output=True, check=False)


def measure(megabytes: int) -> dict[str, float]:
    """Return the figures of one round."""
    base = Path(tempfile.mkdtemp(prefix="fleetwheel-benchmark-"))
    base.chmod(0o755)
    try:
        content = {"ballast/__init__.py": "", "ballast/data": os.urandom(megabytes << 19).hex()}
        wheel = make_wheel(base / "wheels", "torch", "2.13.0+cpu", files=content)
        return pushing(base, wheel) | mirroring(base, wheel)
    finally:
        shutil.rmtree(base)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = []
    for number in range(options.rounds):
        rounds.append(measure(options.megabytes))
        print(f"round {number + 1}: {rounds[-1]}", flush=True)
    median = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    for name, seconds in median.items():
        alone = name == "scp" or name.startswith("push")
        floor, readers = ("scp", 1) if alone else ("the source itself", READERS)
        speed, ratio = readers * options.megabytes / seconds, seconds / median[floor]
        print(f"{name:20} {seconds:7.2f} s {speed:7.0f} MB/s {ratio:5.2f} x {floor}")


if __name__ == "__main__":
    main()

"""Daemons out of Debian's packages, run by hand on loopback: nothing is installed."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path


def missing(why: str) -> str | None:
    """Return what keeps this machine from running them; ``why`` they need root."""
    if os.geteuid() != 0:
        return why
    tools = [name for name in ("apt-get", "dpkg-deb") if not shutil.which(name)]
    return f"no {' and no '.join(tools)}: this is no Debian" if tools else None


def unpacked(directory: Path, packages: Sequence[str]) -> Path | None:
    """Return a tree of Debian's packages; None where apt does not have them."""
    directory.mkdir()
    fetch = ["apt-get", "download", "-qq", *packages]
    if subprocess.run(fetch, cwd=directory, capture_output=True).returncode:
        return None
    for package in directory.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, directory / "tree"], check=True)
    return directory / "tree"


@contextmanager
def daemon(
    command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a program until the block ends; what it says goes to a file."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback address that nobody listens at now."""
    with ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]

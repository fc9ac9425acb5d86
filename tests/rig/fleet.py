"""A fleet of SSH hosts on one machine, each of which can be killed, cut off, slowed and filled up.

A host has its own mount, process and network namespace, its own root (an overlay over the machine's
own, its changes in memory), sshd and host key, and a cable (veth) to the machine. Everything hangs
on processes that end with the one that brought the fleet up, so that nothing of it stays.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
SCRIPT = Path(__file__).with_name("fleet_host.sh")
NETWORK = IPv4Address("198.18.0.0")
"""The range for tests of networks (RFC 2544); each fleet takes a part of it by its process."""
DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"]
SMI = """#!/bin/sh
case $1 in
--query-gpu=*) echo '0, GPU-1, 00000000:01:00.0, {name}, {capability}, 24564, {driver}' ;;
'') echo '| NVIDIA-SMI {driver}   Driver Version: {driver}   CUDA Version: {cuda} |' ;;
esac
"""


@dataclass(frozen=True)
class Gpu:
    """What a host claims to have: a stub of nvidia-smi and of the kernel's files, no device."""

    name: str = "NVIDIA GeForce RTX 4090"
    capability: str = "8.9"
    driver: str = "580.95.05"
    cuda: str = "13.0"


@dataclass(frozen=True)
class HostSpec:
    """What a host shall be."""

    name: str
    gpu: Gpu | None = None
    python: bool = True
    disk: str = "4g"
    """Size of what it can write, in the notation of tmpfs."""
    data: dict[str, object] = field(default_factory=dict)
    """Further keys of its entry in the inventory."""


class RunningHost:
    """One host, and what can befall it."""

    def __init__(self, fleet: "Fleet", spec: HostSpec, number: int) -> None:
        self.fleet, self.spec = fleet, spec
        self.directory = fleet.directory / spec.name
        self.address = str(fleet.controller + number + 1)
        self.port = 22
        self.mac = f"02:fe:00:01:{number // 256:02x}:{number % 256:02x}"
        self.link = f"fw{os.getpid()}.{number}"
        self.reached_at = self.address
        self._process: subprocess.Popen[str] | None = None

    def configure(self) -> None:
        """Write its files, which its disk takes over when it is first started."""
        etc = self.directory / "etc"
        for part in ("etc", "kernel", "disk"):
            (self.directory / part).mkdir(parents=True)
        _keygen(etc / "host")
        shutil.copy(self.fleet.directory / "id.pub", etc)
        (etc / "sshd_config").write_text(
            f"ListenAddress {self.address}\nHostKey /etc/rig/host\nPidFile none\nUseDNS no\n"
            "AuthorizedKeysFile /etc/rig/id.pub\nStrictModes no\nUsePAM no\nLogLevel VERBOSE\n"
            "PasswordAuthentication no\nSubsystem sftp internal-sftp\n"
        )
        if not self.spec.python:
            (self.directory / "no-python").touch()
        if self.spec.gpu:
            self._stub(self.spec.gpu)

    def _stub(self, gpu: Gpu) -> None:
        smi = self.directory / "nvidia-smi"
        smi.write_text(SMI.format(**vars(gpu)))
        smi.chmod(0o755)
        device = self.directory / "kernel/bus/pci/devices/0000:01:00.0"
        device.mkdir(parents=True)
        for name, value in {"vendor": "0x10de", "class": "0x030000", "device": "0x2684"}.items():
            (device / name).write_text(f"{value}\n")
        module = self.directory / "kernel/module/nvidia"
        module.mkdir(parents=True)
        (module / "version").write_text(f"{gpu.driver}\n")

    def begin(self) -> None:
        """Start its first process, which waits for the cable."""
        inside = ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child"]
        controller = str(self.fleet.controller)
        boot = ["sh", str(SCRIPT), str(self.directory), self.address, controller]
        with (self.directory / "log").open("a") as log:
            self._process = subprocess.Popen(
                [*DIE_WITH_PARENT, *self.fleet.inside_disks(), *inside, *boot],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PATH": PATH},
            )

    def cable(self) -> str:
        """Return ip's commands that connect the host, once it has its namespaces."""
        self.expect("unshared")
        mine = f"link add {self.link} address 02:fe:00:00:00:01 type veth"
        return (
            f"{mine} peer name eth0 address {self.mac} netns {self.process.pid}\n"
            f"address add {self.fleet.controller} peer {self.address}/32 dev {self.link}\n"
            f"link set {self.link} up\n"
            f"neighbour replace {self.address} lladdr {self.mac} dev {self.link} nud permanent\n"
        )

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process, f"{self.spec.name} is not running"
        return self._process

    def expect(self, word: str) -> None:
        """Wait until the host's first process has come so far."""
        assert self.process.stdout
        said = self.process.stdout.readline().strip()
        assert said == word, f"{self.spec.name}: {(self.directory / 'log').read_text()}"

    def go_on(self) -> None:
        """Let it boot: its cable is there."""
        assert self.process.stdin
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def start(self) -> None:
        """Boot it again after ``kill``, with the disk that it had."""
        self.begin()
        _ip(self.cable())
        self.go_on()
        self.ready()

    def ready(self) -> None:
        """Wait until its sshd answers."""
        self.expect("up")
        deadline = time.monotonic() + 60
        while not _answers(self.address, self.port):
            assert time.monotonic() < deadline, f"{self.spec.name} does not answer"
            time.sleep(0.02)

    def kill(self) -> None:
        """End every process of it at once, as when its power fails; its disk stays."""
        process, self._process = self._process, None
        if process:
            process.kill()
            process.communicate()
            # A connection that waits for an answer would keep the cable.
            command = ["ip", "link", "delete", self.link]
            subprocess.run(command, stderr=subprocess.DEVNULL, env={**os.environ, "PATH": PATH})

    def cut(self) -> None:
        """Lose every packet from and to it, without a word to either side."""
        self._inside("ip", "link", "set", "eth0", "down")

    def heal(self) -> None:
        """Bring back the network that ``cut`` took."""
        self._inside("ip", "link", "set", "eth0", "up")
        controller, mac = str(self.fleet.controller), "02:fe:00:00:00:01"
        # The kernel forgets the routes and neighbours of a link that goes down.
        self._inside("ip", "route", "replace", controller, "dev", "eth0", "src", self.address)
        neighbour = ["ip", "neighbour", "replace", controller, "lladdr", mac, "dev", "eth0"]
        self._inside(*neighbour, "nud", "permanent")

    def fill(self, bytes_left: int) -> None:
        """Write to its disk until this much is free."""
        # Others may write between the two commands.
        self.run(
            "touch /root/ballast; while set -- $(stat -f -c '%a %S' /root); "
            f"left=$(($1 * $2 - {bytes_left})); test $left -gt 0 && "
            "! fallocate -l $left /root/ballast 2>/dev/null; do :; done"
        )

    def restart_sshd(self) -> None:
        """End sshd with all its connections; another takes its place."""
        begun = self._logged("Server listening")
        self._inside("pkill", "-KILL", "-x", "sshd", pids=True)
        while self._logged("Server listening") == begun:
            time.sleep(0.02)

    def run(self, command: str) -> str:
        """Run a command on the host, over SSH, and return what it prints."""
        known = f"UserKnownHostsFile={self.fleet.known_hosts}"
        key = str(self.fleet.directory / "id")
        to = ["-i", key, "-o", known, "-o", "ConnectTimeout=10", f"root@{self.address}"]
        return subprocess.check_output(["ssh", "-n", *to, command], text=True)

    def commands(self) -> int:
        """Return how many commands sshd has started."""
        return self._logged("Starting session: command")

    def connections(self) -> int:
        """Return how many clients sshd has let in."""
        return self._logged("Accepted publickey")

    def _logged(self, words: str) -> int:
        return (self.directory / "log").read_text().count(words)

    def _inside(self, *command: str, pids: bool = False) -> None:
        init = subprocess.check_output(["pgrep", "-P", str(self.process.pid)], text=True).split()
        kinds = ["--net", "--pid", "--mount"] if pids else ["--net"]
        enter = ["nsenter", "--target", init[0], *kinds]
        if pids:
            # pkill reads the /proc of the host, which knows no other processes.
            command = ("chroot", str(self.directory / "disk/root"), *command)
        subprocess.run([*enter, *command], check=True, env={**os.environ, "PATH": PATH})


class Fleet:
    """The hosts by name, and the inventory that reaches them."""

    def __init__(self, directory: Path, specs: Sequence[HostSpec]) -> None:
        self.directory = directory
        self.controller = NETWORK + 1024 * (os.getpid() % 128)
        self.known_hosts = directory / "known_hosts"
        self.hosts = {
            spec.name: RunningHost(self, spec, number) for number, spec in enumerate(specs)
        }
        self._disks: subprocess.Popen[str] | None = None
        self._slow = ExitStack()

    def __getitem__(self, name: str) -> RunningHost:
        return self.hosts[name]

    def inside_disks(self) -> list[str]:
        """Return the start of a command that sees the hosts' disks."""
        assert self._disks
        return ["nsenter", f"--mount=/proc/{self._disks.pid}/ns/mnt"]

    def up(self) -> None:
        """Bring up all hosts together."""
        self.directory.mkdir(parents=True, exist_ok=True)
        _keygen(self.directory / "id")
        for host in self.hosts.values():
            host.configure()
        self._write_known_hosts()
        self._hold_disks()
        for host in self.hosts.values():
            host.begin()
        _ip("".join(host.cable() for host in self.hosts.values()))
        for host in self.hosts.values():
            host.go_on()
        for host in self.hosts.values():
            host.ready()

    def down(self) -> None:
        """End everything."""
        self._slow.close()
        for host in self.hosts.values():
            host.kill()
        if self._disks:
            self._disks.kill()
            self._disks.communicate()

    def slow(self, name: str, delay_ms: int) -> None:
        """Let an inventory written from now on reach the host by a proxy that delays all bytes."""
        host = self.hosts[name]
        port = self._slow.enter_context(_delaying(host.address, host.port, delay_ms / 1000))
        host.reached_at, host.port = "127.0.0.1", port
        self._write_known_hosts()

    def inventory(self, path: Path, **defaults: object) -> Path:
        """Write an inventory of all hosts for the project, with these defaults for all."""
        key, known = str(self.directory / "id"), str(self.known_hosts)
        entries = {
            name: {"address": host.reached_at, "port": host.port, **host.spec.data}
            for name, host in self.hosts.items()
        }
        common = {"user": "root", "key": key, "known_hosts": known, **defaults}
        # JSON is YAML too.
        path.write_text(json.dumps({"defaults": common, "hosts": entries}, indent=1))
        return path

    def _hold_disks(self) -> None:
        """Mount the hosts' disks in a namespace that lasts until the fleet goes down."""
        mounts = "".join(
            f"mount -t tmpfs -o size={host.spec.disk},mode=755 disk '{host.directory}/disk'\n"
            for host in self.hosts.values()
        )
        script = f"set -e\n{mounts}echo mounted\nread -r _"
        self._disks = subprocess.Popen(
            [*DIE_WITH_PARENT, "unshare", "--mount", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._disks.stdout
        assert self._disks.stdout.readline() == "mounted\n", "the hosts' disks cannot be mounted"

    def _write_known_hosts(self) -> None:
        lines = []
        for host in self.hosts.values():
            key = " ".join((host.directory / "etc/host.pub").read_text().split()[:2])
            lines.append(f"{host.address} {key}\n")
            if host.port != 22:
                lines.append(f"[{host.reached_at}]:{host.port} {key}\n")
        self.known_hosts.write_text("".join(lines))


def missing() -> str | None:
    """Return what keeps this machine from bringing up a fleet."""
    if os.geteuid() != 0:
        return "only root can bring up a fleet"
    needed = ("sshd", "ip", "unshare", "nsenter", "setpriv", "pkill")
    tools = [name for name in needed if not shutil.which(name, path=PATH)]
    return f"no {' and no '.join(tools)}: scripts/install-test-tools.sh" if tools else None


@contextmanager
def fleet(directory: Path, hosts: Sequence[HostSpec]) -> Iterator[Fleet]:
    """Run these hosts, with their keys and logs in ``directory``, until the block ends."""
    assert len({host.name for host in hosts}) == len(hosts) < 1022
    rig = Fleet(directory, hosts)
    try:
        rig.up()
        yield rig
    finally:
        rig.down()


@contextmanager
def _delaying(address: str, port: int, seconds: float) -> Iterator[int]:
    """Run a proxy that passes every byte on after a while, and give its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accept = threading.Thread(target=_accept, args=(listener, address, port, seconds))
        accept.daemon = True
        accept.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        accept.join()


def _accept(listener: socket.socket, address: str, port: int, seconds: float) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            arguments = (client, address, port, seconds)
            threading.Thread(target=_serve, args=arguments, daemon=True).start()


def _serve(client: socket.socket, address: str, port: int, seconds: float) -> None:
    with client, suppress(OSError), socket.create_connection((address, port), 10) as server:
        server.settimeout(None)
        answers = threading.Thread(target=_pump, args=(server, client, seconds), daemon=True)
        answers.start()
        _pump(client, server, seconds)
        answers.join()


def _pump(source: socket.socket, target: socket.socket, seconds: float) -> None:
    """Pass on what comes, one piece after the other: a slow link is a narrow one here too."""
    with suppress(OSError):
        while piece := source.recv(65536):
            time.sleep(seconds)
            target.sendall(piece)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)


def _ip(commands: str) -> None:
    environment = {**os.environ, "PATH": PATH}
    subprocess.run(["ip", "-batch", "-"], input=commands, text=True, check=True, env=environment)


def _answers(address: str, port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((address, port)) == 0


def main() -> None:
    """Keep a fleet up until Ctrl-C, and print where its inventory is."""
    parser = argparse.ArgumentParser(prog="python -m tests.rig.fleet", description=main.__doc__)
    parser.add_argument("hosts", type=int, nargs="?", default=3, help="how many; 3 by default")
    number = parser.parse_args().hosts
    if reason := missing():
        sys.exit(reason)
    # Ends as with Ctrl-C, so that nothing of it stays.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="fleet-") as base:
        specs = [HostSpec(f"h{place:03}") for place in range(number)]
        with fleet(Path(base), specs) as rig:
            print(rig.inventory(Path(base, "inventory.yaml")), flush=True)
            with suppress(KeyboardInterrupt):
                signal.pause()


if __name__ == "__main__":
    main()

"""What a fleet that is already right costs: fleetwheel against connecting alone, and Ansible.

Run it with ``python -m benchmarks.fleet [--hosts 10 50 200] [--ansible PROGRAM] [--rounds 3]``;
``--programs`` names those that are to run, such as ``question line``: the whole question about a
host, and the line that asks the same of one that keeps the program for hosts.
The hosts are names for one sshd on loopback and share one root, so that they and the controller
work on the same cores, 40 hosts at once; a host has one interpreter, Debian's. Needs
openssh-server, and a torch that pip's sources hold. The programs take turns, and medians are
printed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from fleetwheel.collectors import program, script
from fleetwheel.collectors.host import SECTIONS
from tests.project import copy_of_checkout
from tests.sshd import known_hosts, sshd

TORCH = "2.13.0"
PYINFRA = Path(sys.executable).with_name("pyinfra")
PROGRAMS = ("question", "line", "deploy", "drift")
PLAYBOOK = """\
- hosts: all
  tasks:
    - ansible.builtin.pip:
        name: ["torch=={torch}", numpy]
        virtualenv: {venv}
        virtualenv_command: {python} -m venv
"""


class Cost(NamedTuple):
    """What a program took, its own children included."""

    wall_s: float
    cpu_s: float
    memory_mb: float
    """Largest resident size of the one process that had the most."""


def timed(directory: Path, *command: object, **environment: str) -> Cost:
    """Run a program that has to end well."""
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=directory,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        _, status, used = os.wait4(process.pid, 0)
        output.seek(0)
        if status != 0:
            sys.exit(f"{command[0]} failed:\n{output.read()[-3000:]}")
    wall = time.monotonic() - start
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


class Fleet:
    """Some hosts behind one sshd, as inventories of fleetwheel and of Ansible."""

    def __init__(self, base: Path, port: int, count: int) -> None:
        self.base, self.count = base, count
        self.directory = base / f"project-{count}"
        self.directory.mkdir(exist_ok=True)
        copy_of_checkout(self.directory)
        # 200 of these hosts at once would wait for each other: they have one machine together.
        with (self.directory / "config.py").open("a") as settings:
            settings.write("config.PARALLEL = 40\n")
        known = known_hosts(base, "host", port)
        way = f"address: 127.0.0.1, port: {port}, key: {base}/id, known_hosts: {known}"
        hosts = "".join(f"  h{number}:\n" for number in range(count))
        (self.directory / "inventory" / "lab.yaml").write_text(
            f"defaults: {{{way}, root: {base}/root, torch: '{TORCH}'}}\nhosts:\n{hosts}"
        )
        ways = f"ansible_host=127.0.0.1 ansible_port={port} ansible_ssh_private_key_file={base}/id"
        args = f"-o UserKnownHostsFile={known} -o ControlPath={base}/%h-%r-%n"
        lines = [
            f"h{number} {ways} ansible_ssh_common_args='{args}'"
            f" ansible_python_interpreter={sys.executable}\n"
            for number in range(count)
        ]
        (base / f"ansible-{count}.ini").write_text("".join(lines))

    def connect(self) -> Cost:
        return timed(self.directory, PYINFRA, "-y", "inventory.py", "exec", "--", "true")

    def question(self) -> Cost:
        return self.fact("Host")

    def line(self) -> Cost:
        return self.fact("KeptHost")

    def fact(self, name: str) -> Cost:
        fact = (f"fleetwheel.facts.host.{name}", f"root={self.base}/root")
        return timed(self.directory, PYINFRA, "-y", "inventory.py", "fact", *fact)

    def deploy(self) -> Cost:
        return timed(self.directory, PYINFRA, "-y", "inventory.py", "deploys/torch.py")

    def drift(self) -> Cost:
        return timed(self.directory, PYINFRA.with_name("fleetwheel"), "drift", "inventory.py")

    def ansible(self, program: str) -> Cost:
        options = {"ANSIBLE_PIPELINING": "1", "ANSIBLE_FORKS": "50"}
        inventory = self.base / f"ansible-{self.count}.ini"
        playbook = self.base / "torch.yml"
        return timed(self.base, program, "-i", inventory, playbook, **options)


def measure(base: Path, port: int, options: argparse.Namespace) -> None:
    sent = {"question": script(*SECTIONS), "line": program.short_question()}
    print(", ".join(f"{name}: {len(text)} bytes" for name, text in sent.items()))
    one = Fleet(base, port, 1)
    one.deploy()
    venv = base / "venv"
    text = PLAYBOOK.format(torch=TORCH, venv=venv, python=sys.executable)
    (base / "torch.yml").write_text(text)
    if options.ansible:
        one.ansible(options.ansible)
    for count in options.hosts:
        fleet = Fleet(base, port, count)
        fleet.deploy()  # locks/ and the programs' own caches are there from now on
        programs = {name: getattr(fleet, name) for name in ("connect", *options.programs)}
        if options.ansible and count <= options.ansible_up_to:
            programs["Ansible"] = lambda fleet=fleet: fleet.ansible(options.ansible)
        rounds = [{name: run() for name, run in programs.items()} for _ in range(options.rounds)]
        floor = statistics.median(found["connect"].wall_s for found in rounds)
        for name in programs:
            costs = zip(*(found[name] for found in rounds), strict=True)
            wall, cpu, memory = (statistics.median(figures) for figures in costs)
            print(
                f"{count:4} hosts  {name:13} {wall:7.1f} s  {wall / floor:6.2f} x"
                f"  CPU {cpu / count * 1000:6.0f} ms/host  {memory:6.0f} MB",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, nargs="+", default=[10, 50, 200])
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=PROGRAMS)
    parser.add_argument("--ansible", help="the program ansible-playbook")
    parser.add_argument("--ansible-up-to", type=int, default=50, help="for as many hosts")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleetwheel-benchmark-") as directory:
        base = Path(directory)
        (base / "home").mkdir()
        lean = f"SetEnv HOME={base}/home PATH=/usr/bin:/bin"
        with sshd(base, "MaxStartups 1000", "MaxSessions 1000", lean) as port:
            measure(base, port, options)


if __name__ == "__main__":
    main()

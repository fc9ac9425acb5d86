"""A host for the questions of the collectors: real shells, and all else made for the test."""

import re
import shlex
import subprocess
from pathlib import Path

from fleetwheel.collectors import host, script, sections
from fleetwheel.host.profile import HostState
from fleetwheel.host.trust import Trust

ROW = "0, GPU-1, 00000000:01:00.0, NVIDIA GeForce RTX 4090, 8.9, 24564, 580.95.05"
WORKING = f"""
case $1 in
--query-gpu=*) echo '{ROW}' ;;
'') echo '| NVIDIA-SMI 580.95.05   Driver Version: 580.95.05   CUDA Version: 13.0 |' ;;
esac
"""
HEALTHY = """\
init * ok
driver * 580.95.05
nvml * 13.580.95.05
cuda * 13000
count * 2
uuid 0 GPU-aaaa
uuid 1 GPU-bbbb
name * NVIDIA GeForce RTX 4090
pci 0 00000000:01:00.0
pci 1 00000000:41:00.0
capability * 8.9
memory * 25757220864 25000000000 757220864
persistence * 1
compute-mode * 0
temperature * 41
throttle * 0x24
power-limit * 450000
pcie-generation * 4
pcie-width 1 8
pcie-width-max * 16
"""
"""What the fake libnvidia-ml of tests/fixtures/nvml answers for two healthy GPUs."""


UNASKED = """\
platform uname Linux x86_64
platform libc glibc 2.36
platform ended 0
pythons ended 0
environments ended 0
gpu ended 0
"""
"""The least that an answer has to hold."""


class Machine:
    """A home, a root, programs on PATH, and what /etc, /proc and /sys say."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.root = home / "root of it"
        self.tree = home / "tree"
        self.shell = ["sh"]
        self.environment: dict[str, str] = {}
        self.trust = Trust()
        self.node: Path | None = None
        """The program for hosts, compiled: a probe that is sent is compiled at each question."""

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)
        return file

    def program(self, path: str, text: str) -> Path:
        """Write a program; a Python gets what keeps a real one to its own library below /tmp."""
        if python := re.search(r"(^|/)bin/python(?:3\.(\d+t?))?3?$", path):
            library = f"{path[: python.start()]}/lib/python3{python[2] or '11'}.zip"
            self.write(library.lstrip("/"), "")
            (
                self.home / f"{path[: python.start()]}/lib/python3.{python[2] or '11'}".lstrip("/")
            ).mkdir(exist_ok=True)
        return self.write(path, f"#!/bin/sh\n{text}\n", 0o755)

    def answer(
        self, *, root: str | None = None, gpu_seconds: int = 20, question: str | None = None
    ) -> str:
        """Return what the machine answers, to the whole question or to another one."""
        values = [str(self.root) if root is None else root, str(gpu_seconds), str(self.tree)]
        values += [" ".join(self.trust.users), " ".join(self.trust.groups)]
        text = question or script(*host.SECTIONS)
        if self.node:
            text = text.replace("\nnode=\n", f"\nnode={shlex.quote(str(self.node))}\n")
        done = subprocess.run(
            [*self.shell, "-c", text, "sh", *values],
            env={
                "HOME": str(self.home),
                "PATH": f"{self.home}/bin:/usr/bin:/bin",
                **self.environment,
            },
            capture_output=True,
            timeout=30,
            check=True,
        )
        assert done.stderr == b""
        return done.stdout.decode()

    def state(
        self,
        *asked: str,
        root: str | None = None,
        gpu_seconds: int = 20,
        question: str | None = None,
    ) -> HostState:
        """Return what is read from the answer to these sections, or to the whole question."""
        text = question or script(*(asked or host.SECTIONS))
        lines = self.answer(root=root, gpu_seconds=gpu_seconds, question=text).split("\n")
        if asked:
            lines += [line for line in UNASKED.split("\n") if line.split(" ")[0] not in asked]
        found = sections(lines, *host.SECTIONS)
        return host.parse_host(*found.values())

    def pci(self, bus: str, vendor: str, kind: str) -> None:
        for name, text in (("vendor", vendor), ("class", kind), ("device", "0x2684")):
            self.write(f"tree/sys/bus/pci/devices/{bus}/{name}", f"{text}\n")


def away_while_asked(text: str, theirs: Path, function: str = "trusts") -> str:
    """Return a shell text; another user moves a directory away while it asks about that one."""
    assert f"{function}() {{" in text
    there, hidden = shlex.quote(str(theirs)), shlex.quote(f"{theirs}.hidden")
    hide = f"case $1 in {there}*) mv {there} {hidden} 2>/dev/null ;; esac"
    show = f"if [ -e {there} ]; then :; else mv {hidden} {there}; fi"
    wrapped = f'{function}() {{ {hide}; asked "$@"; code=$?; {show}; return $code; }}'
    return text.replace(f"{function}() {{", f"{wrapped}\nasked() {{", 1)

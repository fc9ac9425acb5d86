"""A Slurm cluster of one node, out of Debian's packages and run by hand: nothing is installed."""

import re
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.rig import daemons

PACKAGES = (
    "libhwloc15",
    "liblua5.1-0",
    "libmunge2",
    "munge",
    "slurm-client",
    "slurm-wlm-basic-plugins",
    "slurmctld",
    "slurmd",
)
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={node}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={place}/munge.sock
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
PluginDir={libraries}/slurm-wlm
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
MpiDefault=none
ReturnToService=2
HealthCheckInterval=2
HealthCheckNodeState=ANY,CYCLE
HealthCheckProgram={health}
Prolog={prolog}
NodeName={node} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
LIBRARIES = "usr/lib/x86_64-linux-gnu"
SECONDS = 60


def missing() -> str | None:
    """Return what keeps this machine from running Slurm."""
    return daemons.missing("slurmd needs root")


def unpacked(directory: Path) -> Path | None:
    """Return a tree of Debian's packages of Slurm; None where apt does not have them."""
    return daemons.unpacked(directory, PACKAGES)


class Slurm:
    """A running cluster whose one node is this machine."""

    def __init__(self, tree: Path, place: Path, environment: Mapping[str, str]) -> None:
        self.tree = tree
        self.place = place
        self.environment = dict(environment)
        self.name = socket.gethostname().partition(".")[0]

    def run(self, *words: str | Path, seconds: int = 60) -> subprocess.CompletedProcess[str]:
        """Run one of Slurm's commands, as root."""
        return subprocess.run(
            [self.tree / "usr/bin" / words[0], *words[1:]],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )

    def node(self) -> tuple[str, str]:
        """Return the state of the node, and the reason that somebody gave for it."""
        text = self.run("scontrol", "-o", "show", "node", self.name).stdout
        state, reason = re.search(r" State=(\S+)", text), re.search(r" Reason=(.*) \[", text)
        return state[1] if state else "", reason[1] if reason else ""

    def update(self, *words: str) -> None:
        done = self.run("scontrol", "update", f"nodename={self.name}", *words)
        assert done.returncode == 0, done.stdout

    def wait(self, is_so: Callable[[str, str], bool]) -> tuple[str, str]:
        """Return state and reason of the node once they are as wanted."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            found = self.node()
            if is_so(*found):
                return found
            time.sleep(0.3)
        logs = [path.read_text()[-2000:] for path in sorted(self.place.glob("*.log"))]
        raise AssertionError("\n".join([f"the node is {self.node()}", *logs]))


def environment(tree: Path, place: Path) -> dict[str, str]:
    """Return what Slurm's programs need to run out of a tree, with their files in a directory."""
    return {
        "PATH": f"{tree}/usr/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": f"{tree}/{LIBRARIES}:{tree}/{LIBRARIES}/slurm-wlm",
        "SLURM_CONF": f"{place}/slurm.conf",
    }


@contextmanager
def slurm(tree: Path, place: Path, health: Path, prolog: Path) -> Iterator[Slurm]:
    """Run Slurm with these programs for its node, until the block ends."""
    for directory in (place, place / "state", place / "spool"):
        directory.mkdir()
    place.chmod(0o755)
    (place / "key").write_bytes(secrets.token_bytes(1024))
    (place / "key").chmod(0o600)
    variables = environment(tree, place)
    running = Slurm(tree, place, variables)
    values = {"place": place, "libraries": tree / LIBRARIES, "health": health, "prolog": prolog}
    text = CONFIGURATION.format(node=running.name, ports=daemons.free_ports(2), **values)
    (place / "slurm.conf").write_text(text)
    programs = tree / "usr/sbin"
    munge = [f"--{name}-file={place}/munge.{name}" for name in ("log", "pid", "seed")]
    munge += ["--foreground", "--force", f"--socket={place}/munge.sock", f"--key-file={place}/key"]
    with ExitStack() as running_ones:

        def start(name: str, *options: str | Path) -> None:
            command = [programs / name, *options]
            log = place / f"{name}.log"
            running_ones.enter_context(daemons.daemon(command, log, variables))

        start("munged", *munge)
        _until((place / "munge.sock").exists)
        start("slurmctld-wlm", "-D")
        _until(lambda: running.run("scontrol", "ping").returncode == 0)
        start("slurmd-wlm", "-D", "-d", programs / "slurmstepd-wlm")
        running.wait(lambda state, reason: state.startswith("IDLE") and "NOT_" not in state)
        yield running


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it does not start"
        time.sleep(0.1)

"""Systems with a real package manager, for commands that root would run there.

mmdebstrap makes their trees once per machine. A system is an overlay over one in a mount namespace
of its own, so nothing of it stays. Kernel, network and processes are this machine's.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fleetwheel.onboarding.driver_steps import NVIDIA, Step

TREES = Path.home() / ".cache" / "fleetwheel-rig"
KINDS = {
    "dnf": ("bookworm", "dnf,dnf-plugins-core,createrepo-c,rpm"),
    "zypper": ("bookworm", "zypper,createrepo-c,rpm"),
    "apt-12": ("bookworm", ""),
    "apt-13": ("trixie", ""),
    "lmod": ("bookworm", "lmod,python3"),
    "environment-modules": ("bookworm", "environment-modules,python3"),
}
"""Name of a tree, its release of Debian, and what it has beside apt. The last two cannot stand on
one system: each of them is the command ``module``."""
REPOSITORIES = "/repositories"
BOOT = """
set -e
tree=$1 repositories=$2 disk=$3
mount -t tmpfs tmpfs "$disk"
mkdir "$disk/upper" "$disk/work" "$disk/root"
mount -t overlay -o "lowerdir=$tree,upperdir=$disk/upper,workdir=$disk/work" overlay "$disk/root"
mount --bind /dev "$disk/root/dev"
mount -t proc proc "$disk/root/proc"
mkdir "$disk/root/repositories"
mount --bind "$repositories" "$disk/root/repositories"
cp /etc/resolv.conf "$disk/root/etc/resolv.conf"
echo ready
exec cat >/dev/null
"""


class StepError(AssertionError):
    """A step of a plan has failed."""


@dataclass(frozen=True)
class System:
    """A system that commands run in, as root."""

    root: Path
    process: int

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command and return how it ended and what it said."""
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        inside = ["nsenter", f"--target={self.process}", "--mount", "chroot", self.root]
        return subprocess.run(
            [*inside, "env", "-i", path, "HOME=/root", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )

    def shell(self, script: str) -> str:
        """Run a shell script that must do well, and return what it says."""
        done = self.run("sh", "-c", script)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def apply(self, steps: Iterable[Step]) -> str:
        """Run the steps of a plan as they are, but that NVIDIA's repositories lie here.

        Returns what they said; raises StepError at the first that fails.
        """
        said = ""
        for step in steps:
            done = self.run(
                *(word.replace(NVIDIA, f"file://{REPOSITORIES}") for word in step.command)
            )
            said += f"$ {step.what}\n{done.stdout}"
            if done.returncode:
                raise StepError(said)
        return said


def missing() -> str | None:
    """Return what keeps this machine from having such systems."""
    if os.geteuid() != 0:
        return "only root can make trees of other systems"
    tools = [name for name in ("mmdebstrap", "nsenter", "dpkg-deb") if not shutil.which(name)]
    return f"no {' and no '.join(tools)}: scripts/install-test-tools.sh" if tools else None


@contextmanager
def system(kind: str, directory: Path, repositories: Path) -> Iterator[System]:
    """Have a system of a kind until the block ends.

    + directory: an empty one for its disk
    + repositories: what the system sees as ``/repositories``
    """
    words = ["sh", "-c", BOOT, "system", tree(kind), repositories, directory]
    holder = subprocess.Popen(
        ["unshare", "--mount", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "ready\n", "the system did not come up: see above"
        yield System(directory / "root", holder.pid)
    finally:
        holder.communicate()


def tree(kind: str) -> Path:
    """Return a tree, which is made when it is not there."""
    whole = TREES / kind
    if whole.exists():
        return whole
    TREES.mkdir(parents=True, exist_ok=True)
    new = TREES / f"{kind}.new-{os.getpid()}"
    suite, packages = KINDS[kind]
    include = [f"--include={packages}"] if packages else []
    make: Sequence[str | Path] = ["mmdebstrap", "--variant=minbase", *include, suite, new]
    try:
        subprocess.run(make, check=True, stdout=sys.stderr)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    new.rename(whole)
    return whole

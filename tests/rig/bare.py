"""A bare Debian host behind SSH: no Python, no curl, no CA certificates, no systemd.

debootstrap makes its tree once per machine. A host is an overlay over that tree in a mount
namespace of its own, so nothing of it stays. Network and kernel are this machine's.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SUITE = "bookworm"
TREES = Path.home() / ".cache" / "fleetwheel-rig"
USER = "tester"
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"

BOOT = """
set -e
tree=$1 own=$2 user=$3 sudoers=$4
cd "$own"
mount -t tmpfs -o mode=755 tmpfs disk
mkdir disk/upper disk/work disk/root
mount -t overlay -o "lowerdir=$tree,upperdir=disk/upper,workdir=disk/work" overlay disk/root
mount --bind /dev disk/root/dev
mount -t tmpfs tmpfs disk/root/dev/shm
mount -t proc proc disk/root/proc
mkdir -p disk/root/run/sshd disk/root/etc/rig
cp /etc/resolv.conf disk/root/etc/resolv.conf
cp host id.pub sshd_config disk/root/etc/rig
cd disk/root
chroot . useradd --create-home --shell /bin/bash "$user"
echo "$user:*" | chroot . chpasswd -e
if [ "$sudoers" ]; then echo "$user $sudoers" >etc/sudoers.d/rig; fi
umask 077 # as where security guides are followed
exec chroot . /usr/sbin/sshd -D -e -q -f /etc/rig/sshd_config
"""


@dataclass(frozen=True)
class Bare:
    """How to reach the host: as root, or as ``USER``."""

    directory: Path
    port: int

    def inventory(self, user: str = "root", **more: object) -> str:
        """Return the YAML of an inventory that has this host alone, named ``bare``.

        Wheels are pushed: some of them only this machine has.
        """
        entry = {
            "address": "127.0.0.1",
            "port": self.port,
            "user": user,
            "key": self.directory / "id",
            "known_hosts": self.directory / "known_hosts",
            "distribution": "push",
            **more,
        }
        lines = [f"    {key}: {value}" for key, value in entry.items()]
        return "\n".join(["hosts:", "  bare:", *lines, ""])

    def run(self, command: str, user: str = "root") -> str:
        """Run a command on the host, and return what it prints."""
        known = f"UserKnownHostsFile={self.directory}/known_hosts"
        to = ["-p", str(self.port), "-i", self.directory / "id", "-o", known, f"{user}@127.0.0.1"]
        return subprocess.check_output(["ssh", *to, command], text=True)


def missing() -> str | None:
    """Return what keeps this machine from bringing up bare hosts."""
    if os.geteuid() != 0:
        return "only root can bring up a bare host"
    tools = [name for name in ("debootstrap", "sshd") if not shutil.which(name, path=PATH)]
    return f"no {' and no '.join(tools)}: scripts/install-test-tools.sh" if tools else None


@contextmanager
def bare_host(directory: Path, sudoers: str = "") -> Iterator[Bare]:
    """Run a bare host in ``directory``, which must not exist, until the block ends.

    ``sudoers`` is what sudo lets ``USER`` do, such as ``ALL=(ALL) NOPASSWD: ALL``. The first call
    on a machine takes half a minute and the network, later ones no time.
    """
    (directory / "disk").mkdir(parents=True)
    port = _configure(directory)
    boot = ["sh", "-c", BOOT, "bare", tree(), directory, USER, sudoers]
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    server = subprocess.Popen([*alone, *boot], start_new_session=True)
    try:
        _await(port, server)
        yield Bare(directory, port)
    finally:
        server.kill()
        server.wait()


def tree() -> Path:
    """Return the tree of the bare system, which is made when it is not there."""
    whole = TREES / f"bare-{SUITE}"
    if not whole.exists():
        TREES.mkdir(parents=True, exist_ok=True)
        new = TREES / f"bare-{SUITE}.new-{os.getpid()}"
        make = ["debootstrap", "--variant=minbase", "--include=openssh-server,sudo", SUITE, new]
        try:
            subprocess.run(make, check=True, stdout=sys.stderr, env={**os.environ, "PATH": PATH})
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        for package in (new / "var/cache/apt/archives").glob("*.deb"):
            package.unlink()
        new.rename(whole)
    return whole


def _configure(directory: Path) -> int:
    """Write keys, known_hosts and sshd's configuration, and return the port."""
    for name in ("host", "id"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name]
        subprocess.run(command, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    kind, key = (directory / "host.pub").read_text().split()[:2]
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    (directory / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey /etc/rig/host\nPidFile none\n"
        "AuthorizedKeysFile /etc/rig/id.pub\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n"
    )
    return port


def _await(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        assert server.poll() is None, "the bare host did not come up: see above"
        assert time.monotonic() < deadline, "the bare host does not answer"
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


def main() -> None:
    """Keep a bare host up until Ctrl-C, and print where its inventory is."""
    if reason := missing():
        sys.exit(reason)
    # Ends as with Ctrl-C, so that the host ends too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory(prefix="bare-") as base,
        bare_host(Path(base, "host")) as host,
    ):
        inventory = Path(base, "inventory.yaml")
        inventory.write_text(host.inventory())
        print(inventory, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()

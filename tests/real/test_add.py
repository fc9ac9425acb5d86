"""``fleetwheel add`` over real SSH: whom it believes, what it writes, and that a deploy follows."""

import getpass
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.project import Project
from tests.rig.windows import windows_rig
from tests.rig.windows.prefix import missing
from tests.sshd import PROGRAM, sshd

pytestmark = pytest.mark.real
FLEETWHEEL = Path(sys.executable).with_name("fleetwheel")
HEADER = "# The fleet. docs/inventory.example.yaml explains every key.\n"
UNKNOWN = "SHA256:" + "a" * 43


@dataclass
class Lab:
    """A project, a user's home directory, and a host at which an sshd listens."""

    project: Project
    keys: Path
    port: int

    @property
    def home(self) -> Path:
        return self.keys / "home"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.home), "COLUMNS": "200"}

    @property
    def way(self) -> tuple[str, ...]:
        return ("--address", "127.0.0.1", "--port", str(self.port), "--key", str(self.keys / "id"))

    def command(self, *arguments: str) -> tuple[str, ...]:
        return (str(FLEETWHEEL), "add", *arguments)

    def add(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command as a script would, without a terminal."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.project.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )

    def add_at_a_terminal(self, answer: str, *arguments: str) -> str:
        """Run the command in a terminal, answer its one question, and return what it showed."""
        terminal, inside = pty.openpty()
        with subprocess.Popen(
            self.command(*arguments),
            cwd=self.project.directory,
            env=self.environment,
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
        ):
            os.close(inside)
            shown, deadline = "", time.monotonic() + 60
            while (text := _read(terminal, deadline)) is not None:
                shown += text
                if text.rstrip().endswith("[y/N]:"):
                    os.write(terminal, f"{answer}\n".encode())
        os.close(terminal)
        return shown

    def fingerprint(self, key: str) -> str:
        command = ["ssh-keygen", "-lf", self.keys / f"{key}.pub"]
        return subprocess.check_output(command, text=True).split()[1]

    def know(self, key: str) -> None:
        """Have known_hosts expect this key of the host."""
        self.known_hosts.parent.mkdir(parents=True, exist_ok=True)
        public = (self.keys / f"{key}.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}")

    @property
    def known_hosts(self) -> Path:
        return self.home / ".ssh" / "known_hosts"

    @property
    def inventory(self) -> Path:
        return self.project.directory / "inventory" / "fleet.yaml"

    def untouched(self) -> bool:
        return not self.inventory.exists() and not self.known_hosts.exists()


def _read(terminal: int, deadline: float) -> str | None:
    """Return what a terminal shows next; None where the program has ended."""
    ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
    assert ready, "it neither went on nor ended"
    try:
        return os.read(terminal, 4096).decode() or None
    except OSError:
        return None


@pytest.fixture
def lab(project: Project, tmp_path: Path) -> Iterator[Lab]:
    if PROGRAM is None:
        pytest.skip("sshd is not installed: scripts/install-test-tools.sh")
    keys = tmp_path / "ssh"
    (keys / "home").mkdir(parents=True)
    rsa = ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", keys / "rsa"]
    subprocess.run(rsa, check=True)
    with sshd(keys, f"HostKey {keys}/rsa") as port:
        yield Lab(project, keys, port)


def test_an_unknown_host_is_shown_and_not_trusted(lab: Lab) -> None:
    done = lab.add("ws-01", *lab.way)
    assert done.returncode == 1
    assert f"256 {lab.fingerprint('host')} [127.0.0.1]:{lab.port} (ED25519)" in done.stdout
    assert f"2048 {lab.fingerprint('rsa')} [127.0.0.1]:{lab.port} (RSA)" in done.stdout
    assert "ws-01: is not trusted, and there is no terminal" in done.stdout
    wrong = lab.add("ws-01", *lab.way, "--fingerprint", UNKNOWN)
    assert wrong.returncode == 1
    assert "no host key with the fingerprint given" in wrong.stdout
    rsa = lab.add("ws-01", *lab.way, "--fingerprint", lab.fingerprint("rsa"))
    assert rsa.returncode == 1
    assert "give the --fingerprint of its ED25519 or ECDSA key" in rsa.stdout
    assert lab.untouched()


def test_a_host_with_the_right_fingerprint_is_added_and_deployed_to(lab: Lab) -> None:
    done = lab.add("ws-01", *lab.way, "--fingerprint", lab.fingerprint("host"))
    assert done.returncode == 0, done.stdout
    assert "pyinfra inventory.py deploys/onboard.py --limit ws-01" in done.stdout
    assert lab.inventory.read_text() == (
        f"{HEADER}hosts:\n"
        f"  ws-01: {{address: 127.0.0.1, port: {lab.port}, key: {lab.keys / 'id'}}}\n"
    )
    public = (lab.keys / "host.pub").read_text().split()[:2]
    assert lab.known_hosts.read_text() == f"[127.0.0.1]:{lab.port} {' '.join(public)}\n"
    dry = lab.project.run("--dry", "deploys/torch.py", env={"HOME": str(lab.home)})
    assert dry.returncode == 0, dry.stdout
    assert "would change" in dry.stdout

    again = lab.add("ws-01", *lab.way)
    assert (again.returncode, again.stdout) == (
        0,
        "ws-01 stands at inventory/fleet.yaml:3 already; nothing to add\n",
    )
    lab.known_hosts.unlink()
    unknown = lab.add("ws-01", *lab.way)
    assert (unknown.returncode, lab.known_hosts.exists()) == (1, False)
    assert f"known_hosts does not have the keys of ws-01:\n  256 {lab.fingerprint('host')}" in (
        unknown.stdout
    )
    learnt = lab.add("ws-01", *lab.way, "--fingerprint", lab.fingerprint("host"))
    assert learnt.returncode == 0, learnt.stdout
    assert f"already; its keys are in {lab.known_hosts} now" in learnt.stdout
    assert lab.known_hosts.read_text() == f"[127.0.0.1]:{lab.port} {' '.join(public)}\n"
    other = lab.add("ws-01", "--user", "somebody")
    assert other.returncode == 1
    assert "inventory/fleet.yaml:3 already: user not said, not somebody" in other.stdout
    second = lab.add("ws-02", "ws-01", *lab.way[2:], "--group", "lab")
    assert second.returncode == 1, second.stdout
    assert "ws-01 stands at inventory/fleet.yaml:3 already: in no group, not lab" in second.stdout
    assert "ws-02: cannot be reached" in second.stdout


def test_a_person_is_asked(lab: Lab) -> None:
    assert "is not trusted" in lab.add_at_a_terminal("n", "ws-01", *lab.way)
    assert lab.untouched()
    shown = lab.add_at_a_terminal("y", "ws-01", *lab.way)
    assert lab.fingerprint("host") in shown
    assert "next: pyinfra" in shown
    assert lab.known_hosts.read_text().count("[127.0.0.1]") == 2
    assert "next: pyinfra" in lab.add("ws-02", *lab.way, "--group", "lab").stdout
    assert "lab:\n    hosts:\n      ws-02: {" in lab.inventory.read_text()


def test_a_changed_key_is_refused(lab: Lab) -> None:
    lab.know("stranger")
    before = lab.known_hosts.read_text()
    done = lab.add("ws-01", *lab.way, "--fingerprint", lab.fingerprint("host"))
    assert done.returncode == 1
    assert "THE HOST KEY HAS CHANGED" in done.stdout
    assert lab.fingerprint("stranger") in done.stdout
    assert f"ssh-keygen -R '[127.0.0.1]:{lab.port}' -f {lab.known_hosts}" in done.stdout
    assert lab.known_hosts.read_text() == before
    assert not lab.inventory.exists()


def test_what_cannot_be_logged_in_to_leaves_no_trace(lab: Lab) -> None:
    stranger = (*lab.way[:-1], str(lab.keys / "stranger"))
    done = lab.add("ws-01", *stranger, "--fingerprint", lab.fingerprint("host"))
    assert done.returncode == 1
    assert "ws-01: is not added: Authentication error" in done.stdout
    down = lab.add("ws-01", "--address", "127.0.0.1", "--port", "1")
    assert "ws-01: cannot be reached: Connection refused" in down.stdout
    assert down.returncode == 1
    assert lab.untouched()


def test_behind_a_jump_host(lab: Lab) -> None:
    lab.know("host")
    config = f"Port {lab.port}\n  User {getpass.getuser()}\n  IdentityFile {lab.keys / 'id'}\n"
    (lab.known_hosts.parent / "config").write_text(
        f"Host jump\n  HostName 127.0.0.1\n  {config}"
        f"Host inner\n  HostName localhost\n  ProxyJump jump\n  {config}"
    )
    prints = ("--fingerprint", lab.fingerprint("host"))
    done = lab.add("inner", *prints)
    assert done.returncode == 0, done.stdout
    assert lab.inventory.read_text() == f"{HEADER}hosts:\n  inner:\n"
    assert f"\n[localhost]:{lab.port} ssh-ed25519 " in lab.known_hosts.read_text()
    lab.known_hosts.unlink()
    unknown = lab.add("ws-03", *lab.way[:1], "inner", *prints)
    assert unknown.returncode == 1
    assert "known_hosts has no key of the jump host" in unknown.stdout


def test_behind_a_proxy_command(lab: Lab) -> None:
    lab.known_hosts.parent.mkdir(parents=True)
    (lab.known_hosts.parent / "config").write_text("Host inner\n  ProxyCommand sleep 60\n")
    done = lab.add("inner")
    assert done.returncode == 1
    assert "inner: is behind a ProxyCommand" in done.stdout
    assert "hint: ProxyJump" in done.stdout


@pytest.mark.skipif(bool(missing()), reason=str(missing()))
def test_a_windows_host_is_one_in_the_inventory(project: Project, tmp_path: Path) -> None:
    with windows_rig(tmp_path / "windows") as rig:
        (tmp_path / "home").mkdir()
        lab = Lab(project, tmp_path, rig.port)
        public = tmp_path / "host.pub"
        public.write_text(" ".join(rig.known_hosts_line.split()[1:3]))
        done = lab.add(
            *("win-01", "--address", rig.address, "--port", str(rig.port), "--user", rig.user),
            *("--key", str(rig.key), "--fingerprint", lab.fingerprint("host")),
        )
    assert done.returncode == 0, done.stdout
    assert "--limit @winssh/win-01" in done.stdout
    assert "os: windows}" in lab.inventory.read_text()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((), "Missing argument"),
        (("a", "b", "--address", "c"), "--address is for one HOST"),
        (("ops@ws-01",), "'ops@ws-01' is no name or address of a host"),
        (("-oProxyCommand=x",), "No such option"),
        (("ws-01", "--user", ""), "an option is empty"),
        (("ws-01", "--port", "99999"), "--port"),
        (("ws-01", "--fingerprint", "MD5:aa"), "no fingerprint"),
        (("ws-01", "--group", "all"), "groups.all"),
        (("ws-01", "--file", "/elsewhere.yaml"), "inventory.py does not read it"),
    ],
)
def test_bad_usage(arguments: tuple[str, ...], error: str, project: Project) -> None:
    lab = Lab(project, project.directory.parent, 0)
    done = lab.add(*arguments)
    assert error in done.stdout
    assert "Traceback" not in done.stdout
    assert done.returncode == 1


def test_outside_a_project(tmp_path: Path) -> None:
    done = Lab(Project(tmp_path, tmp_path), tmp_path, 0).add("ws-01")
    assert done.returncode == 1
    assert "no project directory" in done.stdout

"""The mirror for real: nginx set up over SSH, and twenty hosts that install through it at once."""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.project import copy_of_checkout, run_pyinfra
from tests.small_wheels import make_wheel
from tests.sshd import PROGRAM, known_hosts, sshd
from tests.upstream import Upstream, make_certificate, upstream

pytestmark = pytest.mark.real
USER = "fleetwheel-mirror"
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
HOSTS = ["m1", *(f"h{number:02}" for number in range(1, 20))]
TORCH = "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"
SLICE = 8 << 20
"""Bytes that the mirror fetches at a time."""


@dataclass
class Lab:
    """A source, a host that is to be the mirror, and nineteen more that use it."""

    wheels: Path
    directory: Path
    """The project directory."""
    base: Path
    """Where the hosts have their roots, under their names."""
    source: Upstream
    mirror: str
    """Its address."""
    environment: dict[str, str]

    def deploy(self, deploy: str, *options: str) -> subprocess.CompletedProcess[str]:
        return run_pyinfra(
            self.directory,
            "-y",
            "inventory.py",
            f"deploys/{deploy}.py",
            *options,
            env=self.environment,
            seconds=300,
        )


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    if PROGRAM is None or NGINX is None:
        pytest.skip("sshd or nginx is not installed: scripts/install-test-tools.sh")
    directory = tmp_path / "project"
    directory.mkdir()
    copy_of_checkout(directory)
    wheels = tmp_path / "wheels"
    tag = TORCH.removeprefix("torch-2.13.0+cpu-").removesuffix(".whl")
    ballast = {"torch/__init__.py": "", "torch/ballast": os.urandom(SLICE).hex() + "odd"}
    make_wheel(wheels, "torch", "2.13.0+cpu", tag=tag, files=ballast)
    make_wheel(wheels, "numpy", "2.4.0")
    key, certificate = make_certificate(tmp_path)
    # The mirror's nginx runs as a user of its own, for whom pytest's directories are closed.
    base = Path(tempfile.mkdtemp(prefix="fleetwheel-lab-"))
    base.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(remove_user)
        stack.callback(shutil.rmtree, base)
        port = stack.enter_context(sshd(tmp_path, "MaxStartups 100"))
        source = stack.enter_context(upstream(wheels, key))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            mirror = f"m1:{free.getsockname()[1]}"
        hosts = "".join(f"  {name}: {{root: {base}/{name}}}\n" for name in HOSTS)
        (directory / "inventory" / "lab.yaml").write_text(
            f"defaults: {{key: {tmp_path}/id, address: 127.0.0.1, port: {port}, mirror: '{mirror}',"
            f" distribution: mirror, known_hosts: {known_hosts(tmp_path, 'host', port)},"
            f" sources: ['{source.url}/simple'], packages: [numpy]}}\nhosts:\n{hosts}"
        )
        environment = {
            "PIP_CERT": str(certificate),
            "PIP_NO_INDEX": "1",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": "",
            "FLEETWHEEL_PYTORCH_INDEX": "http://127.0.0.1:9",
        }
        address = f"http://127.0.0.1:{mirror.partition(':')[2]}"
        stack.callback(stop, base / "m1" / "mirror" / "run" / "nginx.pid")
        yield Lab(wheels, directory, base, source, address, environment)


def stop(pid: Path) -> None:
    if pid.exists():
        os.kill(int(pid.read_text()), signal.SIGTERM)
        wait_for(lambda: not pid.exists())


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def remove_user() -> None:
    """Remove the mirror's user, which has no process left."""
    if os.geteuid() == 0:
        subprocess.run(["userdel", USER], capture_output=True, check=False)


def raw_status(address: str, path: str) -> int:
    """Ask for a path as it stands; requests would drop what follows a ``#``."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    connection.putrequest("GET", path)
    connection.endheaders()
    with closing(connection):
        return connection.getresponse().status


def status(url: str, method: str = "GET") -> int:
    return requests.request(method, url, timeout=10).status_code


def test_twenty_hosts_cost_one_download_of_each_wheel(lab: Lab) -> None:
    done = lab.deploy("mirror")
    assert done.returncode == 0, done.stdout
    files = lab.base / "m1" / "mirror"
    written = {path.name: path.stat().st_mtime_ns for path in files.iterdir() if path.is_file()}
    again = lab.deploy("mirror", "--limit", "m1")
    assert again.returncode == 0, again.stdout
    assert "unchanged" in again.stdout
    assert written == {name: (files / name).stat().st_mtime_ns for name in written}

    lab.source.delay = 2  # the second host wants what the first one is still being sent
    # The made-up torch fails its smoke test on every host, once it is installed.
    done = lab.deploy("torch")
    for host in HOSTS:
        built = list((lab.base / host / "envs").glob("2.13.0+cpu-*/lib/python3*/site-packages"))
        assert len(built) == 1, done.stdout
        assert (built[0] / "torch/ballast").stat().st_size > 2 * SLICE
        assert lab.source.url in (built[0].parents[2] / "pylock.toml").read_text()
    assert lab.source.sent == {wheel.name: wheel.stat().st_size for wheel in lab.wheels.iterdir()}


def test_the_mirror_is_no_open_proxy_and_checks_certificates(lab: Lab, tmp_path: Path) -> None:
    assert lab.deploy("mirror", "--limit", "m1").returncode == 0
    source = f"{lab.mirror}/{lab.source.url.replace('://', '/')}"
    files = lab.base / "m1" / "mirror"
    pid = int((files / "run/nginx.pid").read_text())
    if os.geteuid() == 0:
        assert Path(f"/proc/{pid}").stat().st_uid != 0

    assert status(f"{source}/files/numpy-2.4.0-py3-none-any.whl") == 200
    assert status(f"{source}/files/numpy-2.4.0-py3-none-any.whl", "POST") == 405
    moved = requests.get(f"{source}/moved/numpy-2.4.0-py3-none-any.whl", timeout=10)
    assert [answer.url.startswith(lab.mirror) for answer in (moved, *moved.history)] == [True] * 2
    assert status(f"{source}/files/numpy-9.whl") == 404
    for path in ("/simple/torch/", "/../../https/other.example/x.whl", "/"):
        assert status(source + path) == 404, path
    for path in ("https/other.example/x.whl", "http/127.0.0.1/x.whl", "x.whl", ""):
        assert status(f"{lab.mirror}/{path}") == 404, path

    (lab.wheels / "secret.txt").write_text("not for everyone")
    asked = source.removeprefix(lab.mirror)
    for end in ("#.whl", ";.whl", "%3f.whl", "%3F.whl", "%23.whl", "%3b.whl", "?.whl", "%00.whl"):
        assert raw_status(lab.mirror, f"{asked}/files/secret.txt{end}") in (400, 404), end
    for way in (
        "/simple/../files/",
        "/simple%2f..%2Ffiles/",
        "/x/%2e%2e/files/",
        "/x%5c..%5cfiles/",
    ):
        assert raw_status(lab.mirror, f"{asked}{way}numpy-2.4.0-py3-none-any.whl") == 404, way
    assert "secret.txt" not in lab.source.sent

    told = {"X-Original-URL": "/files/secret.txt", "X-Forwarded-For": "::1", "Cookie": "a=b"}
    requests.get(f"{source}/files/{TORCH.replace('+', '%2B')}", headers=told, timeout=10)
    assert lab.source.heard == {"host", "range", "user-agent", "accept-encoding"}

    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(make_certificate(other)[1], files / "ca.pem")
    os.kill(pid, signal.SIGHUP)
    wait_for(lambda: status(f"{source}/files/numpy-9.whl") == 502)
    assert "certificate verify error" in (files / "run/error.log").read_text()
    assert lab.deploy("mirror", "--limit", "m1").returncode == 0
    wait_for(lambda: status(f"{source}/files/numpy-9.whl") == 404)

    stop(files / "run/nginx.pid")
    done = lab.deploy("torch", "--limit", "h01")
    assert done.returncode == 1
    assert "the mirror http://127.0.0.1:" in done.stdout
    assert "run deploys/mirror.py" in done.stdout
    assert not (lab.base / "h01").exists()


def as_daemon(command: str) -> int:
    """Run a command as the mirror's user; return its exit code."""
    return subprocess.run(
        ["runuser", "-u", USER, "--", "sh", "-c", command], stderr=subprocess.DEVNULL
    ).returncode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a user for the mirror")
def test_the_mirrors_user_owns_what_nginx_writes_and_nothing_else(lab: Lab) -> None:
    """Also where all of it was once that user's, who has put other things in the places of ours."""
    files, victim = lab.base / "m1/mirror", lab.base / "victim"
    victim.mkdir(mode=0o755, parents=True)
    (victim / "shadow").write_text("theirs")
    subprocess.run(["useradd", "--system", "--no-create-home", USER], check=True)
    files.mkdir(parents=True)
    shutil.chown(files, USER)
    for name, target in {"cache": victim, "nginx.conf.new": victim / "shadow"}.items():
        assert as_daemon(f"ln -s {target} {files}/{name}") == 0
    assert as_daemon(f"mkfifo {files}/ca.pem.new && touch {files}/nginx.conf") == 0

    for _ in range(2):
        done = lab.deploy("mirror", "--limit", "m1")
        assert done.returncode == 0, done.stdout
        assert victim.owner() == "root"
        assert (victim / "shadow").read_text() == "theirs"
        owners = {path.name: path.owner() for path in (files, *files.iterdir())}
        assert owners == {
            **dict.fromkeys(["mirror", "nginx.conf", "ca.pem"], "root"),
            **dict.fromkeys(["cache", "run"], USER),
        }
    assert "unchanged" in done.stdout
    for command in (
        "mv {}/cache {}/elsewhere",
        "rm {}/nginx.conf",
        "echo >>{}/ca.pem",
        "touch {}/x",
    ):
        assert as_daemon(command.replace("{}", str(files))) != 0, command

    os.chown(
        files / "nginx.conf",
        Path(f"/proc/{(files / 'run/nginx.pid').read_text().strip()}").stat().st_uid,
        0,
    )
    assert " changed" in lab.deploy("mirror", "--limit", "m1").stdout
    assert (files / "nginx.conf").owner() == "root"


def test_the_mirror_goes_once_the_inventory_names_it_no_more(lab: Lab) -> None:
    assert lab.deploy("mirror", "--limit", "m1").returncode == 0
    files = lab.base / "m1/mirror"
    pid = int((files / "run/nginx.pid").read_text())
    (files / "notes").write_text("theirs")
    told = ("remove", "--limit", "m1", "--data", "what=mirror")
    done = lab.deploy(*told)
    assert done.returncode == 1
    assert "the inventory names this host as the mirror" in done.stdout
    assert Path(f"/proc/{pid}").exists()

    inventory = lab.directory / "inventory/lab.yaml"
    text = inventory.read_text()
    inventory.write_text(re.sub("mirror: '[^']*', distribution: mirror,", "", text))
    done = lab.deploy(*told)
    assert done.returncode == 0, done.stdout
    assert [path.name for path in files.iterdir()] == ["notes"]
    assert not Path(f"/proc/{pid}").exists()
    assert subprocess.run(["id", USER], capture_output=True).returncode != 0
    (files / "notes").unlink()
    assert lab.deploy(*told).returncode == 0
    assert not files.exists()
    assert "nothing to remove" in lab.deploy(*told).stdout

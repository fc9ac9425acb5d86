"""scripts/install-test-tools.sh on a machine that starts what is installed, as Debian does."""

import re
import shlex
from pathlib import Path

import pytest

from tests.rig.bare import Bare, bare_host, missing

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]
SCRIPT = Path("scripts/install-test-tools.sh").read_text()
TOOLS = set(re.findall(r"^([a-z0-9_-]+):", SCRIPT, re.MULTILINE))
POLICY = "/usr/sbin/policy-rc.d"
BOOTED = """
ln -sf /bin/true /sbin/init
printf '#!/bin/sh\necho N 5\n' >/sbin/runlevel
chmod 755 /sbin/runlevel
"""
"""An init system that has come up, without which Debian starts nothing."""
RUNNING = "cat /proc/[0-9]*/comm | sort -u"


def install(host: Bare, tool: str) -> None:
    """Run the script where every other tool seems to be there."""
    assert tool in TOOLS
    stubs = "\n".join(f"ln -sf /bin/true /opt/{name}" for name in TOOLS - {tool})
    host.run(f"{BOOTED}\nrm -f /opt/*\n{stubs}\nPATH=$PATH:/opt sh -c {shlex.quote(SCRIPT)} >&2")


def test_a_server_is_installed_and_neither_runs_nor_starts_at_boot(tmp_path: Path) -> None:
    with bare_host(tmp_path / "host") as host:
        install(host, "nginx")
        assert "1.2" in host.run("/usr/sbin/nginx -v 2>&1")
        assert "nginx" not in host.run(RUNNING).split()
        assert not re.search(r"S\d\dnginx", host.run("ls /etc/rc[2-5].d"))
        assert "nginx" not in host.run("ls -R /etc/systemd/system")
        assert host.run(f"ls {POLICY}* 2>&1 || true").endswith("No such file or directory\n")


def test_a_machine_gets_its_own_policy_back(tmp_path: Path) -> None:
    own = "#!/bin/sh\n# mine\nexit 0\n"
    with bare_host(tmp_path / "host") as host:
        host.run(f"printf %s {shlex.quote(own)} >{POLICY}; chmod 755 {POLICY}")
        install(host, "rsync")
        assert host.run(f"cat {POLICY}") == own
        assert host.run(f"stat -c %a {POLICY}*") == "755\n"
        assert not re.search(r"S\d\drsync", host.run("ls /etc/rc[2-5].d"))

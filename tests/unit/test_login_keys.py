"""Keys of the inventory that are no keys on this machine."""

import subprocess
from pathlib import Path

import pytest

from fleetwheel.inventory.load import ListedHost
from fleetwheel.inventory.login_keys import leave_out_unusable


def host(name: str, **data: object) -> ListedHost:
    return ListedHost(name=name, groups=(), data=data)


@pytest.mark.parametrize("options", [["-t", "rsa", "-m", "PEM"], ["-t", "ed25519", "-N", "secret"]])
def test_a_key_is_kept(tmp_path: Path, options: list[str]) -> None:
    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-N", "", *options, "-f", key], check=True)
    login = host("a", ssh_key=str(key))
    assert leave_out_unusable([login, host("b")]) == []
    assert login.data == {"ssh_key": str(key)}


def test_what_is_no_key_is_left_out_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "id.pub").write_text("ssh-ed25519 AAAA me\n")
    hosts = [
        host("a", ssh_key="~/lost", ssh_port=22),
        host("b", ssh_key="~/lost"),
        host("c", ssh_key=str(tmp_path / "id.pub")),
        host("d", ssh_key=str(tmp_path)),
    ]
    lost, public, directory = leave_out_unusable(hosts)
    assert "~/lost cannot be used (No such file or directory); 2 hosts" in lost
    assert "id.pub cannot be used (no private key); c" in public
    assert "(Is a directory); d" in directory
    assert [host.data for host in hosts] == [{"ssh_port": 22}, {}, {}, {}]

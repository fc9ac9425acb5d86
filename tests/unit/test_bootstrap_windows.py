"""The script that turns on OpenSSH: read by a parser of PowerShell, as nothing here can run it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter_powershell
from click.testing import CliRunner
from tree_sitter import Language, Node, Parser

from fleetwheel.cli import commands
from fleetwheel.cli.bootstrap_windows import bootstrap_script
from fleetwheel.connection.quoting import for_powershell
from fleetwheel.errors import FleetwheelError

COMMANDS = {
    "Add-WindowsCapability",
    "Get-Content",
    "Get-NetFirewallPortFilter",
    "Get-NetFirewallRule",
    "Get-Service",
    "Get-WindowsCapability",
    "icacls.exe",
    "Join-Path",
    "New-NetFirewallRule",
    "Out-Null",
    "Restart-Service",
    "Set-Content",
    "Set-NetFirewallRule",
    "Set-Service",
    "ssh-keygen.exe",
    "Start-Service",
    "Write-Output",
    "Write-Warning",
}
"""All that it may call: a reader has to be able to trust it."""
TAKING_BACK = {
    "Get-Content",
    "Join-Path",
    "Remove-NetFirewallRule",
    "Set-Content",
    "Set-Service",
    "Stop-Service",
    "Test-Path",
    "Where-Object",
}
KEY = "ssh-ed25519 AAAAC3Nz+/= me@lab"
LAB = ("192.0.2.0/24",)


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from nodes(child)


def parsed(script: str) -> list[Node]:
    """Return the nodes of a script that has no error."""
    root = Parser(Language(tree_sitter_powershell.language())).parse(script.encode()).root_node
    assert not root.has_error, root
    return list(nodes(root))


def texts(found: list[Node], kind: str) -> list[str]:
    return [str(node.text, "utf-8") for node in found if node.type == kind and node.text]


@pytest.mark.parametrize(
    "comment", ["me@lab", "O'Neill", "$(Stop-Computer)", '"; Stop-Computer #', "`n", "\u2019;a"]
)
def test_it_is_powershell_and_calls_nothing_else(comment: str) -> None:
    key = f"ssh-ed25519 AAAAC3Nz+/= {comment}"
    script, empty = bootstrap_script(key, LAB), bootstrap_script("x", LAB)
    assert set(texts(parsed(script), "command_name")) == COMMANDS
    assert f"$key = {for_powershell(key)}\n" in script
    assert script.count("$(") == empty.count("$(") + comment.count("$(")
    undo = bootstrap_script(key, LAB, undo=True)
    assert set(texts(parsed(undo), "command_name")) == TAKING_BACK
    assert f"$key = {for_powershell(key)}\n" in undo


def test_the_firewall_is_set_before_the_server_starts() -> None:
    called = texts(parsed(bootstrap_script(KEY, LAB)), "command_name")
    assert called.index("Set-NetFirewallRule") < called.index("Start-Service")
    assert "ssh-keygen.exe" in called[-2:]


def test_nobody_logs_in_by_a_password_unless_asked() -> None:
    assert "PasswordAuthentication no" in bootstrap_script(KEY, LAB)
    script = bootstrap_script(KEY, LAB, passwords=True)
    assert "PasswordAuthentication" not in script
    assert set(texts(parsed(script), "command_name")) == COMMANDS - {"Restart-Service"}


def run(tmp_path: Path, *words: str, key: str = KEY) -> tuple[int, str]:
    (tmp_path / "lab.pub").write_text(key)
    done = CliRunner().invoke(
        commands, ["bootstrap-windows", "--key", str(tmp_path / "lab.pub"), *words]
    )
    return done.exit_code, done.stdout or done.stderr


def test_the_command_prints_the_script(tmp_path: Path) -> None:
    networks = ("--network", "192.0.2.0/24", "--network", "2001:db8::/32")
    code, script = run(tmp_path, *networks, key=f"# a comment\n{KEY}\n")
    assert code == 0
    assert "$networks = @('192.0.2.0/24', '2001:db8::/32')" in script
    assert script == bootstrap_script(KEY, ("192.0.2.0/24", "2001:db8::/32"))
    assert "Remove-NetFirewallRule" in run(tmp_path, *networks, "--undo")[1]


@pytest.mark.parametrize(
    ("network", "key", "words"),
    [
        ("192.0.2.7/24", KEY, "has host bits set"),
        ("any", KEY, "any is no network"),
        (LAB[0], "", "does not hold one public key"),
        (LAB[0], f"{KEY}\n{KEY}", "does not hold one public key"),
        (LAB[0], f'command="x" {KEY}', "does not hold one public key"),
        (LAB[0], "-----BEGIN OPENSSH PRIVATE KEY-----\nAA", "the file that ends in .pub"),
    ],
)
def test_what_is_no_network_or_key_is_refused(
    tmp_path: Path, network: str, key: str, words: str
) -> None:
    code, said = run(tmp_path, "--network", network, key=key)
    assert code == 1
    assert words in said
    assert "$ErrorActionPreference" not in said


def test_a_key_that_ssh_makes_is_one(tmp_path: Path) -> None:
    for kind in ("ed25519", "ecdsa", "rsa"):
        made = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(tmp_path / kind)]
        subprocess.run(made, check=True)
        key = (tmp_path / f"{kind}.pub").read_text()
        assert run(tmp_path, "--network", LAB[0], key=key)[0] == 0


def test_a_network_of_python_raises_what_it_says() -> None:
    with pytest.raises(FleetwheelError, match="no network"):
        bootstrap_script(KEY, ["x"])


def test_the_parser_sees_errors() -> None:
    with pytest.raises(AssertionError):
        parsed("if ($a -eq 'b { Get-Item }")

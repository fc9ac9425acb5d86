"""The script that turns on OpenSSH: read by a parser of PowerShell, as nothing here can run it."""

from collections.abc import Iterator

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

from fleetwheel.connection.quoting import for_powershell
from fleetwheel.render import render

COMMANDS = {
    "Add-WindowsCapability",
    "Get-Content",
    "Get-NetFirewallRule",
    "Get-WindowsCapability",
    "icacls.exe",
    "Join-Path",
    "New-NetFirewallRule",
    "Out-Null",
    "Set-Content",
    "Set-NetFirewallRule",
    "Set-Service",
    "Start-Service",
}
"""All that it may call: a reader has to be able to trust it."""


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
    script = render(
        "bootstrap-windows.ps1.j2",
        subnet=for_powershell("192.0.2.0/24"),
        key=for_powershell(key),
    )
    found = parsed(script)
    assert set(texts(found, "command_name")) == COMMANDS
    assert f"$key = {for_powershell(key)}\n" in script
    assert script.count("$(") == comment.count("$(")


def test_the_firewall_is_set_before_the_server_starts() -> None:
    called = texts(
        parsed(render("bootstrap-windows.ps1.j2", subnet="''", key="''")), "command_name"
    )
    assert called.index("Set-NetFirewallRule") < called.index("Start-Service")


def test_the_parser_sees_errors() -> None:
    with pytest.raises(AssertionError):
        parsed("if ($a -eq 'b { Get-Item }")

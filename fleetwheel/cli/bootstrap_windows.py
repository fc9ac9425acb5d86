"""`fleetwheel bootstrap-windows`: the script that prepares a Windows machine for SSH."""

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path

import click

from fleetwheel.cli._stderr import QUIET, verbosity_options
from fleetwheel.connection.quoting import for_powershell
from fleetwheel.errors import FleetwheelError
from fleetwheel.render import render

KEY = re.compile(
    r"(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-ssh-ed25519@openssh\.com"
    r"|sk-ecdsa-sha2-nistp256@openssh\.com) [A-Za-z0-9+/]+={0,3}(?: [^\x00-\x1f\x7f]*)?"
)


@click.command("bootstrap-windows")
@click.option("--key", "key_file", required=True, metavar="FILE", help="A public key, ID.pub.")
@click.option("--network", "networks", required=True, multiple=True, metavar="CIDR")
@click.option("--passwords", is_flag=True, help="Leave it to sshd's settings who logs in by one.")
@click.option("--undo", is_flag=True, help="Write the script that takes all of it back.")
@verbosity_options
def bootstrap_windows_command(
    key_file: str, networks: Sequence[str], passwords: bool, undo: bool, verbosity: int
) -> None:
    """Write the PowerShell script that lets one key log in to a Windows machine, to be run there.

    KEY is the public key, NETWORK each network that may reach sshd: 192.0.2.0/24. Read the script,
    and run it on the machine, in a PowerShell that was started as administrator.
    """
    script = bootstrap_script(_key(Path(key_file)), networks, passwords=passwords, undo=undo)
    click.echo(script, nl=False)
    if verbosity != QUIET:
        click.echo("run it there in a PowerShell that was started as administrator", err=True)


def bootstrap_script(
    key: str, networks: Sequence[str], *, passwords: bool = False, undo: bool = False
) -> str:
    """Return the script; FleetwheelError for what is no network."""
    addresses = ", ".join(for_powershell(_network(text)) for text in networks)
    name = "bootstrap-windows-undo.ps1.j2" if undo else "bootstrap-windows.ps1.j2"
    return render(
        name, key=for_powershell(key), networks=f"@({addresses})", key_login_only=not passwords
    )


def _key(file: Path) -> str:
    """Return the one public key of a file."""
    try:
        lines = file.expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FleetwheelError(f"{file} cannot be read: {error}") from error
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if len(keys) != 1 or not KEY.fullmatch(keys[0]):
        raise FleetwheelError(
            f"{file} does not hold one public key",
            hint=f"name the file that ends in .pub: {file}.pub"
            if "PRIVATE KEY" in "".join(lines[:1])
            else "ssh-keygen -t ed25519 makes one",
        )
    return keys[0]


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise FleetwheelError(
            f"{text} is no network: {error}", hint="write it so: --network 192.0.2.0/24"
        ) from error

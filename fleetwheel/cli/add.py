"""`fleetwheel add`: hosts that nobody knows yet, into the inventory and into known_hosts."""

import re
import shlex
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import click
from paramiko import PKey

from fleetwheel import terminal
from fleetwheel.cli._options import Scope
from fleetwheel.cli._stderr import QUIET, verbosity_options
from fleetwheel.cli.fleet import gather
from fleetwheel.connection import host_keys, known_hosts
from fleetwheel.connection.host_keys import Offer
from fleetwheel.enrol.adding import Draft, KnownHost, NewHost, conflicts, refuse_unsound
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import DriverState, Profile
from fleetwheel.inventory.load import ListedHost
from fleetwheel.reporting.table import print_rows
from fleetwheel.terminal import new_console, printable

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")


class Trusted(NamedTuple):
    """A host that is what it says it is."""

    newcomer: NewHost
    offer: Offer
    keys: tuple[PKey, ...]
    """Those of its keys that are trusted."""


class AskedHost(NamedTuple):
    """A host that was asked what it is."""

    trusted: Trusted
    profile: Profile


def _print_of(ctx: click.Context, option: click.Parameter, texts: Sequence[str]) -> set[str]:
    try:
        return {known_hosts.fingerprint(text) for text in texts}
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command("add")
@click.argument("hosts", metavar="HOST...", nargs=-1, required=True)
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    help="Inventory file to write to.  [default: inventory/fleet.yaml]",
)
@click.option("--group", metavar="NAME", help="Group to put the hosts in; a new one is made.")
@click.option("--user", metavar="NAME", help="SSH user of the hosts.")
@click.option("--port", type=click.IntRange(1, 65535), help="SSH port of the hosts.")
@click.option("--key", metavar="FILE", help="Private key file to log in with.")
@click.option(
    "--address", metavar="ADDRESS", help="Where the one HOST is reached, if not by its name."
)
@click.option(
    "--fingerprint",
    "prints",
    metavar="SHA256:...",
    multiple=True,
    callback=_print_of,
    help="Trust the host key that has it, and no other host; can be given again.",
)
@verbosity_options
def add_command(
    hosts: Sequence[str],
    file: Path | None,
    group: str | None,
    address: str | None,
    prints: Collection[str],
    verbosity: int,
    **way: str | int | None,
) -> None:
    """Ask new hosts what they are, and write them into the inventory.

    A host key that known_hosts does not have is shown, and trusted only if you say so, or if
    --fingerprint names it. Hosts that are in the inventory already get their keys in this way, too.

    Without --group, a host joins the group that has most hosts with the same system and GPUs
    (by the newest reports) and that reaches its hosts in the same way, or else no group.

    Exits with 0 where all hosts are in the inventory now, and 1 where some are not.
    """
    if address and len(hosts) > 1:
        raise click.UsageError("--address is for one HOST")
    entry = {"address": address, **way}
    said = {key: value for key, value in entry.items() if value is not None}
    if "" in said.values():
        raise click.UsageError("an option is empty")
    wanted = [NewHost(name, group, said) for name in dict.fromkeys(hosts)]
    _check(wanted)
    draft = Draft(file)
    new, there, failed = _new(draft, wanted)
    unknown = _learn_keys(there, prints)
    trusted = _trust_all(draft, new, prints)
    found = _ask(draft, trusted, verbosity)
    _write(Draft(file), found, verbosity)
    if failed or unknown or len(found) < len(new):
        raise SystemExit(1)


def _check(wanted: Sequence[NewHost]) -> None:
    if not Path("inventory.py").is_file():
        raise FleetwheelError(
            f"{Path.cwd()} is no project directory: it holds no inventory.py",
            hint="run this in the root of a clone, or make a directory with `fleetwheel init`",
        )
    for name, _, _ in wanted:
        if not NAME.fullmatch(name):
            raise FleetwheelError(
                f"{name!r} is no name or address of a host", hint="the user is --user, not USER@"
            )
    refuse_unsound(wanted)


def _tell(error: object) -> None:
    click.echo(f"fleetwheel: {printable(str(error))}", err=True)


def _new(
    draft: Draft, wanted: Sequence[NewHost]
) -> tuple[list[NewHost], list[tuple[str, KnownHost]], bool]:
    """Return the hosts that stand nowhere yet, those that do, and whether one does otherwise."""
    new, there, failed = [], [], False
    for newcomer in wanted:
        standing = draft.standing(newcomer.name)
        if standing is None:
            new.append(newcomer)
            continue
        where = f"{newcomer.name} stands at {standing.path}:{standing.line} already"
        if different := conflicts(standing, newcomer):
            _tell(FleetwheelError(f"{where}: {'; '.join(different)}", hint="change it there"))
            failed = True
        else:
            there.append((newcomer.name, standing))
    return new, there, failed


def _learn_keys(there: Sequence[tuple[str, KnownHost]], prints: Collection[str]) -> bool:
    """Add the keys of hosts of the inventory to known_hosts; return whether one is not trusted."""
    failed = False
    for name, standing in there:
        where = f"{name} stands at {standing.path}:{standing.line} already"
        try:
            offer = host_keys.offered_keys(name, standing.host.data)
        except FleetwheelError as error:
            terminal.echo(f"{where}; its keys were not compared, it {error}")
            continue
        try:
            added = _know(offer, _trusted_keys(name, offer, prints))
            click.echo(f"{where}; {f'its keys are in {added} now' if added else 'nothing to add'}")
        except FleetwheelError as error:
            _tell(f"{name}: {error}")
            failed = True
    return failed


def _know(offer: Offer, keys: Sequence[PKey]) -> Path | None:
    """Add what is new of a host's keys to known_hosts; return the file if there was something."""
    known = [there.key for there in known_hosts.lookup(offer.known_hosts, offer.name)]
    new = [key for key in keys if key not in known]
    if not new:
        return None
    known_hosts.add(offer.known_hosts[0], offer.name, new)
    return offer.known_hosts[0]


def _trust_all(draft: Draft, new: Sequence[NewHost], prints: Collection[str]) -> list[Trusted]:
    """Return the hosts that are who they should be; why others are not is told."""
    hosts, trusted = draft.hosts(new), []
    for newcomer in new:
        try:
            offer = host_keys.offered_keys(newcomer.name, hosts[newcomer.name].data)
            keys = _trusted_keys(newcomer.name, offer, prints)
            trusted.append(Trusted(newcomer, offer, keys))
        except FleetwheelError as error:
            _tell(f"{newcomer.name}: {error}")
    return trusted


def _trusted_keys(name: str, offer: Offer, prints: Collection[str]) -> tuple[PKey, ...]:
    """Return the keys of a host that one may believe. Raises FleetwheelError if there is none."""
    known = known_hosts.lookup(offer.known_hosts, offer.name)
    known_hosts.refuse_revoked(offer.known_hosts, offer.keys)
    known_hosts.refuse_changed(offer.name, offer.keys, known)
    known_hosts.refuse_unvouched(offer.name, offer.keys, prints)
    keys = [there.key for there in known]
    held = tuple(key for key in offer.keys if key in keys or key.fingerprint in prints)
    if known_hosts.sufficient(held, offer.keys):
        return held
    if prints:
        raise FleetwheelError(
            "pyinfra asks for other host keys before that one, which is RSA",
            hint="give the --fingerprint of its ED25519 or ECDSA key",
        )
    _confirm(name, offer)
    return offer.keys


def _confirm(name: str, offer: Offer) -> None:
    """Show the keys of a host and ask whether to trust them. Raises FleetwheelError if not."""
    click.echo(f"known_hosts does not have the keys of {name}:", err=True)
    for key in offer.keys:
        click.echo(f"  {known_hosts.described_key(key, offer.name)}", err=True)
    click.echo(
        "On the host itself, ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub prints the same.",
        err=True,
    )
    if not sys.stdin.isatty():
        raise FleetwheelError(
            "is not trusted, and there is no terminal to ask you",
            hint="compare, then give what the host itself prints: --fingerprint SHA256:...",
        )
    if not click.confirm(f"Trust {name}?", err=True):
        raise FleetwheelError("is not trusted; nothing was written")


def _ask(draft: Draft, trusted: Sequence[Trusted], verbosity: int) -> list[AskedHost]:
    """Return the hosts that answer what they are; why others do not is told."""
    if not trusted:
        return []
    asked = [draft.with_system(there.newcomer, there.offer.windows) for there in trusted]
    hosts = draft.hosts(asked)
    found = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "known_hosts")
        lines = (known_hosts.line(there.offer.name, key) for there in trusted for key in there.keys)
        path.write_text("".join(lines), encoding="utf-8")
        scope = Scope([_checked(hosts[there.name], path) for there in asked], verbosity=verbosity)
        answers = gather(scope)
    for there, answer in zip(trusted, answers, strict=True):
        if answer.profile:
            found.append(AskedHost(there, answer.profile))
        else:
            _tell(f"{there.newcomer.name}: {_no_answer(answer.error)}")
    return found


def _checked(host: ListedHost, path: Path) -> tuple[str, dict[str, object]]:
    """Return a host whose key must be in this file."""
    strict = {"ssh_known_hosts_file": str(path), "ssh_strict_host_key_checking": "yes"}
    return host.name, {**host.data, **strict}


def _no_answer(error: str) -> FleetwheelError:
    return FleetwheelError(
        f"is not added: {error}",
        hint="try it with ssh; --user, --port and --key say how to log in, as does ~/.ssh/config",
    )


def _write(draft: Draft, found: Sequence[AskedHost], verbosity: int) -> None:
    """Write the hosts into known_hosts and the inventory."""
    if not found:
        return
    newcomers = [_placed(draft, there) for there in found]
    hosts = draft.hosts(newcomers)
    for (_, offer, keys), _ in found:
        _know(offer, keys)
    written = draft.write(newcomers)
    names = [hosts[newcomer.name].name for newcomer in newcomers]
    rows = [
        (name, *_row(there.profile), newcomer.group or "-")
        for name, newcomer, there in zip(names, newcomers, found, strict=True)
    ]
    headings = ("host", "system", "GPUs", "driver", "group")
    print_rows(headings, rows, new_console(highlight=False))
    click.echo(f"\nwritten to {', '.join(map(str, written))}")
    if verbosity != QUIET:
        _explain(draft, names)


def _explain(draft: Draft, names: Sequence[str]) -> None:
    """Say what the hosts change, and what comes next."""
    if not any(file.document.groups or file.document.hosts for file in draft.files):
        click.echo("These are the fleet now: deploys no longer go to this machine by themselves.")
    limits = [word for name in names for word in ("--limit", name)]
    click.echo(f"next: {shlex.join(['pyinfra', 'inventory.py', 'deploys/onboard.py', *limits])}")


def _placed(draft: Draft, found: AskedHost) -> NewHost:
    """Return a host as it is written, in the group that it goes to."""
    newcomer, offer, _ = found.trusted
    group = newcomer.group or draft.likest_group(newcomer, found.profile, offer.windows)
    return draft.with_system(newcomer._replace(group=group), offer.windows)


def _row(profile: Profile) -> tuple[str, str, str]:
    names = [gpu.name.removeprefix("NVIDIA ") for gpu in profile.gpus]
    gpus = "\n".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    state = profile.driver.state
    driver = profile.driver.version if state is DriverState.OK else state.value
    return profile.distribution or profile.os, gpus or "-", driver or "-"

"""The keys that the inventory logs in with: what is no key here is left out, as ssh does it."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from fleetwheel.inventory.load import ListedHost


def leave_out_unusable(hosts: Sequence[ListedHost]) -> list[str]:
    """Take keys out of the hosts' data that are no key files here; return a warning for each.

    At such a key pyinfra would end the run for every host.
    """
    hosts_of: dict[str, list[ListedHost]] = defaultdict(list)
    for host in hosts:
        if "ssh_key" in host.data:
            hosts_of[host.data["ssh_key"]].append(host)
    return [
        _leave_out(key, those, problem)
        for key, those in hosts_of.items()
        if (problem := _problem(Path(key)))
    ]


def _leave_out(key: str, hosts: Sequence[ListedHost], problem: str) -> str:
    for host in hosts:
        del host.data["ssh_key"]
    names = hosts[0].name if len(hosts) == 1 else f"{len(hosts)} hosts"
    return f"key: {key} cannot be used ({problem}); {names}: tried with an agent's keys and ~/.ssh"


def _problem(path: Path) -> str | None:
    try:
        with path.expanduser().open("rb") as file:
            begin = file.readline(100)
    except (OSError, RuntimeError) as error:
        return getattr(error, "strerror", None) or str(error)
    is_key = begin.startswith(b"-----BEGIN ") and begin.rstrip().endswith(b"PRIVATE KEY-----")
    return None if is_key else "no private key"

"""What pyinfra's command line asks for: refused where it would end with 0 and nothing done."""

import re
import sys
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click
import pyinfra
from pyinfra.api.arguments import all_argument_meta
from pyinfra.api.connectors import get_all_connectors

from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.command_line import checked_data, data_value
from fleetwheel.inventory.load import PYINFRA_NAMES
from fleetwheel.project import SKELETON

DATA_READ = re.compile(r"""\bhost\.data(?:\.get\(["']|\[["']|\.(?!get\b))(\w+)""")
PYINFRA_GROUPS = {"all", "inventory", "ungrouped"}


def asked() -> Mapping[str, Any] | None:
    """Return the options of pyinfra's command line where it runs files of deploys/."""
    context = click.get_current_context(silent=True)
    if not pyinfra.is_cli or context is None:
        return None
    files = map(Path, context.params["operations"])
    return context.params if any(file.parent.name == "deploys" for file in files) else None


def refuse_idle_run() -> None:
    """Raise FleetwheelError for a command line with which nothing would be done, and exit 0."""
    options = asked()
    if options is None:
        return
    inventory = options["inventory"]
    if inventory.endswith(".py") and not Path(inventory).is_file():
        raise FleetwheelError(f"{inventory}: there is no such inventory file")
    if options["dry"] and options["yes"]:
        raise FleetwheelError("--dry and -y contradict each other", hint="leave one of them out")
    looks = options["dry"] or options["yes"] or options["json_output"]
    if not (looks or options["debug_operations"] or options["debug_facts"] or sys.stdin.isatty()):
        raise FleetwheelError(
            "nobody is there to be asked", hint="-y applies the changes, --dry only looks"
        )
    pairs = (word.partition("=") for word in options["data"])
    data = {key: data_value(value) for key, _, value in pairs}
    for key in data.keys() & PYINFRA_NAMES.keys():
        raise FleetwheelError(f"--data {key}: pyinfra's name for it is {PYINFRA_NAMES[key]}")
    files = [Path(file) for file in options["operations"]]
    checked_data(data, known_names(files) if all(map(_is_ours, files)) else None)


def known_names(files: Iterable[Path]) -> set[str]:
    """
    Return the names of data that pyinfra, its connectors or these deploy files read.

    + files: they are searched for ``host.data.NAME`` and ``host.data.get("NAME")``
    """
    connectors = get_all_connectors().values()
    read = (name for file in files for name in DATA_READ.findall(file.read_text("utf-8")))
    return {*all_argument_meta, *read}.union(*(c.data_cls.__annotations__ for c in connectors))


def _is_ours(file: Path) -> bool:
    """Return whether a file has the name of one that fleetwheel brings, which it may replace."""
    return file.parent.name == "deploys" and (SKELETON / "deploys" / file.name).is_file()


def refuse_limit(hosts: Mapping[str, Collection[str]]) -> None:
    """Raise FleetwheelError for a ``--limit`` that means no host; ``hosts`` has their groups."""
    options = asked()
    for word in options["limit"] if options else ():
        if not _matches(word, hosts):
            several = f"write --limit {' --limit '.join(word.split(','))}" if "," in word else ""
            raise FleetwheelError(
                f"--limit {word}: no such host or group",
                hint=several or "`pyinfra inventory.py debug-inventory` lists them",
            )


def _matches(word: str, hosts: Mapping[str, Collection[str]]) -> bool:
    groups = PYINFRA_GROUPS.union(*hosts.values())
    return word in groups or any(fnmatch(name, word) for name in hosts)

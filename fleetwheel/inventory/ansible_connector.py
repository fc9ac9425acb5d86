"""``@ansible/PATH``: the hosts of an Ansible inventory, as Ansible itself reads it."""

import json
import os
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from pyinfra import logger
from pyinfra.api.exceptions import InventoryError
from pyinfra.connectors.base import BaseConnector
from typing_extensions import override

from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.ansible import read_ansible
from fleetwheel.inventory.load import ListedHost, note_origins
from fleetwheel.inventory.login_keys import leave_out_unusable

SECONDS = 300
"""An inventory that asks a cloud takes its time."""
STRICT = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true", "ANSIBLE_NOCOLOR": "true"}


class AnsibleConnector(BaseConnector):
    """Names hosts, which pyinfra reaches by SSH."""

    handles_execution = False

    @override
    @staticmethod
    def make_names_data(name: str | None = None) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        """Yield the name, data and groups of every host. Raises InventoryError."""
        if not name:
            raise InventoryError("@ansible: names no inventory; write @ansible/PATH")
        try:
            hosts = _hosts(name)
        except FleetwheelError as error:
            raise InventoryError(f"@ansible/{name}: {error}") from None
        for host in hosts:
            yield host.name, dict(host.data), list(host.groups)


@cache
def _hosts(path: str) -> list[ListedHost]:
    """Return the hosts of an inventory, which pyinfra asks for twice."""
    found = read_ansible(_listed(path))
    for warning in [*found.warnings, *leave_out_unusable(found.hosts)]:
        logger.warning(warning)
    note_origins({host.name: dict.fromkeys(host.data, f"Ansible, {path}") for host in found.hosts})
    return found.hosts


def _listed(path: str) -> dict[str, Any]:
    if not Path(path).exists():
        raise FleetwheelError("there is no such file or directory")
    command = ["ansible-inventory", "--inventory", path, "--list"]
    try:
        done = subprocess.run(
            command, env={**os.environ, **STRICT}, capture_output=True, text=True, timeout=SECONDS
        )
        if done.returncode:
            raise FleetwheelError(f"ansible-inventory failed\n{done.stderr.strip()}")
        listed: dict[str, Any] = json.loads(done.stdout)
        return listed
    except FileNotFoundError:
        raise FleetwheelError(
            "this machine has no ansible-inventory, which reads it",
            hint="install ansible-core, or write the hosts into inventory/*.yaml",
        ) from None
    except subprocess.TimeoutExpired:
        raise FleetwheelError(f"ansible-inventory gave no answer within {SECONDS} s") from None
    except ValueError as error:
        raise FleetwheelError(f"ansible-inventory printed no JSON: {error}") from None

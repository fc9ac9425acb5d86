"""What `ansible-inventory --list` says, as hosts for pyinfra."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.load import ListedHost
from fleetwheel.inventory.settings import Settings, suggestion

PREFIX = "fleetwheel_"
"""How the names of our settings begin among Ansible's variables: many use ``packages``."""
VARIABLES = {
    "ansible_host": "ssh_hostname",
    "ansible_port": "ssh_port",
    "ansible_user": "ssh_user",
    "ansible_password": "ssh_password",
    "ansible_private_key_file": "ssh_key",
    "ansible_become": "_sudo",
    "ansible_become_user": "_sudo_user",
    "ansible_become_password": "_sudo_password",
}
"""Ansible's names of what pyinfra's SSH connector is told."""
OLD_NAMES = {
    "ansible_ssh_host": "ansible_host",
    "ansible_ssh_port": "ansible_port",
    "ansible_ssh_user": "ansible_user",
    "ansible_ssh_pass": "ansible_password",
    "ansible_ssh_password": "ansible_password",
    "ansible_ssh_private_key_file": "ansible_private_key_file",
    "ansible_become_pass": "ansible_become_password",
}
ARGUMENTS = ("ansible_ssh_common_args", "ansible_ssh_extra_args", "ansible_ssh_args")
BY_SSH = ("ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh")
TRUE = ("true", "yes", "on", "1")


class AnsibleInventory(NamedTuple):
    """The hosts, and what a person should know of those that are left out or only half read."""

    hosts: list[ListedHost]
    warnings: list[str]


def read_ansible(document: Mapping[str, Any]) -> AnsibleInventory:
    """Return the hosts of an inventory, whose groups Ansible has merged already.

    Raises FleetwheelError with a line for each variable that is no setting, or not a valid one.
    """
    variables: Mapping[str, Any] = document.get("_meta", {}).get("hostvars", {})
    groups = _groups(document)
    hosts, warnings, problems = [], [], []
    for name in sorted({*variables, *groups}):
        said = {OLD_NAMES.get(key, key): value for key, value in variables.get(name, {}).items()}
        if left_out := _left_out(said):
            warnings.append(f"{name} is left out: {left_out}")
            continue
        unread = (key for key in ARGUMENTS if key in said)
        warnings += [f"{name}: {key} is not read: ~/.ssh/config is" for key in unread]
        if wrong := _problems(said):
            problems += [f"{name}: {problem}" for problem in wrong]
        else:
            hosts.append(ListedHost(name, tuple(groups.get(name, ())), _data(said)))
    if problems:
        raise FleetwheelError("\n".join(problems), hint="docs/inventory.md says how to write them")
    return AnsibleInventory(hosts, warnings)


def _left_out(said: Mapping[str, Any]) -> str:
    """Return why a host cannot be reached from here; empty where it can."""
    connection = said.get("ansible_connection", "ssh")
    if connection not in BY_SSH:
        return f"its ansible_connection is {connection}, and @ansible reaches hosts by SSH"
    if said.get("ansible_shell_type", "sh") in ("cmd", "powershell"):
        return "it runs Windows: write it into inventory/*.yaml with os: windows"
    return ""


def _data(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return pyinfra's data of a host."""
    way = {VARIABLES[key]: value for key, value in said.items() if key in VARIABLES}
    if "ssh_port" in way:
        way["ssh_port"] = int(way["ssh_port"])
    if "_sudo" in way:
        way["_sudo"] = _is_true(way["_sudo"])
    checked = _is_true(said.get("ansible_host_key_checking", True))
    strict = {"ssh_strict_host_key_checking": "yes" if checked else "no"}
    return strict | way | _settings(said)


def _settings(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key.removeprefix(PREFIX): value for key, value in said.items() if key.startswith(PREFIX)
    }


def _problems(said: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the variables of a host."""
    ours, known = _settings(said), Settings.model_fields
    found = [
        f"{PREFIX}{key}: {suggestion(key, known) or 'no such setting'}"
        for key in sorted(ours.keys() - known.keys())
    ]
    read = {key: said[key] for key in said if key in VARIABLES or key.startswith(PREFIX)}
    templates = [key for key, value in read.items() if "{{" in str(value)]
    found += [f"{key}: a template, which only a playbook fills in" for key in templates]
    if said.get("ansible_become_method", "sudo") != "sudo":
        found.append(f"ansible_become_method: {said['ansible_become_method']} is not sudo")
    if not str(said.get("ansible_port", 22)).isdecimal():
        found.append(f"ansible_port: {said['ansible_port']} is no number")
    try:
        Settings.from_data(
            {key: value for key, value in ours.items() if key in known and "{{" not in str(value)}
        )
    except FleetwheelError as error:
        found += [_in_words_of_ansible(line) for line in error.message.splitlines()]
    return found


def _in_words_of_ansible(problem: str) -> str:
    """Return a problem of a setting under its name in Ansible, and how to quote there."""
    key, _, said = problem.partition(": ")
    what, number, _ = said.partition(": quote it, ")
    if not number:
        return f"{PREFIX}{problem}"
    name = f"{PREFIX}{key}"
    ini = f"""{name}='"2.10"' behind a host of an INI file, {name}="2.10" in its [GROUP:vars]"""
    return f'{name}: {what}: quote it, {name}: "2.10" in YAML, {ini}'


def _is_true(value: object) -> bool:
    return value is True or str(value).lower() in TRUE


def _groups(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the groups of every host, those above before those below, else by name."""
    depths = {"all": 0}
    waiting = ["all"]
    while waiting:
        group = waiting.pop()
        for child in document.get(group, {}).get("children", ()):
            depths[child] = max(depths.get(child, 0), depths[group] + 1)
            waiting.append(child)
    found: dict[str, list[str]] = {}
    for group in sorted(depths, key=lambda group: (depths[group], group)):
        for host in _below(document, group) if group not in ("all", "ungrouped") else ():
            found.setdefault(host, []).append(group)
    return found


def _below(document: Mapping[str, Any], group: str) -> Collection[str]:
    """Return the hosts of a group and of all groups below it."""
    entry = document.get(group, {})
    below = (_below(document, child) for child in entry.get("children", ()))
    return set(entry.get("hosts", ())).union(*below)

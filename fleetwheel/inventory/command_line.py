"""What a command line may say: which hosts, and data for all of them."""

import difflib
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from packaging.version import InvalidVersion, Version
from pydantic import ValidationError

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import DriverState, Profile
from fleetwheel.inventory.load import PYINFRA_NAMES, Connection
from fleetwheel.inventory.settings import Settings, error_text

SEPARATOR = re.compile(r"\s*(<=|>=|<|>|=)\s*")
FACTS = ("driver", "glibc", "gpu", "os")
"""What a limit may compare, as in ``driver<580`` and ``gpu=H100``; gpu and cpu also stand alone."""


def select(
    hosts: Mapping[str, Collection[str]],
    limit: Sequence[str],
    profiles: Callable[[], Mapping[str, Profile]],
) -> list[str]:
    """Return the hosts that a limit selects, in their order.

    ``hosts`` has the groups of each host; ``limit`` names hosts, groups and patterns of names,
    several with commas, or compares a fact, as in ``driver<580``: ``profiles`` is what the last
    report knew of each host. A group or host comes before a fact of the same name.
    Raises FleetwheelError for what selects no host.
    """
    chosen: set[str] = set()
    for word in (word for words in limit for word in words.split(",")):
        found = {name for name, groups in hosts.items() if word in groups}
        found = found or {name for name in hosts if fnmatchcase(name, word)}
        found = found or _by_fact(word, profiles) & hosts.keys()
        if not found:
            raise _nobody(word, hosts)
        chosen |= found
    return [name for name in hosts if name in chosen]


def _nobody(word: str, hosts: Mapping[str, Collection[str]]) -> FleetwheelError:
    """Return the error for a word that means no host."""
    if SEPARATOR.search(word) or word in ("gpu", "cpu"):
        return FleetwheelError(
            f"--limit {word}: no host fits, by what the last reports in reports/ know",
            hint="`fleetwheel drift` makes a new report",
        )
    if word.startswith("!"):
        return FleetwheelError(
            f"--limit {word}: nobody can be left out",
            hint="name those that are meant, by host, group or pattern, several with commas",
        )
    known = {*hosts, *(group for groups in hosts.values() for group in groups)}
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.75)
    return FleetwheelError(
        f"--limit {word}: no such host or group" if word else "--limit: a name is empty",
        hint=f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known)[:8])}",
    )


def _by_fact(word: str, profiles: Callable[[], Mapping[str, Profile]]) -> set[str]:
    if word in ("gpu", "cpu"):
        wanted = word == "gpu"
        return {name for name, profile in profiles().items() if _has_gpu(profile) == wanted}
    fact, sign, value = [*SEPARATOR.split(word, maxsplit=1), "", ""][:3]
    if not sign or not value:
        return set()
    if fact not in FACTS:
        raise FleetwheelError(f"--limit {word}: no such fact", hint=f"facts: {', '.join(FACTS)}")
    return {
        name
        for name, profile in profiles().items()
        if any(_compare(found, sign, value) for found in _values(profile, fact))
    }


def _has_gpu(profile: Profile) -> bool:
    return profile.driver.state is not DriverState.NO_GPU


def _values(profile: Profile, fact: str) -> list[str]:
    """Return what a profile has of a fact; nothing where it is not known."""
    if fact == "gpu":
        return [gpu.name for gpu in profile.gpus]
    texts = {
        "driver": profile.driver.version,
        "os": profile.os,
        "glibc": profile.glibc,
    }
    return [text for text in (texts[fact],) if text]


def _compare(found: str, sign: str, value: str) -> bool:
    if sign == "=":
        return value.lower() in found.lower() if not value[0].isdigit() else _starts(found, value)
    try:
        one, other = Version(found), Version(value)
    except InvalidVersion:
        return False
    return {"<": one < other, ">": one > other, "<=": one <= other, ">=": one >= other}[sign]


def _starts(found: str, value: str) -> bool:
    return found == value or found.startswith(f"{value}.")


def data_value(text: str) -> Any:
    """Return what pyinfra makes of the value of ``--data KEY=VALUE``."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for parse in (int, json.loads):
        try:
            return parse(text)
        except ValueError:
            continue
    return text


def checked_data(data: Mapping[str, Any], others: Collection[str] | None) -> dict[str, Any]:
    """Return what ``--data`` says for pyinfra's hosts, in pyinfra's words.

    ``user``, ``port`` and so on are those of the inventory. ``others`` has the names that pyinfra
    and the deploy files read beside our settings; None where they are not known. Raises
    FleetwheelError for a value that is not valid, and for a name that nobody reads.
    """
    if isinstance(name := data.get("environments"), str):
        raise FleetwheelError(
            '--data environments: describes environments (did you mean "environment"?)',
            hint=f"--environment {name} is for these alone",
        )
    ways = {key: value for key, value in data.items() if key in PYINFRA_NAMES}
    rest = {key: value for key, value in data.items() if key not in ways}
    try:
        Settings.from_data(rest)
        connection = Connection.model_validate(ways)
    except (FleetwheelError, ValidationError) as error:
        raise FleetwheelError(f"--data {_text(error)}", hint=getattr(error, "hint", "")) from None
    for key in rest.keys() - Settings.model_fields.keys() - set(rest if others is None else others):
        raise _no_setting(key)
    way = {key: value for key, value in connection.data().items() if ways}
    way.pop("ssh_strict_host_key_checking", None)
    return rest | way | ({"_sudo": connection.sudo} if "sudo" in ways else {})


def _no_setting(key: str) -> FleetwheelError:
    if key == "os":
        return FleetwheelError("--data os: is for the inventory: it decides how hosts are reached")
    names = ", ".join(sorted({*Settings.model_fields, *PYINFRA_NAMES}))
    return FleetwheelError(
        f"--data {key}: no such setting; there are {names}",
        hint="docs/inventory.example.yaml has every key; names of pyinfra, such as ssh_user, work",
    )


def _text(error: FleetwheelError | ValidationError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {error_text(first)}"
    return str(error.args[0])

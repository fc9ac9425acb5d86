"""Running the program for hosts on the host of the moment, and reading the JSON that it prints."""

import json
import time
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from pyinfra import logger
from pyinfra.api import Host, StringCommand
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from typing_extensions import TypedDict

from fleetwheel.collectors import program
from fleetwheel.connection import untrusted_json
from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _commands, _node
from fleetwheel.operations._connection import noticed
from fleetwheel.operations._host_state import forget_host_state

GRACE_S = 15
"""Seconds that a program gets to end after its deadline, before the controller gives up on it."""


def generation(
    host: Host, python: str, action: str, root: str, timeout: int, /, **input: Any
) -> dict[str, Any]:
    """
    Run an action that concerns the generations under a root directory of the host.

    What is known of the host is forgotten, whatever becomes of an action that changes it.
    """
    try:
        return run_probe(host, python, action, {"root": root, **input}, timeout)
    finally:
        if action != "verify":
            forget_host_state()


def run_probe(
    host: Host, python: str, action: str, input: dict[str, Any], timeout: int
) -> dict[str, Any]:
    """
    Run an action as ``document`` does, and return what it says once it has done well.

    Raises FleetwheelError where it has not.
    """
    return believed(probe_document(host, python, action, input, timeout))


def run_command(host: Host, command: StringCommand) -> None:
    """Run a command on the host; FleetwheelError with what it printed where it fails."""
    with noticed(host):
        done, output = host.run_shell_command(command, **connector_arguments(host))
    if not done:
        said = "\n".join(output.stderr_lines[-10:]) or "a command failed without a word"
        raise FleetwheelError(said, hint="look at the host's disk and permissions, then run again")


def keep_program(host: Host, python: str, root: str, settings: Settings) -> None:
    """
    Have a host keep the program for hosts under its root, compiled for this Python.

    One that cannot keep it, or whose root others can write to, gets it along with every action.
    """
    _node.forget_program(host)
    try:
        given = {"root": root, "digest": program.digest(), **settings.trust.model_dump()}
        answer = run_probe(host, python, "place", given, settings.install_timeout)
    except FleetwheelError as error:
        logger.debug(f"{host.print_prefix}the program for hosts is sent along: {error}")
    else:
        if why := answer.get("distrusted"):
            logger.debug(f"{host.print_prefix}the program for hosts is sent along: {why}")
        else:
            _node.remember_program(host, root)


def probe_document(
    host: Host, python: str, action: str, input: dict[str, Any], timeout: int
) -> dict[str, Any]:
    """
    Run an action of fleetwheel/node with a Python of the host; return the document it prints.

    + python: path of the interpreter on the host
    + action: one of node/actions.py, such as ``build``, ``reach`` or ``smoke``
    + input: what it works on, sent over standard input
    + timeout: seconds; the host ends the program itself, the controller gives up a little later

    Raises FleetwheelError for a program that ends without one, or not in time.
    """
    there = _node.kept_program(host)
    words = ["-I", "-B", there, action] if there else ["-I", "-c", program.BOOTSTRAP]
    command = _commands.program(host, python, *words, timeout=timeout)
    stdin = json.dumps(input) if there else program.document(action, input)
    connector = connector_arguments(host) | {"_stdin": stdin, "_timeout": timeout + GRACE_S}
    began = time.monotonic()
    try:
        with noticed(host):
            _, output = host.run_shell_command(command, **connector)
    except TimeoutError:
        raise FleetwheelError(f"no answer within {timeout + GRACE_S} s", hint=_SLOW) from None
    answer = untrusted_json.last(output.stdout_lines)
    if answer is not None:
        return answer
    said = "\n".join(output.stderr_lines[-10:]) or f"ended within {timeout} s without a word"
    early = time.monotonic() - began < timeout
    hint = f"it ended before it had an answer: try {python} -V on the host" if early else _SLOW
    raise FleetwheelError(said, hint=hint)


class _Found(TypedDict):
    what: str
    expected: str
    found: str


class _Going(TypedDict):
    generations: list[str]
    published: list[str]
    bytes: int
    users: str
    foreign: list[str]


class _Known(TypedDict, total=False):
    ok: bool
    error: str
    hint: str
    missing: list[str]
    damaged: list[str]
    unrecorded: list[str]
    unreached: dict[str, str]
    distrusted: str
    removal: dict[str, _Going]
    removed: list[str]
    published: list[str]
    differences: list[_Found]
    obstacles: list[str]
    bytes: int
    users: str
    foreign: list[str]
    linked: str
    there: bool


def believed(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of a program that did well.

    Raises FleetwheelError with the words of one that did not, and for an answer that is of another
    type in what is used of it.
    """
    try:
        TypeAdapter(_Known).validate_python(answer, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FleetwheelError(
            f"the host's answer cannot be believed: {where}: {first['msg']}",
            hint="look at the host before it is used again",
        ) from error
    if not answer.get("ok"):
        raise FleetwheelError(answer.get("error", "it gave no reason"), hint=answer.get("hint", ""))
    return answer


def connector_arguments(host: Host) -> dict[str, Any]:
    """Return how commands run on the host, such as with sudo: as this operation, or its data, says.

    Outside of operations there are the host's data alone.
    """
    given = host.current_op_global_arguments or pop_global_arguments(host.state, host, {})[0]
    arguments = cast(dict[str, Any], given)
    return {key: arguments[key] for key in CONNECTOR_ARGUMENT_KEYS if key in arguments}


_SLOW = "a slow disk or network: raise install_timeout or smoke_timeout, then run again"

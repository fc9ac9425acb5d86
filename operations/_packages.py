"""Running the commands of a package manager on a host."""

from collections.abc import Sequence

from pyinfra.api import Host

from fleetwheel.delivery.proxy import variables
from fleetwheel.errors import FleetwheelError
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _commands, _probe
from fleetwheel.operations._connection import noticed


def run_package_step(
    host: Host, words: Sequence[str], settings: Settings
) -> tuple[bool, list[str]]:
    """
    Run a command, through the proxy of the host if it has one.

    + words: the program and its arguments
    + settings: what the inventory says about the host

    Returns whether it did well, and the last lines that it said.
    """
    program, *arguments = words
    timeout = settings.install_timeout
    command = _commands.program(host, program, *arguments, timeout=timeout)
    connector = _probe.connector_arguments(host) | {"_timeout": timeout + _probe.GRACE_S}
    connector["_env"] = variables(settings.proxy) | dict(connector.get("_env") or {})
    try:
        with noticed(host):
            done, output = host.run_shell_command(command, **connector)
    except FleetwheelError as error:
        return False, [str(error.args[0])]
    except TimeoutError:
        return False, [f"no answer within {timeout} s"]
    said = [*output.stdout_lines[-4:], *output.stderr_lines[-8:]]
    return done, said or [f"it ended without a word within {timeout} s"]

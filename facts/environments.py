"""What fleetwheel has put on a host."""

from pyinfra.api import FactBase, StringCommand
from typing_extensions import override

from fleetwheel.collectors import environments
from fleetwheel.facts._question import question, read_answer
from fleetwheel.host.profile import Installation
from fleetwheel.host.trust import NOBODY, Trust


class Environments(FactBase[Installation]):
    """
    Returns the root directory with its generations, and which of them is in use.

    + root: the root directory; the asking user's own by default
    + trust: whom the host believes besides root and the asking user

    .. code:: python

        {
            "root": "/opt/fleetwheel",
            "writable": True,
            "free_bytes": 82593148928,
            "uv": "0.13.9",
            "current": "2.13.0+cpu-cp311-1f2e3d4c5b6a-1",
            "generations": [{"id": "2.13.0+cpu-cp311-1f2e3d4c5b6a-1", "packages": {...}, ...}],
            ...
        }
    """

    @override
    def command(self, root: str | None = None, trust: Trust = NOBODY) -> StringCommand:
        return question("environments", root=root, trust=trust)

    @override
    def process(self, output: list[str]) -> Installation:
        return read_answer(environments.parse_environments, output, "environments")

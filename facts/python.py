"""The Python interpreters of a host."""

from pyinfra.api import FactBase, StringCommand
from typing_extensions import override

from fleetwheel.collectors import pythons
from fleetwheel.facts._question import question, read_answer
from fleetwheel.host.trust import NOBODY, Trust


class Pythons(FactBase[pythons.Interpreters]):
    """
    Returns the CPython interpreters of the host, 3.8 or newer, newest first.

    + root: the root directory; the asking user's own by default
    + trust: whom the host believes besides root and the asking user

    .. code:: python

        {
            "pythons": [
                {
                    "path": "/usr/bin/python3.11",
                    "version": "3.11.2",
                    "free_threaded": False,
                    "venv": True,
                },
            ],
            "problems": [],
        }
    """

    @override
    def command(self, root: str | None = None, trust: Trust = NOBODY) -> StringCommand:
        return question("pythons", root=root, trust=trust)

    @override
    def process(self, output: list[str]) -> pythons.Interpreters:
        return read_answer(pythons.parse_pythons, output, "pythons")

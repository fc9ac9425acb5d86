"""The system that a host runs."""

from pyinfra.api import FactBase, StringCommand
from typing_extensions import override

from fleetwheel.collectors import platform
from fleetwheel.facts._question import question, read_answer
from fleetwheel.host import profile


class Platform(FactBase[profile.HostPlatform]):
    """
    Returns the system: its kind, architecture, distribution, C library, memory and boot.

    .. code:: python

        {
            "os": "linux",
            "arch": "x86_64",
            "distribution": "Debian GNU/Linux 12 (bookworm)",
            "glibc": "2.36",
            "memory_total_mib": 24105,
            "boot_id": "adfb9c03-fdfe-43b6-aac3-5e1c4ccf41c1",
            "problems": [],
        }
    """

    @override
    def command(self) -> StringCommand:
        return question("platform")

    @override
    def process(self, output: list[str]) -> profile.HostPlatform:
        return read_answer(platform.parse_platform, output, "platform")

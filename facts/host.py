"""Everything that is asked of a host, in one round trip."""

from typing import Literal

from pyinfra.api import FactBase, StringCommand
from typing_extensions import override

from fleetwheel.collectors import host
from fleetwheel.facts._question import question, read_answer, read_replay, short_question
from fleetwheel.host.profile import HostState
from fleetwheel.host.trust import NOBODY, Trust


class Host(FactBase[HostState]):
    """
    Returns what the host is, and what stands under fleetwheel's root on it.

    + root: the root directory; the asking user's own by default
    + gpu_timeout: seconds that NVML and nvidia-smi get before the driver counts as hung
    + trust: whom the host believes besides root and the asking user

    .. code:: python

        {
            "profile": {"os": "linux", "arch": "x86_64", "glibc": "2.36", "pythons": [...], ...},
            "installation": {"root": "/opt/fleetwheel", "writable": True, "current": None, ...},
        }
    """

    @override
    def command(
        self, root: str | None = None, gpu_timeout: int = 20, trust: Trust = NOBODY
    ) -> StringCommand:
        return question(*host.SECTIONS, root=root, gpu_timeout=gpu_timeout, trust=trust)

    @override
    def process(self, output: list[str]) -> HostState:
        return _state(output)


class KeptHost(FactBase[HostState | Literal["absent"]]):
    """
    Returns the same as ``Host``, asked in one line of a host that keeps the program for hosts.

    + root: the root directory; the asking user's own by default
    + gpu_timeout: seconds that NVML and nvidia-smi get before the driver counts as hung
    + trust: whom the host believes besides root and the asking user

    A host without this version of the program is ``"absent"``: it has to be asked in full.
    """

    @override
    def command(
        self, root: str | None = None, gpu_timeout: int = 20, trust: Trust = NOBODY
    ) -> StringCommand:
        return short_question(root, gpu_timeout, trust)

    @override
    def process(self, output: list[str]) -> HostState | Literal["absent"]:
        if "node absent" in output:
            return "absent"
        return _state(output)


def _state(output: list[str]) -> HostState:
    return read_replay(output) or read_answer(host.parse_host, output, *host.SECTIONS)

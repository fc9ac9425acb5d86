"""The runtime of Visual C++ that torch's wheels for Windows load with.

Sources: Microsoft, "Redistributing Visual C++ Files" (where a version is registered) and "Latest
supported Visual C++ Redistributable" (the runtime has to be at least as new as the build tools);
pytorch/pytorch#169429 and #196987: the wheels since 2.9.0 are built with 14.42, and with an
msvcp140.dll before 14.40 they end with WinError 1114. Confidence: that of #196987, not tried.
"""

from collections.abc import Mapping

from packaging.version import Version

MUTEX_SINCE = Version("2.9")
"""The first torch whose locks an older runtime does not know."""
MUTEX_RUNTIME = (14, 40)
DOWNLOAD = "https://aka.ms/vc14/vc_redist.x64.exe"
"""Holds what x64 and ARM64 need."""


def lacking(runtimes: Mapping[str, str] | None, arch: str, torch: str) -> str:
    """Return what a Windows host lacks for a torch; empty where nothing, or where nobody knows.

    + runtimes: versions by architecture, as in a profile
    + torch: its version
    """
    if runtimes is None:
        return ""
    newer = Version(torch) >= MUTEX_SINCE
    wanted = "14.40 or newer" if newer else "14"
    needs = f"torch {torch} needs Microsoft's Visual C++ runtime {wanted}"
    if not runtimes:
        return f"{needs}, and the host has none: there is no msvcp140.dll"
    found = runtimes.get(arch)
    if not (newer and found) or _numbers(found) >= MUTEX_RUNTIME:
        return ""
    return f"{needs}, and the host has {found}"


def outdated(runtimes: Mapping[str, str] | None, arch: str) -> bool:
    """Whether a Windows host cannot load the newest releases."""
    return bool(lacking(runtimes, arch, str(MUTEX_SINCE)))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))

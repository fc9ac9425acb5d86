"""What a Windows host has of what the question would run or read, and whether it may.

The rule is that of ``trust.sh``; it is applied here, because cmd cannot read a descriptor.
"""

import re
from pathlib import PureWindowsPath

from fleetwheel.collectors._answer import Section, first
from fleetwheel.host.trust import Trust
from fleetwheel.node import sddl
from fleetwheel.node.sddl import Seen
from fleetwheel.node.windows_trust import ROOT_PARTS
from fleetwheel.value import Value

PYTHON_PARTS = ("python.exe", "Lib", "DLLs")
"""What places.cmd asks of an interpreter, besides its directory; of the root: ROOT_PARTS."""
SIDS = re.compile(r"S-1-[0-9-]+")


class Places(Value):
    """What may be run and read on a Windows host, and what may not, with who could change it."""

    user: str = ""
    """SID of the user that asks; empty where it cannot be read."""
    root: str = ""
    """The root directory, as Windows writes it; empty where it is not known."""
    distrusted: str = "the permissions of the root cannot be read"
    """Why the root is not to be used; empty where it is."""
    pythons: tuple[str, ...] = ()
    """Interpreters that may be run, in the order of preference."""
    smi: str = ""
    """The nvidia-smi that may be run; empty where there is none."""
    skipped_pythons: tuple[str, ...] = ()
    skipped_smi: tuple[str, ...] = ()


class _Ground:
    """The descriptors of a host's paths, and whom it trusts."""

    def __init__(self, section: Section, trusted: frozenset[str]) -> None:
        paths = [path.strip('"').lower() for path in section.get("at", [])]
        seen = [_seen(line) for line in section.get("acl", [])]
        # An answer that lacks a line says nothing: which one it is, nobody knows.
        self.seen = dict(zip(paths, seen, strict=True)) if len(paths) == len(seen) else {}
        self.there = frozenset(paths)
        self.trusted = trusted

    def why_open(self, place: str, *parts: str, exists: bool = True) -> str:
        """Return who else could change a place or some of what it holds; empty where nobody can.

        One that is not there yet is judged by what it would lie in.
        """
        path = PureWindowsPath(place)
        above = list(reversed(path.parents))
        while not exists and above[1:] and not self._holds(above[-1]):
            above.pop()
        inside = (path / part for part in parts)
        here = [path, *filter(self._holds, inside)] if exists else []
        whys = [self._why(each, passed=True) for each in above]
        whys += [self._why(each, passed=False) for each in here]
        return next(filter(None, whys), "")

    def _holds(self, path: PureWindowsPath) -> bool:
        return str(path).lower() in self.there

    def _why(self, path: PureWindowsPath, *, passed: bool) -> str:
        seen = self.seen.get(str(path).lower())
        return sddl.why_open(str(path), seen, self.trusted, passed=passed)


def parse_places(section: Section, trust: Trust) -> Places:
    """Read the answer of places.cmd, and judge by whom the inventory trusts besides."""
    user = next(iter(SIDS.findall(first(section, "user"))), "")
    trusted = frozenset(filter(None, [user, *trust.users, *trust.groups]))
    ground = _Ground(section, trusted)
    pythons, skipped = _judged(ground, section.get("python", []), *PYTHON_PARTS)
    smi, skipped_smi = _judged(ground, section.get("smi", []), "nvidia-smi.exe")
    return Places(
        user=user,
        root=first(section, "root"),
        distrusted=ground.why_open(first(section, "root"), *ROOT_PARTS, exists="exists" in section),
        pythons=pythons,
        smi=next(iter(smi), ""),
        skipped_pythons=skipped,
        skipped_smi=skipped_smi,
    )


def _judged(
    ground: _Ground, found: list[str], *parts: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the programs that may be run, and of the others each with the reason."""
    known: dict[str, str] = {}
    for path in found:
        known.setdefault(path.lower(), path)
    whys = {
        path: ground.why_open(str(PureWindowsPath(path).parent), *parts) for path in known.values()
    }
    good = tuple(path for path, why in whys.items() if not why)
    return good, tuple(f"{path}: {why}" for path, why in whys.items() if why)


def _seen(line: str) -> Seen:
    """Read ``16 O:BAG:SYD:(A;OICI;FA;;;SY)``."""
    attributes, _, text = line.partition(" ")
    return Seen(int(attributes) if re.fullmatch("[0-9]{1,10}", attributes) else 0, text)

"""What keeps an environment from being built on a host: decided before anything is changed."""

import re

from fleetwheel.collectors.platform import SHORT_PATHS
from fleetwheel.delivery.space import readable
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import HostState, Installation, Profile
from fleetwheel.matrix import visual_cpp
from fleetwheel.node.trust import closing, way_out

LONGEST_ROOT = 71
"""Characters of a root on Windows: torch's longest file makes 213 with one of 25."""
SHARED = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "afs",
        "ceph",
        "lustre",
        "gpfs",
        "beegfs",
        "glusterfs",
        "fuse.glusterfs",
        "fuse.sshfs",
    ]
)
"""File systems that several hosts see: the record of one would take the place of another's."""
DAY_S = 86400
"""Seconds that a clock may be off before the certificates of a wheel source are in doubt."""


def refuse_distrusted(there: Installation) -> None:
    """Raise FleetwheelError for a root that others could change: nothing there is to be run."""
    if there.distrusted:
        raise distrusted(there.root, there.distrusted, there.user)


def distrusted(root: str, why: str, user: str) -> FleetwheelError:
    """Return the failure of a root that others could change, with what closes it."""
    user = user or "the deploying user"
    hint = _close_on_windows(root) if re.match(r"[A-Za-z]:", root) else _close(root, why, user)
    return FleetwheelError(
        f"{root} is not used: {why}, so what {user} runs from there could be replaced", hint=hint
    )


def _close(root: str, why: str, user: str) -> str:
    """Return what closes a root: where a link of it leads elsewhere, nothing there is at fault."""
    found = re.search(r"/.*?(?= belongs to |$)", why)
    place = found[0] if found else root
    own = (f"{root}/", f"{place.rstrip('/')}/")
    if f"{place}/".startswith(own[0]) or own[0].startswith(own[1]):
        return closing(why, user)
    return (
        f"a link at or below {root} leads to {place}: find it (ls -l {root} {root}/environments)"
        f" and remove it; the next deploy writes the links of environments again{way_out(why)}"
    )


def _close_on_windows(root: str) -> str:
    there = root.replace("/", "\\")
    return (
        f"as an administrator of the host, remove {there}, and the next deploy makes it closed to"
        " others; or name another root in the inventory; if they are trusted as administrators are,"
        " say so there, by SID: trust: {users: [S-1-5-21-...]}"
    )


def refuse_dead(there: Installation, generation: str) -> None:
    """Raise FleetwheelError for a generation whose interpreter is gone, or not to be trusted."""
    if not there.runs(generation):
        raise FleetwheelError(
            f"{there.root}/envs/{generation} does not run: its interpreter is gone, or others could"
            " change it",
            hint="run deploys/torch.py, which builds it again with another one",
        )


def refuse_unfit(facts: HostState, needed_bytes: int, *, now: float, root_named: bool) -> None:
    """Raise FleetwheelError, with what mends it, for a host that cannot take an environment.

    ``now`` is this machine's time in seconds since 1970, ``root_named`` whether the inventory
    names the root directory, and so means it.
    """
    there = facts.installation
    windows = facts.profile.os == "windows"
    if not there.writable:
        more = "connect as an administrator" if windows else "use sudo: true"
        raise FleetwheelError(
            f"{there.user or 'the user'} cannot write to {there.root}",
            hint=f"name another root in the inventory, or {more}",
        )
    if windows and SHORT_PATHS in facts.profile.problems and len(there.root) > LONGEST_ROOT:
        raise FleetwheelError(
            f"{there.root} has {len(there.root)} characters, and Windows cuts paths at 260 here, so"
            f" that torch has room for {LONGEST_ROOT}",
            hint="name a shorter root in the inventory, or have an administrator set"
            r" HKLM\SYSTEM\CurrentControlSet\Control\FileSystem LongPathsEnabled to 1",
        )
    _check_mount(there, root_named)
    if there.free_bytes is not None and there.free_bytes < needed_bytes:
        raise FleetwheelError(
            f"{there.root} has {readable(there.free_bytes)} free,"
            f" the environment needs {readable(needed_bytes)}",
            hint="free some space, or name another root in the inventory",
            what=f"{there.root} has too little free space",
        )
    if facts.clock_s is not None and abs(facts.clock_s - now) > DAY_S:
        days = (facts.clock_s - now) / DAY_S
        raise FleetwheelError(
            f"the host's clock is {abs(days):.0f} days {'ahead' if days > 0 else 'behind'}, so that"
            " it can check no certificate of a wheel source",
            hint="set it: timedatectl set-ntp true, or date -s",
            what="the host's clock is days off",
        )


def refuse_without_visual_cpp(profile: Profile, python: str, torch: str) -> None:
    """Raise FleetwheelError for a Windows host whose Visual C++ runtime a torch cannot load.

    + python: path of the interpreter; one that has a runtime of its own is not judged
    """
    if profile.brings_visual_cpp(python):
        return
    if lacks := visual_cpp.lacking(profile.visual_cpp, profile.arch, torch):
        raise FleetwheelError(
            lacks,
            hint=f"as an administrator of the host, install {visual_cpp.DOWNLOAD}; or name it in"
            " the inventory, visual_cpp: {url: ..., sha256: ...}, and run deploys/onboard.py",
        )


def _check_mount(there: Installation, root_named: bool) -> None:
    if "noexec" in there.mount_options:
        raise FleetwheelError(
            f"{there.root} is on a file system that is mounted noexec: no program runs from there",
            hint="name another root in the inventory, or mount it without noexec",
        )
    if there.file_system in SHARED and not root_named:
        raise FleetwheelError(
            f"{there.root} is on {there.file_system}, which other hosts may see too",
            hint="name a root on a disk of the host in the inventory;"
            " naming this one says that no other host uses it",
        )

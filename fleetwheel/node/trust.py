"""Who else could change what stands on this host: the shell's rule, for Python.

There is one rule, ``trust.sh``, because a bare host has no Python; this one has it run.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from fleetwheel.node import windows_trust

ASK = """
PATH=/usr/bin:/bin:$PATH root=$2
know_trusted "$3" "$4" "$5" && "$1" "$root" || echo "${why:-nobody knows ${5:-this user}}"
"""


def rule() -> str:
    """Return the shell functions that say whether a path can be trusted."""
    return _text("trust.sh")


def places() -> str:
    """Return the shell function that asks the same of all places under a root directory."""
    return _text("places.sh")


def programs() -> str:
    """Return the shell functions that ask the same of PATH, and of a Python with what it needs."""
    return _text("programs.sh")


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def why_distrusted(
    path: Path,
    ask: str = "trusts_all",
    *,
    users: Sequence[str] = (),
    groups: Sequence[str] = (),
    acting: str = "",
) -> str:
    """Return why others could change what stands at a path; empty where nobody can.

    ``ask`` is a shell function, ``trusts_root`` for a root directory; ``users`` and
    ``groups`` are believed besides root and the user ``acting``, this one by default. On
    Windows a root alone is asked here; a controller looks before it has this program run.
    """
    if sys.platform == "win32":
        sids = [*users, *groups, windows_trust.sid_of(acting)]
        asked = ask == "trusts_root"
        return windows_trust.why_open(path, sids, windows_trust.seen) if asked else ""
    words = [ask, str(path), " ".join(users), " ".join(groups), acting]
    done = subprocess.run(
        ["sh", "-c", rule() + places() + ASK, "sh", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        errors="replace",
    )
    return done.stdout.strip() or (
        "" if done.returncode == 0 else f"sh ended with {done.returncode}"
    )


def closing(why: str, user: str) -> str:
    """Return what to do about a root that others than this user could change."""
    return (
        f"on the host, give it to {user} (chown) and close it to others (chmod go-w, setfacl -b),"
        f" or name another root in the inventory{way_out(why)}"
    )


def way_out(why: str) -> str:
    """Return, to end a hint, how the inventory allows such an owner or group, where it can."""
    owner = re.search(r" belongs to (\S+) \((\d+)\)$", why)
    group = re.match(r"group (\S+) \((\d+)\) can write to ", why)
    found, kind = owner or group, "users" if owner else "groups"
    if not found:
        return ""
    name = found[2] if found[1] == "unknown" else found[1]
    return f"; if it is trusted as root is, say so in the inventory: trust: {{{kind}: [{name}]}}"

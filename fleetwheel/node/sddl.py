"""Who else can change a file or directory of Windows: trust.sh's rule, for security descriptors.

A descriptor is read as the text that Get-Acl and GetNamedSecurityInfo give, the same in every
language of Windows. Source: "Security Descriptor String Format", "ACE Strings", "SID Strings" and
"File Access Rights Constants" in Microsoft's documentation, and [MS-DTYP] 2.5.1.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

SYSTEM, ADMINISTRATORS, USERS = "S-1-5-18", "S-1-5-32-544", "S-1-5-32-545"
TRUSTED_INSTALLER = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
OWNER_RIGHTS, CREATOR_OWNER = "S-1-3-4", "S-1-3-0"
LOCAL_ADMINISTRATOR = "LA"
"""The account with the number 500, which is an administrator for good."""
ROOT = frozenset({SYSTEM, ADMINISTRATORS, TRUSTED_INSTALLER, LOCAL_ADMINISTRATOR})
"""Who is what root is elsewhere."""

ALIASES = {
    "SY": SYSTEM,
    "BA": ADMINISTRATORS,
    "BU": USERS,
    "CO": CREATOR_OWNER,
    "OW": OWNER_RIGHTS,
    "WD": "S-1-1-0",
    "AU": "S-1-5-11",
    "IU": "S-1-5-4",
    "PU": "S-1-5-32-547",
}
NAMES = {
    USERS: "Users",
    CREATOR_OWNER: "CREATOR OWNER",
    "S-1-1-0": "Everyone",
    "S-1-5-11": "Authenticated Users",
    "S-1-5-4": "INTERACTIVE",
    "S-1-5-32-547": "Power Users",
}
"""What people know the usual ones by."""

RIGHTS = {
    **{"GA": 0x10000000, "GX": 0x20000000, "GW": 0x40000000, "GR": 0x80000000},
    **{"FA": 0x1F01FF, "FR": 0x120089, "FW": 0x120116, "FX": 0x1200A0},
    **{"RC": 0x20000, "SD": 0x10000, "WD": 0x40000, "WO": 0x80000},
    **{"CC": 0x1, "DC": 0x2, "LC": 0x4, "SW": 0x8, "RP": 0x10},
    **{"WP": 0x20, "DT": 0x40, "LO": 0x80, "CR": 0x100},
}
READ = RIGHTS["FR"] | RIGHTS["FX"] | RIGHTS["GR"] | RIGHTS["GX"]
ADD = 0x2 | 0x4 | 0x10 | 0x100
"""Adding a file or a directory, and attributes: no other name in it is removed or replaced so."""
REPARSE_POINT = 0x400
ALLOW, DENY = ("A", "XA"), ("D", "XD")

SID = r"S-1-[0-9A-Fa-fx]+(?:-[0-9]+)+|[A-Z]{2}"
DESCRIPTOR = re.compile(
    rf"(?:O:(?P<owner>{SID}))?(?:G:(?:{SID}))?"
    r"(?:D:(?P<flags>[A-Z_]*)(?P<entries>(?:\(.*\))?))?"
)


class Entry(NamedTuple):
    """One entry of an access control list that gives rights."""

    sid: str
    rights: int
    inherit_only: bool


class Descriptor(NamedTuple):
    """Owner and list of a file; without a list everyone may do everything."""

    owner: str
    entries: tuple[Entry, ...] | None


class Seen(NamedTuple):
    """What was seen of one path: its attributes, and its descriptor as text."""

    attributes: int
    sddl: str


def parse(sddl: str) -> Descriptor:
    """Read a security descriptor; ValueError for one with a part that is not known here."""
    found = DESCRIPTOR.fullmatch(sddl.strip())
    if not found or not found["owner"]:
        raise ValueError("its security descriptor is not understood")
    owner = _sid(found["owner"])
    if found["flags"] is None or "NO_ACCESS_CONTROL" in found["flags"]:
        return Descriptor(owner, None)
    entries = map(_entry, _parentheses(found["entries"]))
    return Descriptor(owner, tuple(entry for entry in entries if entry))


def _parentheses(text: str) -> list[str]:
    """Return what stands in each outer pair: the condition of an entry has pairs of its own."""
    found, depth, start = [], 0, 0
    for at, character in enumerate(text):
        if character == "(":
            depth, start = depth + 1, start if depth else at + 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                found.append(text[start:at])
    if depth:
        raise ValueError("its security descriptor is cut off")
    return found


def _entry(text: str) -> Entry | None:
    """Return an entry that gives rights; None for one that denies some, which never gives any."""
    kind, flags, rights, _, _, sid = (text.split(";") + [""] * 6)[:6]
    if kind in DENY:
        return None
    if kind not in ALLOW or not re.fullmatch(SID, sid):
        raise ValueError(f"its permissions have an entry that is not understood: ({text[:60]})")
    inherit_only = "IO" in re.findall("..", flags)
    return Entry(_sid(sid), _rights(rights), inherit_only)


def _rights(text: str) -> int:
    if re.fullmatch(r"0x[0-9a-fA-F]{1,8}|[0-9]{1,10}", text):
        return int(text, 0 if text.startswith("0x") else 10)
    words = re.findall("..", text)
    if "".join(words) != text or not set(words) <= RIGHTS.keys():
        raise ValueError(f"its permissions have rights that are not understood: {text[:30]}")
    total = 0
    for word in words:
        total |= RIGHTS[word]
    return total


def _sid(text: str) -> str:
    return ALIASES.get(text, text)


def why_open(path: str, seen: Seen | None, trusted: Collection[str], *, passed: bool) -> str:
    r"""Return who else could change a path, or replace what lies in it; empty where nobody can.

    + trusted: SIDs besides those of ``ROOT``
    + passed: whether only one name in it matters: others may then add names, as in ``C:\``
    """
    if seen is None:
        return f"the permissions of {path} cannot be read"
    if seen.attributes & REPARSE_POINT:
        return f"{path} is a link"
    try:
        descriptor = parse(seen.sddl)
    except ValueError as error:
        return f"{path}: {error}"
    believed = {*ROOT, *trusted}
    if descriptor.owner not in believed:
        return f"{path} belongs to {name(descriptor.owner)}"
    if descriptor.entries is None:
        return f"everyone can write to {path}"
    harmless = _harmless(path, passed=passed)
    for entry in descriptor.entries:
        if not _counts(entry, believed, passed=passed):
            continue
        if entry.rights & ~harmless:
            return f"{name(entry.sid)} can write to {path}"
    return ""


def _harmless(path: str, *, passed: bool) -> int:
    """Return the rights that anybody may have; nobody can remove or rename a whole drive."""
    drive = re.fullmatch(r"[A-Za-z]:\\", path) is not None
    return READ | (ADD if passed else 0) | (RIGHTS["SD"] if passed and drive else 0)


def _counts(entry: Entry, believed: Collection[str], *, passed: bool) -> bool:
    """Whether an entry could be somebody else's: what is made there belongs to who makes it."""
    if entry.sid in believed or entry.sid == OWNER_RIGHTS:
        return False
    return not (entry.inherit_only and (passed or entry.sid == CREATOR_OWNER))


def name(sid: str) -> str:
    """Return what a person knows a SID by."""
    return NAMES.get(sid, sid)

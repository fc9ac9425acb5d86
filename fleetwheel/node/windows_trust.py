"""Who else could change a root on the Windows host that this runs on, by the rule of sddl.py.

Source: "GetNamedSecurityInfoW", "ConvertSecurityDescriptorToStringSecurityDescriptorW" and
"LookupAccountNameW" in Microsoft's documentation.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from ctypes import byref, c_uint32, c_void_p, c_wchar_p
from pathlib import Path
from typing import Any

from fleetwheel.node import sddl
from fleetwheel.node.sddl import Seen

ROOT_PARTS = ("bin", "lib", "cache", "pythons", "envs", "environments", "state.json")
"""What is asked of a root, besides its directory and those above."""
FILE_OBJECT, REVISION = 1, 1
OWNER_AND_LIST = 0x1 | 0x4
"""OWNER_SECURITY_INFORMATION and DACL_SECURITY_INFORMATION."""
CLOSE = (
    "as an administrator, remove the root, and the next deploy makes it closed to others; or say in"
    " the inventory whom you trust as administrators, by SID: trust: {users: [S-1-5-21-...]}"
)


def why_open(root: Path, trusted: Sequence[str], see: Callable[[Path], Seen | None]) -> str:
    """Return who else could change a root, or what it holds; empty where nobody can.

    + trusted: SIDs besides those of administrators
    + see: reads attributes and descriptor of a path; None where it cannot
    """
    parts = (root / part for part in ROOT_PARTS)
    whys: Iterator[str] = (
        sddl.why_open(str(path), see(path), trusted, passed=path in root.parents)
        for path in [*reversed(root.parents), root, *filter(os.path.lexists, parts)]
    )
    return next(filter(None, whys), "")


def seen(path: Path) -> Seen | None:
    """Return attributes and security descriptor of a path; None where Windows does not say."""
    security, local = _libraries()
    descriptor, text = c_void_p(), c_void_p()
    wanted = (None, None, None, None, byref(descriptor))
    if security.GetNamedSecurityInfoW(str(path), FILE_OBJECT, OWNER_AND_LIST, *wanted):
        return None
    try:
        if not security.ConvertSecurityDescriptorToStringSecurityDescriptorW(
            descriptor, REVISION, OWNER_AND_LIST, byref(text), None
        ):
            return None
        attributes = getattr(path.lstat(), "st_file_attributes", 0)
        return Seen(attributes, ctypes.wstring_at(text.value or 0))
    except OSError:
        return None
    finally:
        local.LocalFree(text)
        local.LocalFree(descriptor)


def sid_of(account: str) -> str:
    """Return the SID of an account, ``ws-04\\admin``; empty where nobody has this name."""
    security, local = _libraries()
    size, domain, kind = c_uint32(256), c_uint32(256), c_uint32()
    found, text = ctypes.create_string_buffer(size.value), c_void_p()
    where = ctypes.create_unicode_buffer(domain.value)
    if not security.LookupAccountNameW(
        None, account, found, byref(size), where, byref(domain), byref(kind)
    ) or not security.ConvertSidToStringSidW(found, byref(text)):
        return ""
    try:
        return ctypes.wstring_at(text.value or 0)
    finally:
        local.LocalFree(text)


def _libraries() -> tuple[Any, Any]:
    """Return advapi32 and kernel32, with the arguments that are longer than an int."""
    system = Path(os.environ["SYSTEMROOT"]) / "System32"
    security, local = (ctypes.CDLL(str(system / name)) for name in ("advapi32.dll", "kernel32.dll"))
    security.GetNamedSecurityInfoW.argtypes = [c_wchar_p, c_uint32, c_uint32, *[c_void_p] * 5]
    convert = security.ConvertSecurityDescriptorToStringSecurityDescriptorW
    convert.argtypes = [c_void_p, c_uint32, c_uint32, c_void_p, c_void_p]
    security.LookupAccountNameW.argtypes = [c_wchar_p, c_wchar_p, *[c_void_p] * 5]
    security.ConvertSidToStringSidW.argtypes = [c_void_p, c_void_p]
    local.LocalFree.argtypes = [c_void_p]
    return security, local

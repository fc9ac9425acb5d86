"""Versions in their normal form (PEP 440), which metadata does not always have."""

from __future__ import annotations

import re

VERSION = re.compile(
    r"""\s*v?
    (?:(?P<epoch>\d+)!)?
    (?P<release>\d+(?:\.\d+)*)
    (?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_n>\d*))?
    (?P<post>-(?P<post_bare>\d+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post_n>\d*))?
    (?P<dev>[-_.]?dev[-_.]?(?P<dev_n>\d*))?
    (?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?
    \s*""",
    re.VERBOSE | re.IGNORECASE,
)
PRE = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}


def normal(version: str) -> str:
    """Return a version as packaging writes it; what is no version stays as it is."""
    found = VERSION.fullmatch(version)
    if found is None:
        return version
    epoch = int(found["epoch"] or 0)
    text = f"{epoch}!" if epoch else ""
    text += ".".join(str(int(number)) for number in found["release"].split("."))
    if found["pre"]:
        kind = found["pre"].lower()
        text += f"{PRE.get(kind, kind)}{int(found['pre_n'] or 0)}"
    if found["post"]:
        text += f".post{int(found['post_bare'] or found['post_n'] or 0)}"
    if found["dev"]:
        text += f".dev{int(found['dev_n'] or 0)}"
    return text + local(found["local"])


def local(text: str | None) -> str:
    if text is None:
        return ""
    parts = re.split("[-_.]", text.lower())
    return "+" + ".".join(str(int(part)) if part.isdigit() else part for part in parts)

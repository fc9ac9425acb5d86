"""Whether the environment is the one that was locked."""

from __future__ import annotations

import importlib.metadata
import re
from typing import Any

FAMILY = ("torch", "torchvision", "torchaudio")
"""Without a label in the lock, these may have any: PyPI's torch has one, PyPI's file name none."""


def differences(expected: dict[str, Any], torch: dict[str, Any]) -> list[str]:
    """Return where the environment is not what was locked, one sentence for each kind."""
    found = installed()
    wrong = [
        f"{name} {found.get(name, '(missing)')} differs from the lock's {locked}"
        for name, locked in expected["packages"].items()
        if not same_version(name, locked, found.get(name, ""))
    ]
    locked = expected["packages"].get("torch")
    if torch and locked and not same_version("torch", locked, torch["version"]):
        wrong.append(f"the torch that is imported, {torch['version']}, differs from the lock's")
    problems = ["; ".join(wrong)] if wrong else []
    if torch and expected["variant"] and torch["cuda"] != expected["cuda"]:
        built = "CUDA " + torch["cuda"] if torch["cuda"] else "the CPU"
        wanted = expected["variant"]
        problems.append(f"torch {torch['version']} is built for {built}, but {wanted} was expected")
    return problems


def installed() -> dict[str, str]:
    """Return normalised name to version of everything installed, the first on sys.path first."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"] or ""
        found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version)
    return found


def same_version(name: str, locked: str, found: str) -> bool:
    """Compare local parts too, except where the lock's torch has none: PyPI's CUDA wheels."""
    if name in FAMILY and "+" not in locked:
        found = found.split("+")[0]
    return locked == found

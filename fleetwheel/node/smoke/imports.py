"""The modules of packages that are asked for by name: that a package resolves proves little."""

from __future__ import annotations

import importlib.metadata
import re
from collections import Counter
from typing import Any

MODULE = re.compile(r"([A-Za-z]\w*)(/__init__)?\.([\w-]+\.)?(py|so|pyd)", re.ASCII)
"""A module's own file, at the top of an environment; private ones begin otherwise."""


def modules() -> dict[str, str]:
    """Return normalised name to module of every project here that has one at the top."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        project = _normal(distribution.metadata["Name"] or "")
        if project not in found and (module := main_module(project, distribution.files or [])):
            found[project] = module
    return found


def main_module(project: str, files: Any) -> str | None:
    """Return the module that is called like its project, or else the one with most files."""
    paths = [str(file).replace("\\", "/") for file in files]
    own = [found[1] for found in map(MODULE.fullmatch, paths) if found]
    sizes = Counter(re.split(r"[/.]", path)[0] for path in paths)
    return max(own, key=lambda name: (_normal(name) == project, sizes[name]), default=None)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

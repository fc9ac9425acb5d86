"""Putting this program where hosts keep it: ``<root>/lib/node-DIGEST``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return what names a version of the program: by its paths and contents."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path} {len(files[path])}\n".encode() + files[path])
    return digest.hexdigest()[:16]

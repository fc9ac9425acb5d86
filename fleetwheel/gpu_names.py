"""The compute capability of a GPU that is known by name only."""

import difflib
import re
from functools import cache, lru_cache
from pathlib import Path

import yaml

PATH = Path(__file__).with_name("gpus.yaml")

Words = tuple[str, ...]


@lru_cache(maxsize=1024)
def capability(name: str) -> str | None:
    """Return ``8.9`` for ``NVIDIA GeForce RTX 4090 Laptop GPU``; None when the name does not tell.

    Of the known names whose words stand together in ``name``, the one with the most words counts.
    """
    asked = words(name)
    found = [known for known in _table() if _within(known, asked)]
    longest = max(map(len, found), default=0)
    capabilities = {_table()[known][1] for known in found if len(known) == longest}
    return capabilities.pop() if len(capabilities) == 1 else None


def nearest(name: str, limit: int = 3) -> list[str]:
    """Return the known names that are most like a name, the best one first."""
    asked = words(name)
    containing = [
        shown for known, (shown, _) in _table().items() if asked and _within(asked, known)
    ]
    names = {" ".join(known): shown for known, (shown, _) in _table().items()}
    alike = difflib.get_close_matches(" ".join(asked), names, n=limit, cutoff=0.5)
    return list(dict.fromkeys([*containing, *(names[key] for key in alike)]))[:limit]


def words(name: str) -> Words:
    """Return the words of a name, digits apart from letters: ``gtx 1080 ti`` for GTX-1080Ti."""
    plain = re.sub(r"nvidia|geforce|tesla|\(r\)|\(tm\)", " ", name.casefold())
    return tuple(re.findall(r"[a-z]+|[0-9]+", plain))


def _within(known: Words, asked: Words) -> bool:
    starts = range(len(asked) - len(known) + 1)
    return any(asked[start : start + len(known)] == known for start in starts)


@cache
def _table() -> dict[Words, tuple[str, str]]:
    """Return the words of each known name, with the name as written and its capability."""
    document = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    return {
        words(name): (name, found)
        for part in document.values()
        for found, names in part.items()
        for name in names
    }

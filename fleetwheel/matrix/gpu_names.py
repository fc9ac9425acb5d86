"""The compute capability of a GPU that is known by name only."""

import difflib
import re
from collections import defaultdict
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import yaml

PATH = Path(__file__).with_name("gpus.yaml")
BRANDS = re.compile(r"nvidia|geforce|tesla|\(r\)|\(tm\)")
LEFT_OUT = ("gtx", "rtx")
"""What people leave out before a number: ``1080 Ti``, ``4090``."""
OTHER_VENDORS = {
    "AMD": re.compile(r"\b(amd|ati|radeon|instinct|firepro|firegl|ryzen|vega|rx|mi [0-9]{2,3})\b"),
    "Intel": re.compile(r"\b(intel|arc|iris|uhd|hd graphics|gaudi)\b"),
}

Words = tuple[str, ...]


class KnownGpu(NamedTuple):
    """A name as the table writes it, and the capabilities of the chips that bear it."""

    name: str
    capabilities: tuple[str, ...]


def capability_of(name: str) -> str | None:
    """Return ``8.9`` for ``NVIDIA GeForce RTX 4090 Laptop GPU``; None when the name does not tell.

    Of the known names in ``name``, the one with the most words counts.
    """
    found = capabilities(name)
    return found[0] if len(found) == 1 else None


@lru_cache(maxsize=1024)
def capabilities(name: str) -> tuple[str, ...]:
    """Return what a name may stand for, lowest first: ``("7.5", "8.9", "12.0")`` for ``RTX 6000``.

    Empty for an unknown name and for GPUs of other vendors.
    """
    if other_vendor(name):
        return ()
    runs = re.findall(r"[a-z0-9]+", _plain(name))
    readings = [name_words(" ".join(runs[start:])) for start in range(len(runs))]
    if runs and runs[0][0].isdigit():
        readings += [(family, *readings[0]) for family in LEFT_OUT]
    found = [known for reading in readings if (known := _longest_start(reading))]
    longest = max(map(len, found), default=0)
    meant = [_table()[known].capabilities for known in found if len(known) == longest]
    return tuple(sorted({each for several in meant for each in several}, key=float))


def nearest(name: str, limit: int = 3) -> list[str]:
    """Return the names that are most like a name and tell a capability, the best one first.

    If any known name has the first number of ``name``, all that are returned have it.
    """
    asked = name_words(name)
    number = next((word for word in asked if word.isdigit()), "")
    sharing = [known for known in _table() if number in known]
    pool = {
        " ".join(known): _table()[known].name
        for known in sharing or _table()
        if len(_table()[known].capabilities) == 1
    }
    text = " ".join(asked)
    longer = [known for known in pool if asked and f" {text} " in f" {known} "]
    alike = difflib.get_close_matches(text, pool, n=limit, cutoff=0.0 if sharing else 0.5)
    return [pool[known] for known in dict.fromkeys([*longer, *alike])][:limit]


def other_vendor(name: str) -> str | None:
    """Return ``AMD`` for ``RX 7900 XTX``, ``Intel`` for ``Arc A770``; None for all other names."""
    if "nvidia" in name.casefold():
        return None
    text = " ".join(name_words(name))
    return next((vendor for vendor, sign in OTHER_VENDORS.items() if sign.search(text)), None)


def name_words(name: str) -> Words:
    """Return the words of a name, digits apart from letters: ``gtx 1080 ti`` for GTX-1080Ti."""
    return tuple(re.findall(r"rtx|gtx|[a-z]+|[0-9]+", _plain(name)))


def _plain(name: str) -> str:
    return BRANDS.sub(" ", name.casefold()).replace("quadro", " quadro ")


def _longest_start(asked: Words) -> Words | None:
    lengths = range(min(len(asked), _most_words()), 0, -1)
    return next((asked[:length] for length in lengths if asked[:length] in _table()), None)


@cache
def _most_words() -> int:
    return max(map(len, _table()))


@cache
def _table() -> dict[Words, KnownGpu]:
    document = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    found: dict[str, list[str]] = defaultdict(list)
    for part in document.values():
        for capability, names in part.items():
            for name in names:
                found[name].append(capability)
    return {name_words(name): KnownGpu(name, tuple(several)) for name, several in found.items()}

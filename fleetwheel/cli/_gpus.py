"""The GPUs that the option ``--gpu`` names."""

import re
from collections.abc import Sequence
from itertools import takewhile

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import Gpu
from fleetwheel.matrix.gpu_names import capabilities, nearest, other_vendor

CAPABILITY = re.compile(r"[0-9]{1,2}\.[0-9]")
FIRST = re.compile(r"nvidia|geforce|quadro|tesla|grid|jetson|titan|[gr]tx|gts?|cmp|nvs", re.I)
"""A word that a name begins with, and that is none by itself."""
LATER = re.compile(r"ti|super|d|laptop|gpu|max-q|ada|blackwell|[0-9]+ ?gb", re.I)
"""A word that only goes on with a name."""


def named_gpus(texts: Sequence[str]) -> tuple[Gpu, ...]:
    """Return GPUs by name or compute capability, numbered from 0."""
    return tuple(_gpu(index, texts) for index in range(len(texts)))


def _gpu(index: int, texts: Sequence[str]) -> Gpu:
    text = texts[index]
    if CAPABILITY.fullmatch(text):
        return Gpu(index=index, name=f"GPU {index}", compute_capability=text)
    found = capabilities(text)
    if len(found) == 1:
        return Gpu(index=index, name=text, compute_capability=found[0])
    if whole := _whole_name(index, texts):
        raise FleetwheelError(
            f"--gpu: {text!r} is only a part of a name", hint=f'quote the name: --gpu "{whole}"'
        )
    raise _unknown(text, found)


def _whole_name(index: int, texts: Sequence[str]) -> str | None:
    """Return the name that was typed without quotes; None if the words around make up none."""
    start = index
    while start and LATER.fullmatch(texts[start]):
        start -= 1
    if start == index and not FIRST.fullmatch(texts[index]):
        return None
    for end in range(start + 2, len(texts) + 1):
        if capabilities(" ".join(texts[start:end])):
            later = takewhile(LATER.fullmatch, texts[end:])
            return " ".join([*texts[start:end], *later])
    return None


def _unknown(text: str, found: Sequence[str]) -> FleetwheelError:
    if vendor := other_vendor(text):
        return FleetwheelError(
            f"--gpu: {text!r} is from {vendor}: this is for NVIDIA GPUs only",
            hint="a host without NVIDIA GPUs is a CPU host: leave --gpu out",
        )
    alike = nearest(text)
    hint = f"did you mean {' or '.join(alike)}? " if alike else ""
    if found:
        return FleetwheelError(
            f"--gpu: {text!r} stands for GPUs of compute capability {', '.join(found)}",
            hint=f"{hint}A compute capability such as {found[0]} works as well",
        )
    return FleetwheelError(
        f"--gpu: the compute capability of {text!r} is not known",
        hint=f"{hint}A compute capability such as 8.9 works as well",
    )

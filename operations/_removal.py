"""One thing that goes off a host, beside its environments."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyinfra.api.command import PyinfraCommand


@dataclass(frozen=True)
class Removal:
    """Something of ours on a host, and what takes it away."""

    said: str
    """What it is, for people."""
    steps: Sequence[PyinfraCommand]
    freed_bytes: int = 0
    besides: str = ""
    """What to know of it, in lines of their own that each begin with a line break."""

"""The choice: the newest torch that runs on every GPU of a host, or a refusal with its reason."""

from fleetwheel.profile import Python, Value
from fleetwheel.wheel import Source


class Rejection(Value):
    """A release in one variant that was considered and not taken."""

    torch: str
    variant: str
    reason: str


class Choice(Value):
    """The wheel set for one host, and why."""

    torch: str
    """Public version, such as ``2.13.0``."""
    variant: str
    """``cpu`` or ``cu130``."""
    packages: dict[str, str]
    """The torch family pinned: ``{"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu"}``."""
    requirements: tuple[str, ...] = ()
    """Everything else that was asked for, as it was asked for."""
    python: Python
    source: Source | None = None
    """Where the torch family comes from; None when only the matrix was asked."""
    reasons: tuple[str, ...] = ()
    rejected: tuple[Rejection, ...] = ()


class Refusal(Value):
    """No wheel set serves the host: why, and what would change it."""

    reasons: tuple[str, ...]
    unlocks: tuple[str, ...] = ()
    rejected: tuple[Rejection, ...] = ()

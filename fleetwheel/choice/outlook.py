"""The outlook of a host: whether the newest release still serves it, and what would keep it."""

from packaging.version import Version

from fleetwheel.choice.answer import answer
from fleetwheel.choice.choose import Choice
from fleetwheel.choice.request import Request
from fleetwheel.host.profile import Profile
from fleetwheel.matrix.matrix import Matrix
from fleetwheel.value import Value


class Outlook(Value):
    """What the releases of PyTorch hold for one host, by the matrix alone."""

    newest: str
    """The newest release that there is, such as ``2.15.0``."""
    served: bool
    """Whether the host can run it."""
    last: str | None = None
    """The newest release that the host can run, such as ``2.9.1+cu126``; None where none runs."""
    reasons: tuple[str, ...] = ()
    """Why the newest release does not run; empty where it does."""
    keeps: tuple[str, ...] = ()
    """What would make it run."""


def outlook(profile: Profile, request: Request, matrix: Matrix) -> Outlook:
    """Return the outlook of a host, whichever release its inventory pins today."""
    newest = str(max(matrix.releases))
    last = answer(profile, request.model_copy(update={"torch": None}), matrix, None)
    found = f"{last.torch}+{last.variant}" if isinstance(last, Choice) else None
    if isinstance(last, Choice) and Version(last.torch) == Version(newest):
        return Outlook(newest=newest, served=True, last=found)
    lost = answer(profile, request.model_copy(update={"torch": f"=={newest}"}), matrix, None)
    ways = () if isinstance(lost, Choice) else lost.unlocks
    return Outlook(
        newest=newest,
        served=False,
        last=found,
        reasons=lost.reasons[1:] or lost.reasons,
        keeps=tuple(way for way in ways if found is None or found not in way),
    )

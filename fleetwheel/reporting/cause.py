"""What is wrong, in words that hosts share, and what ends it: values, never read out of a text."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

from pydantic import ConfigDict, Field

from fleetwheel.errors import FleetwheelError
from fleetwheel.reporting.past_time import PastTime
from fleetwheel.value import Value

CauseClass = Literal[
    "unreachable", "failed", "refused", "drifted", "hardware", "driver", "runtime", "package"
]
"""The worst first: how a look or a deploy ended, or which class of drift it found."""
WORST_CAUSES: tuple[CauseClass, ...] = get_args(CauseClass)
ENDS: tuple[CauseClass, ...] = ("unreachable", "failed", "refused", "drifted")
"""Those that tell how a whole host or environment ended."""
VALUES = 3
"""Different values that are told; the others are counted."""
COMPARED = ("expected", "found")
Action = Literal["", "deploy", "rebuild", "smoke", "onboard", "remove"]
"""What carries a remedy out: a file of deploys/, ``rebuild`` with that setting; empty for none."""


class Cause(Value):
    """Why something is not as it should be, equal on all hosts where it is so."""

    model_config = ConfigDict(populate_by_name=True)

    class_: CauseClass = Field(alias="class")
    what: str
    """What is wrong, without figures and places of one host."""
    remedy: str = ""
    """What ends it, for people; empty where nobody knows."""
    action: Action = ""

    @property
    def anchor(self) -> str:
        """Its name for links: the same wherever and whenever it is found."""
        words = "\n".join((self.class_, self.what, self.remedy))
        return f"cause-{hashlib.sha256(words.encode()).hexdigest()[:8]}"

    @property
    def title(self) -> str:
        """What is wrong in one line."""
        return self.what if self.class_ in ENDS else f"{self.class_}: {self.what}"


class Affected(Value):
    """A host, or an environment of it, that has a cause."""

    name: str
    environment: str = ""
    """Empty for the host itself."""
    expected: str = ""
    found: str = ""
    since: PastTime
    """The first report that had it, without one since then that looked and did not find it."""
    new: bool = False
    """Whether the last look at the host did not find it."""


class SharedCause(Cause):
    """A cause with all that have it."""

    id: str
    """A name for links: ``#cause-1f2e3d4c`` on the page."""
    command: str = ""
    """What to type for all of these hosts, as it stands; empty where nothing safe can be said."""
    since: PastTime
    """The earliest of its hosts."""
    hosts: tuple[Affected, ...]
    """By name."""

    @property
    def names(self) -> list[str]:
        """Its hosts, each once."""
        return list(dict.fromkeys(each.name for each in self.hosts))

    @property
    def environments(self) -> list[str]:
        """The environments that it is about, none where it is about hosts themselves."""
        return sorted({each.environment for each in self.hosts} - {""})

    @property
    def difference(self) -> str:
        """What was expected and what found, the most frequent first; empty where that is the title.

        Ends of hosts say what was found in the words of each.
        """
        if self.class_ in ENDS:
            found = [each.found for each in self.hosts if each.found != self.what]
            return _counted(found) if len({*found}) <= VALUES else ""
        expected, found = ([getattr(each, key) for each in self.hosts] for key in COMPARED)
        return f"expected {_counted(expected)}, found {_counted(found)}"

    @property
    def new(self) -> list[str]:
        """The hosts that did not have it at the last look."""
        return list(dict.fromkeys(each.name for each in self.hosts if each.new))


def _counted(values: Sequence[str]) -> str:
    """Return values with their numbers: ``1.26.4 (10), not there (2)``."""
    counts = Counter(filter(None, values)).most_common()
    if len(counts) == 1:
        return counts[0][0]
    more = [f"{len(counts) - VALUES} other values"] if len(counts) > VALUES else []
    return ", ".join([*(f"{value} ({n})" for value, n in counts[:VALUES]), *more])


def cause_of(status: CauseClass, why: object) -> Cause:
    """Return the cause of what ended with this error, or for another reason."""
    if isinstance(why, FleetwheelError):
        return of_words(status, why.what, why.remedy)
    return of_words(status, str(why))


def of_words(class_: CauseClass, what: str, remedy: str = "", action: Action = "") -> Cause:
    """Return a cause in these words."""
    words = {"what": what, "remedy": remedy, "action": action}
    return Cause.model_validate({"class": class_, **words})

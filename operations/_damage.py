"""Whether an environment has lost files or was edited, and whether people find it."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pyinfra import host

from fleetwheel.deploy.record import Record
from fleetwheel.host import itself
from fleetwheel.host.profile import HostState, Python
from fleetwheel.inventory.settings import Settings
from fleetwheel.node import compare
from fleetwheel.node.compare import Difference
from fleetwheel.operations import _probe
from fleetwheel.reporting import history
from fleetwheel.reporting.report import Report
from fleetwheel.terminal import single_line


class Seen(NamedTuple):
    """What a look at an environment has found."""

    packages: tuple[str, ...] = ()
    """Those of the generation whose files are changed or missing."""
    files: tuple[str, ...] = ()
    """Files of no package."""
    differences: tuple[Difference, ...] = ()
    """In its readers, and in what people find it by."""
    obstacles: tuple[str, ...] = ()
    """Why people do not find it somewhere."""
    replaced: tuple[Difference, ...] = ()
    """What a deploy does not put right: somebody else's files in the place of ours."""

    @property
    def damage(self) -> list[str]:
        """What is to be built again."""
        return [*self.packages, *self.files]


def look_at_files(
    generation: str,
    python: Python,
    facts: HostState,
    record: Record | None,
    settings: Settings,
    publish: Mapping[str, Any] | None = None,
) -> Seen:
    """
    Return what of a generation is not as it should be.

    + generation: one that stands on the host
    + python: the interpreter that looks
    + publish: the name of an ``environment`` and its ``publish`` (deploy/signposts.py), to look at
      its readers and at what people find it by too

    Hashing torch takes its time, so only sizes are compared, unless the last smoke test of the
    generation failed, or the last deep look at this host found files that differ.
    """
    if host.name.startswith("@fake/") or not facts.installation.runs(generation):
        return Seen()
    hashes = _has_failed(generation, record) or _was_found_damaged(generation)
    limit = settings.smoke_timeout if hashes else settings.fact_timeout
    root = facts.installation.root
    answer = _probe.generation(
        host, python.path, "verify", root, limit, id=generation, hashes=hashes, **(publish or {})
    )
    return seen_in(answer)


def seen_in(answer: Mapping[str, Any]) -> Seen:
    """Return what the answer of ``verify`` says (node/verify.py)."""
    return Seen(
        tuple(answer.get("damaged", ())),
        tuple(answer.get("unrecorded", ())),
        tuple(compare.outside_differences(_words(answer, "differences"))),
        tuple(map(single_line, answer.get("obstacles", ()))),
        tuple(compare.replaced_differences(_words(answer, "replaced"))),
    )


def _words(answer: Mapping[str, Any], key: str) -> list[tuple[str, str, str]]:
    return [(each["what"], each["expected"], each["found"]) for each in answer.get(key, ())]


def _has_failed(generation: str, record: Record | None) -> bool:
    if record is None:
        return False
    of_this = record.generation == generation and record.tested and record.smoke is None
    return of_this or generation in record.failed


def _was_found_damaged(generation: str) -> bool:
    """Whether the newest deep look at it on this host found files that differ."""
    name = itself.inventory_name(host.name)
    looks = (
        any(drift.deep and drift.class_ == "package" for drift in each.drift)
        for report in _last_deep_reports()
        for entry in report.hosts
        if entry.name == name
        for each in entry.environments
        if each.generation == generation
    )
    return next(looks, False)


@cache
def _last_deep_reports() -> list[Report]:
    return history.last_deep_reports(Path("reports"))

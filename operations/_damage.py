"""Whether an environment has lost files, or was edited: for deploys, and for quick looks."""

from functools import cache
from pathlib import Path

from pyinfra import host

from fleetwheel.deploy.record import Record
from fleetwheel.host import itself
from fleetwheel.host.profile import HostState, Python
from fleetwheel.inventory.settings import Settings
from fleetwheel.operations import _probe
from fleetwheel.reporting import history
from fleetwheel.reporting.report import Report


def damaged_packages(
    generation: str, python: Python, facts: HostState, record: Record | None, settings: Settings
) -> list[str]:
    """
    Return what in a generation is to be built again: packages, and files of none.

    The arguments are those of ``look_at_files``.
    """
    packages, files = look_at_files(generation, python, facts, record, settings)
    return packages + files


def look_at_files(
    generation: str, python: Python, facts: HostState, record: Record | None, settings: Settings
) -> tuple[list[str], list[str]]:
    """
    Return the packages of a generation whose files are changed or missing, and files of none.

    + generation: one that stands on the host
    + python: the interpreter that looks

    Hashing torch takes its time, so only sizes are compared, unless the last smoke test of the
    generation failed, or the last deep look at this host found files that differ.
    """
    if host.name.startswith("@fake/") or not facts.installation.runs(generation):
        return [], []
    hashes = _has_failed(generation, record) or _was_found_damaged(generation)
    limit = settings.smoke_timeout if hashes else settings.fact_timeout
    root = facts.installation.root
    answer = _probe.generation(
        host, python.path, "verify", root, limit, id=generation, hashes=hashes
    )
    return list(answer.get("damaged", ())), list(answer.get("unrecorded", ()))


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

"""One report out of several: of hosts that pull, of several controllers, of checks with --limit."""

from collections.abc import Callable, Iterable, Sequence

from fleetwheel.errors import FleetwheelError
from fleetwheel.reporting.cause_list import some
from fleetwheel.reporting.causes import comparable
from fleetwheel.reporting.report import HostReport, Report


def merge(reports: Sequence[Report], warn: Callable[[str], None]) -> tuple[Report, list[Report]]:
    """Return the newest of each host as one report, and what is left of those before, oldest first.

    Only those about all environments count, or, without any, those about the same as the newest;
    ``warn`` hears of hosts that are in none of them. Raises FleetwheelError for reports of
    different kinds.
    """
    newest_first = sorted(reports, key=lambda report: report.at, reverse=True)
    last = next((each for each in newest_first if not each.environments), newest_first[0])
    if kinds := {report.kind for report in reports} - {last.kind}:
        raise FleetwheelError(
            f"there are reports of different kinds: {', '.join(sorted({last.kind, *kinds}))}",
            hint="name a directory, and one of them with --kind",
        )
    hosts: dict[str, HostReport] = {}
    rest: list[Report] = []
    for report in comparable(newest_first, last):
        at = None if report.at == last.at else report.at
        new = [host for host in report.hosts if host.name not in hosts]
        hosts |= {host.name: host.model_copy(update={"at": host.at or at}) for host in new}
        rest.append(_without(report, new))
    if others := {host.name for report in reports for host in report.hosts} - hosts.keys():
        warn(f"left out: {some(sorted(others))}, with reports about some environments alone")
    found = tuple(sorted(hosts.values(), key=lambda host: host.name))
    deep = all(report.deep for report in comparable(reports, last))
    inventory = _only(report.inventory for report in reports)
    said = {"hosts": found, "deep": deep, "inventory": inventory, "causes": ()}
    return last.model_copy(update=said), [report for report in reversed(rest) if report.hosts]


def _without(report: Report, taken: Sequence[HostReport]) -> Report:
    names = {host.name for host in taken}
    hosts = tuple(host for host in report.hosts if host.name not in names)
    return report.model_copy(update={"hosts": hosts})


def _only(inventories: Iterable[str]) -> str:
    """Return the inventory of all reports, or else the usual one."""
    found = {*inventories}
    return found.pop() if len(found) == 1 else "inventory.py"

"""A drift report as JUnit XML: one test case for each class of each host and environment."""

from collections.abc import Sequence

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from fleetwheel.reporting.report import DriftClass, HostReport, Part, Report
from fleetwheel.terminal import printable

LOOKED_AT = (None, "clean", "drifted", "on hold")


def junit(report: Report) -> str:
    """Return the document; a host that nobody could look at is one error, and never passes."""
    suite = TestSuite(", ".join(filter(None, ("fleetwheel drift", report.scope))))
    suite.timestamp = report.at.isoformat(timespec="seconds")
    for host in report.hosts:
        told = report.told(host)
        for part in told:
            named = bool(part.environment) and len(told) > 1
            if part.status not in LOOKED_AT:
                suite.add_testcase(_not_looked_at(host, part, named))
            for class_ in _classes(part):
                suite.add_testcase(_case(host, part, class_, named))
    document = JUnitXml("fleetwheel")
    document.add_testsuite(suite)
    document.update_statistics()
    return str(document.tostring().decode())


def _case(host: HostReport, part: Part, class_: DriftClass, named: bool) -> TestCase:
    name = f"{part.environment}: {class_}" if named else class_
    case = TestCase(name, classname=printable(host.name))
    found = [drift for drift in part.drift if drift.class_ == class_]
    if found:
        text = [f"{d.what}: expected {d.expected}, found {d.found}\n  {d.repair}" for d in found]
        what = ", ".join(drift.what for drift in found)
        case.result = [_result(Failure, f"{what} differs", "\n".join(text))]
    elif part.status == "on hold":
        case.result = [_result(Skipped, part.why, part.why)]
    return case


def _classes(part: Part) -> Sequence[DriftClass]:
    """Return the classes that have a case; of what nobody could look at, those of what is known."""
    if part.status in LOOKED_AT:
        return part.classes
    return list(dict.fromkeys(drift.class_ for drift in part.drift))


def _not_looked_at(host: HostReport, part: Part, named: bool) -> TestCase:
    case = TestCase(part.environment if named else "host", classname=printable(host.name))
    case.result = [_result(Error, str(part.status), part.why)]
    return case


def _result(
    kind: type[Error | Failure | Skipped], message: str, text: str
) -> Error | Failure | Skipped:
    result = kind(printable(message))
    result.text = printable(text)
    return result

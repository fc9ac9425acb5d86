"""A drift report as JUnit XML: one test case for each host and class."""

from typing import get_args

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from fleetwheel.reporting.report import DriftClass, HostReport, Report
from fleetwheel.terminal import printable


def junit(report: Report) -> str:
    """Return the document; a host that nobody could look at has errors, and never passes."""
    suite = TestSuite("fleetwheel drift")
    suite.timestamp = report.at.isoformat(timespec="seconds")
    for host in report.hosts:
        for class_ in get_args(DriftClass):
            suite.add_testcase(_case(host, class_))
    document = JUnitXml("fleetwheel")
    document.add_testsuite(suite)
    document.update_statistics()
    return str(document.tostring().decode())


def _case(host: HostReport, class_: DriftClass) -> TestCase:
    case = TestCase(class_, classname=printable(host.name))
    found = [drift for drift in host.drift if drift.class_ == class_]
    if found:
        text = [f"{d.what}: expected {d.expected}, found {d.found}\n  {d.repair}" for d in found]
        what = ", ".join(drift.what for drift in found)
        case.result = [_result(Failure, f"{what} differs", "\n".join(text))]
    elif host.status == "on hold":
        case.result = [_result(Skipped, host.why, host.why)]
    elif host.status not in ("clean", "drifted"):
        case.result = [_result(Error, host.status, host.why)]
    return case


def _result(
    kind: type[Error | Failure | Skipped], message: str, text: str
) -> Error | Failure | Skipped:
    result = kind(printable(message))
    result.text = printable(text)
    return result

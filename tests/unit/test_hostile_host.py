"""What a hostile host prints: it can fail the host itself, and no other one."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyinfra.api.exceptions import FactProcessError

from fleetwheel.connection import untrusted_json
from fleetwheel.deploy import record as records
from fleetwheel.deploy.record import SmokePass
from fleetwheel.errors import FleetwheelError, unforeseen
from fleetwheel.facts._question import read_answer
from fleetwheel.lock.lock import MOST_SERVERS, Lock, from_copy
from fleetwheel.operations import _probe
from fleetwheel.reporting import history, report
from fleetwheel.reporting.report import EnvironmentReport, HostReport
from fleetwheel.smoke import result as smoke
from tests.samples import lock_with, record_of, state_of

DEEP = 100_000
LOCK = lock_with({"torch": "2.13.0+cpu", "numpy": "2.4.0"})


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


@pytest.mark.parametrize("text", ["x = " + "[" * DEEP, "x = " + "{a=" * DEEP, ".".join("a" * 5000)])
def test_a_lock_without_a_bottom_is_none(text: str) -> None:
    with pytest.raises(FleetwheelError, match="cannot be read"):
        _ = from_copy(text, "pylock.x.toml").document


@pytest.mark.parametrize(
    "line",
    [
        "[" * DEEP,
        nested(DEEP),
        nested(untrusted_json.DEEPEST),
        r'{"error": "\ud800"}',
        f'{{"error": {"9" * 5000}}}',
        "[1]",
        "",
    ],
)
def test_a_document_that_no_report_can_hold_is_none(line: str) -> None:
    assert untrusted_json.last(['{"ok": true}', line]) == {"ok": True}
    with pytest.raises(FleetwheelError, match="printed no result"):
        smoke.parse_smoke(line)


def failing(smoke: dict[str, Any] | None) -> HostReport:
    inside = EnvironmentReport(status="failed", smoke=smoke)
    return HostReport(name="h", status="failed", environments=(inside,))


@given(
    st.recursive(
        st.none() | st.floats() | st.integers() | st.text(st.characters(codec=None)),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_a_host_prints_leaves_a_report_that_can_be_read(value: object) -> None:
    found = untrusted_json.last([json.dumps({"error": value})])
    text = report.report_json(report.report_of([failing(found)]))
    report.Report.model_validate_json(text)


def test_the_deepest_document_can_be_kept(tmp_path: Path) -> None:
    found = untrusted_json.last([nested(untrusted_json.DEEPEST - 1)])
    kept = report.save_report(tmp_path, report.report_of([failing(found)]))
    assert history.read_report(kept).hosts[0].environments[0].smoke == found


def test_a_record_holds_no_deeper_document() -> None:
    start = '{"generation": "g", "driver": null, "gpus": [], "boot_id": null'
    text = f'{start}, "at": "2026-01-01T00:00:00Z", "result": {nested(100)}}}'
    with pytest.raises(ValueError, match="32 levels"):
        SmokePass.model_validate_json(text)


@pytest.mark.parametrize(
    "answer",
    [
        {"ok": "yes"},
        {"ok": True, "missing": 5},
        {"ok": True, "missing": [["x"]]},
        {"ok": True, "damaged": None},
        {"ok": True, "unreached": ["x"]},
        {"ok": False, "error": {"a": 1}},
        {"ok": False, "error": "x", "hint": 7},
    ],
)
def test_an_answer_of_other_types_is_a_failure(answer: dict[str, object]) -> None:
    with pytest.raises(FleetwheelError, match="cannot be believed"):
        _probe.believed(answer)


def test_what_a_host_keeps_for_us_has_a_size() -> None:
    """Reading it takes the time of all other hosts."""
    with pytest.raises(FleetwheelError, match=r"state\.json cannot be read"):
        records.parse_state(" " * records.LONGEST + "{}")
    with pytest.raises(FleetwheelError, match="which no lock has"):
        from_copy("x = 1\n" * 2**20, "pylock.x.toml")


@pytest.mark.parametrize("servers", [1, MOST_SERVERS, MOST_SERVERS + 1, 400])
def test_a_host_sends_the_controller_to_few_servers(servers: int) -> None:
    """Each is asked for the sizes of its wheels: 5,700 took 28 s."""
    names = {f"p{number}": "1.0" for number in range(1, servers)}
    text = lock_with({"torch": "2.13.0+cpu", **names}).text
    text = re.sub(r'https://[^/"]+/([^"]+)', r"https://\1.example/\1", text)
    if servers <= MOST_SERVERS:
        assert len(from_copy(text, "pylock.x.toml").document.packages) == servers
    else:
        with pytest.raises(FleetwheelError, match=f"on {servers} servers, more than") as caught:
            _ = from_copy(text, "pylock.x.toml").document
        assert "relock=true" in caught.value.hint
    assert Lock(name="pylock.x.toml", text=text).document


@pytest.mark.parametrize("torch", ["9" * 5000, "9" * 201, "3.\u0663.x", ""])
def test_a_version_is_one(torch: str) -> None:
    document = json.loads(state_of(record_of(LOCK, "g")).text())
    document["environments"]["default"]["choice"]["torch"] = torch
    with pytest.raises(FleetwheelError, match=r"state\.json cannot be read"):
        records.parse_state(json.dumps(document))


def test_a_bug_that_a_host_brings_out_is_its_own_failure(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="pyinfra.fleetwheel"):
        said = str(unforeseen(ZeroDivisionError("x" * 10_000)))
    assert said.startswith("ZeroDivisionError: xxx")
    assert "--debug" in said
    assert len(said) < 600
    assert "ZeroDivisionError" in caplog.text


def test_an_answer_is_read_by_parsers_that_may_have_bugs() -> None:
    def parse(section: object) -> None:
        raise ZeroDivisionError("no gpu")

    with pytest.raises(FactProcessError, match="ZeroDivisionError: no gpu"):
        read_answer(parse, ["platform ended 0"], "platform")


def test_an_answer_without_a_verdict_is_a_failure() -> None:
    with pytest.raises(FleetwheelError, match="it gave no reason"):
        _probe.believed({})


def test_a_failure_is_told_in_the_hosts_words() -> None:
    with pytest.raises(FleetwheelError, match="disk is full") as caught:
        _probe.believed({"ok": False, "error": "disk is full", "hint": "free some space"})
    assert caught.value.hint == "free some space"


def test_a_record_says_of_which_zone_its_time_is() -> None:
    """Which of two records is the later one is asked of every host."""
    text = state_of(record_of(LOCK, "a-1")).text()
    assert records.parse_state(text).latest
    naive = re.sub(r'("(?:deployed_at|at)": "[^"]*)Z"', r'\1"', text)
    assert naive != text
    with pytest.raises(FleetwheelError, match=r"state\.json cannot be read"):
        records.parse_state(naive)

"""What hosts answer, mutated: every boundary turns it into that host's own failure, or takes it.

FLEETWHEEL_FUZZ is the number of examples; a few are tried by default.
"""

import json
import logging
import os
import random
import tomllib
from collections.abc import Iterator
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from pyinfra.api import Host, State
from pyinfra.api.exceptions import FactProcessError
from pyinfra.context import ctx_host
from rich.console import Console

from fleetwheel import drift
from fleetwheel.collectors import host as questions
from fleetwheel.deploy import decider
from fleetwheel.deploy.decider import Decider
from fleetwheel.errors import DETAIL, LOG, FleetwheelError
from fleetwheel.facts.host import Host as HostFact
from fleetwheel.facts.lock import LockCopy
from fleetwheel.host.profile import HostState, Profile
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock.supply import Supply
from fleetwheel.operations import _carrying_out, _host_state, _planning, _report, torch
from fleetwheel.operations._drift_check import look
from fleetwheel.operations._host_state import with_answer
from fleetwheel.operations._steps import MATRIX
from fleetwheel.reporting import history, junit, page, prometheus, report
from fleetwheel.reporting.report import HostReport, Report
from tests.deploying import hosts
from tests.samples import CPU_HOST, GPU_HOST, lock_with, record_of, state_of

EXAMPLES = int(os.environ.get("FLEETWHEEL_FUZZ", "60"))
FACTS = Path(__file__).parents[1] / "fixtures" / "facts"
HOSTILE = "@fake/hostile"
GENERATION = "one-1"
LOCK = lock_with({"torch": "2.13.0+cpu", "numpy": "2.4.0"})
WORDS = (
    "",
    "-1",
    "3",
    "9" * 5000,
    "9" * 4000 + ".0",
    "1e999",
    "NaN",
    "\u0663.\u0661\u0661",
    "../../etc/passwd",
    "\x1b]52;c;aGk=\x07",
    "[red]x[/",
    "<script>&#0;",
    "a\u2028b\u202e\x85c",
    "cu999",
    "2.13.0+cpu+cpu",
    "??>=1",
    "x" * 100_000,
)
VALUES: tuple[Any, ...] = (*WORDS, None, True, -1, 10**30, 1.5, [], {}, [[]], {"a": {"b": []}})


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    """Three hosts of a uniform group, of which one is hostile; no source has a wheel."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_report, "_hosts", {})
    monkeypatch.setattr(_report, "_environments", {})
    monkeypatch.setattr(_host_state, "_answers", {})
    monkeypatch.setattr(decider, "make", _nothing_is_made)
    monkeypatch.setattr(decider, "configured_constraints", lambda: ())
    monkeypatch.setattr(decider, "supply", lambda *_: Supply(None, (), {}, ()))  # the matrix alone
    monkeypatch.setattr(_planning, "_decider", Decider(tmp_path / "locks", MATRIX, lambda _: None))
    monkeypatch.setattr(_carrying_out, "prepare_transfer", _nothing_is_made)
    with hosts("@fake/a", HOSTILE, "@fake/b", uniform="lab") as state:
        yield state


def _nothing_is_made(*_: object) -> None:
    raise FleetwheelError("nothing is made here")


class Seeds:
    """What a sound host answers, mutated in one to three places."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        profile = self.chance.choice((CPU_HOST, GPU_HOST))
        self.lock = self._somewhere(LOCK.text, self._toml)
        record = state_of(record_of(LOCK, GENERATION, profile)).text()
        self.record = self._somewhere(record, self._json)
        if self.chance.random() < 0.05:
            self.record = self.record[: self.chance.randrange(len(self.record))]
        self.answer = self._somewhere(self._answer(), self._lines).splitlines()

    def _somewhere(self, text: str, mutate: Any) -> str:
        for _ in range(self.chance.choice((0, 0, 1, 1, 2, 3))):
            text = mutate(text)
        return text

    def _answer(self) -> str:
        gpu = self.chance.choice(("no_gpu", "rtx_4090", "updated_without_a_reboot"))
        cases = ("platform.Platform/debian", "python.Pythons/several", f"gpu.Gpus/{gpu}")
        there = "environments.Environments/one_generation"
        said = [_recorded(case) for case in (*cases, there)]
        record = "".join(f"environments record {line}\n" for line in self.record.splitlines())
        lines = "".join(said).splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith("environments record ")]
        return record + "".join(kept)

    def _lines(self, text: str) -> str:
        lines = text.splitlines()
        at = self.chance.randrange(len(lines))
        words = lines[at].split(" ")
        words[self.chance.randrange(len(words))] = self.chance.choice(WORDS)
        match self.chance.randrange(6):
            case 0:
                lines[at : at + 1] = []
            case 1:
                lines.insert(at, lines[self.chance.randrange(len(lines))])
            case 2:
                lines[at] = lines[at][: self.chance.randrange(len(lines[at]) + 1)]
            case _:
                lines[at] = " ".join(words)
        return "\n".join(lines)

    def _json(self, text: str) -> str:
        document = json.loads(text)
        parents = list(_parents(document))
        parent, key = self.chance.choice(parents)
        parent[key] = self.chance.choice(VALUES)
        return json.dumps(document, indent=2)

    def _toml(self, text: str) -> str:
        lines = text.splitlines()
        at = self.chance.randrange(len(lines))
        key, equals, value = lines[at].partition(" = ")
        if equals and self.chance.random() < 0.8:
            lines[at] = (
                f"{key} = {json.dumps(self.chance.choice((*WORDS, 1, 1.5, True, [], value)))}"
            )
        else:
            lines[at] = lines[self.chance.randrange(len(lines))]
        return "\n".join(lines) + "\n"


@cache
def _recorded(case: str) -> str:
    said = yaml.safe_load((FACTS / f"{case}.yaml").read_text())["output"]
    assert isinstance(said, str)
    return said


def _parents(document: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place of a JSON document, as the container and the key in it."""
    entries = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(entries):
        yield document, key
        if isinstance(value, (dict, list)):
            yield from _parents(value)


def _sound(profile: Profile) -> HostState:
    answer = HostFact().process(_recorded_answer())
    return answer.model_copy(update={"profile": profile})


def _recorded_answer() -> list[str]:
    cases = ("platform.Platform/debian", "python.Pythons/several", "gpu.Gpus/rtx_4090")
    return "".join(map(_recorded, (*cases, "environments.Environments/fresh_host"))).splitlines()


def _answered(host: Host, seeds: Seeds) -> HostState | None:
    if host.name != HOSTILE:
        return _sound(GPU_HOST)
    try:
        return HostFact().process(seeds.answer)
    except FactProcessError:
        return None


def _run(state: State, seeds: Seeds, settings: Settings) -> tuple[HostReport, HostReport]:
    """Return what a deploy and a drift check say of the hostile host."""
    host = state.inventory.get_host(HOSTILE)
    with ctx_host.use(host):
        list(with_answer(settings, torch._environments))
        return _reported(HOSTILE), look(settings)


def _reported(name: str) -> HostReport:
    return next(host for host in _report.finished("deploy").hosts if host.name == name)


def _everywhere(found: Report, directory: Path) -> None:
    """Write a report in every form, and read each back."""
    shown = StringIO()
    report.print_table(found, Console(file=shown, width=200))
    kept = report.save_report(directory / "reports", found)
    again = history.read_report(kept)
    assert [host.name for host in again.hosts] == [host.name for host in found.hosts]
    ElementTree.fromstring(junit.junit(found))
    assert list(text_string_to_metric_families(prometheus.metrics(found, [again])))
    for text in (page.render_page(found, [again]), shown.getvalue()):
        assert not set(text) & set("\x1b\x07\x85\x00")
    drift.odd_ones_out(found.hosts)
    drift.repairs(found.hosts, "inventory.py")


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_a_hostile_host_fails_alone(
    seed: int,
    state: State,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    seeds = Seeds(seed)
    monkeypatch.setattr(
        _host_state, "get_fact", lambda _, host, kind, **__: _fact(host, kind, seeds)
    )
    settings = Settings(uniform="lab" if seeds.chance.random() < 0.3 else False)
    with caplog.at_level(logging.DEBUG, logger=LOG.name):
        found = report.report_of(_run(state, seeds, settings), kind="drift")
        _everywhere(found, tmp_path)
        with ctx_host.use(state.inventory.get_host("@fake/a")):
            list(with_answer(Settings(uniform="lab"), torch._environments))
    why = report.why_of(_reported("@fake/a"))
    assert "nothing is made here" in why or HOSTILE in why
    ours = [line for line in caplog.records if line.name == LOG.name and line.levelno != DETAIL]
    bugs = [line.getMessage() for line in ours]
    assert bugs == []


def _fact(host: Host, fact: type, seeds: Seeds) -> object:
    return seeds.lock if fact is LockCopy else _answered(host, seeds)


def test_the_seeds_are_sound(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that most examples get beyond the first check."""
    tomllib.loads(LOCK.text)
    answers = [Seeds(seed) for seed in range(60)]
    read = [seeds for seeds in answers if _parsed(seeds)]
    assert len(read) > 30
    assert questions.SECTIONS


def _parsed(seeds: Seeds) -> bool:
    try:
        HostFact().process(seeds.answer)
    except FactProcessError:
        return False
    return True

"""The HTML page: what stands in it, and that nothing from a host is more than text."""

import re
from collections import Counter
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.choice.choose import Choice
from fleetwheel.host.profile import Driver, DriverState
from fleetwheel.reporting.causes import follow
from fleetwheel.reporting.page import anchors_of, render_page
from fleetwheel.reporting.report import Drift, EnvironmentReport, HostReport, Report, Status
from fleetwheel.sources.wheel import Source
from tests.made_up_fleet import past, report
from tests.samples import GPU_HOST, RTX_4090, choice

AT = datetime(2026, 11, 20, 3, 12, tzinfo=UTC)
EVIL = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>\x1b[2J\x00\u202e{{ 7 * 7 }}"""
STATES = Status.__args__  # type: ignore[attr-defined]
VOID = {"meta", "input", "br", "img", "link", "hr"}


class Page(HTMLParser):
    """Elements, text and balance of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data


def of(*hosts: HostReport, kind: Any = "drift") -> Report:
    return Report(kind=kind, at=AT, hosts=hosts)


def test_hosts_with_what_is_wrong_and_what_mends_it() -> None:
    drift = Drift(
        class_="driver",
        what="driver version",
        expected="580.95.05",
        found="570.1",
        repair="sudo reboot",
    )
    ill = HostReport(name="ws-1", group="lab", status="drifted", profile=GPU_HOST, drift=(drift,))
    page = Page(render_page(of(ill, HostReport(name="ws-2", status="clean"))))
    for words in ("1 of 2 hosts are", "ws-1", "driver version", "570.1", "sudo reboot", "ws-2"):
        assert words in page.text


@pytest.mark.parametrize("kind", ["deploy", "smoke", "drift"])
@pytest.mark.parametrize("status", STATES)
def test_every_state_in_every_kind_of_report(status: Status, kind: str) -> None:
    page = Page(render_page(of(HostReport(name="a", status=status, why="because"), kind=kind)))
    assert status in page.text
    assert "because" in page.text


def test_a_report_of_no_host() -> None:
    assert "The report names no host" in Page(render_page(of())).text


@pytest.mark.parametrize(
    ("states", "headline"),
    [
        (("clean",), "1 of 1 host is as it should be"),
        (("clean", "clean"), "All 2 hosts are as they should be"),
        (("clean", "unreachable"), "1 of 2 hosts are as they should be"),
        (("drifted", "drifted"), "0 of 2 hosts are as they should be"),
    ],
)
def test_the_headline(states: tuple[Status, ...], headline: str) -> None:
    hosts = [HostReport(name=str(number), status=state) for number, state in enumerate(states)]
    html = render_page(of(*hosts))
    assert headline in re.sub(r"\s+", " ", html.partition("<h1>")[2].partition("</h1>")[0])


def everywhere(text: str, several: bool = False) -> HostReport:
    """Return a host that says this in every field that a host or an inventory fills."""
    gpu = RTX_4090.model_copy(update={"name": text, "uuid": text, "pci_bus_id": text})
    driver = Driver(state=DriverState.OK, version=text, detail=text)
    profile = GPU_HOST.model_copy(
        update={
            "arch": text,
            "distribution": text,
            "driver": driver,
            "gpus": (gpu,),
            "problems": (text,),
        }
    )
    chosen = choice(Source(name=text, url=text)).model_copy(
        update={
            "torch": text,
            "variant": text,
            "packages": {text: text},
            "reasons": (text,),
            "python": choice().python.model_copy(update={"version": text}),
        }
    )
    drift = Drift(class_="package", what=text, expected=text, found=text, repair=text)
    smoke = {
        "passed": text,
        "devices": [{"summary": text}, text],
        "faults": [{"meaning": text, "repair": text}],
    }
    inside = EnvironmentReport(
        status="drifted", why=text, choice=chosen, generation=text, smoke=smoke, drift=(drift,)
    )
    more = [inside.model_copy(update={"name": name}) for name in ("vision", "course")]
    return HostReport(
        name=text,
        group=text,
        status="drifted",
        why=text,
        profile=profile,
        drift=(drift,),
        environments=(inside, *more) if several else (inside,),
    )


@pytest.mark.parametrize("several", [False, True])
def test_text_from_hosts_stays_text(several: bool) -> None:
    plain, evil = (of(everywhere(text, several)) for text in ("[plain]", EVIL))
    quiet = Page(render_page(plain, [plain]))
    loud = Page(html := render_page(evil, [evil]))
    assert loud.elements == quiet.elements
    assert [(tag, name) for tag, name, _ in loud.attributes] == [
        (tag, name) for tag, name, _ in quiet.attributes
    ]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", html)
    assert "{{ 7 * 7 }}" in loud.text


@given(st.text(), st.booleans())
def test_any_text_makes_a_page(text: str, several: bool) -> None:
    html = render_page(of(everywhere(text, several)))
    html.encode()
    assert Page(html).elements["script"] == 1


def deployed(name: str, *chosen: Choice, status: Status = "clean", why: str = "") -> HostReport:
    """Return a host with an environment for each choice."""
    names = ("default", *(f"team-{number}" for number in range(1, len(chosen))))
    inside = tuple(
        EnvironmentReport(name=name, status=status, why=why, choice=one)
        for name, one in zip(names, chosen, strict=True)
    )
    return HostReport(name=name, status=status, environments=inside)


def summary(html: str, name: str) -> str:
    """Return the text of the line of a host that is closed."""
    lines = re.findall(r"<summary>(.*?)</summary>", html, re.DOTALL)
    (line,) = [text for text in (Page(f"<p>{line}</p>").text for line in lines) if name in text]
    return re.sub(r"\s+", " ", line).strip()


def test_one_host_with_ten_environments_is_one_line_that_opens() -> None:
    html = render_page(of(deployed("ws-1", *[choice()] * 10)))
    assert summary(html, "ws-1") == "clean ws-1 10 environments"
    page = Page(html)
    assert page.elements["details"] == 12  # with that of the grid
    assert html.count('<details class="environment">') == 10
    assert summary(html, "team-9") == "clean team-9 torch 2.13.0 cpu"


def test_the_environment_in_trouble_is_named_and_open() -> None:
    drift = Drift(class_="package", what="numpy", expected="2", found="1", repair="deploy")
    host = deployed("ws-1", choice(), choice(), choice())
    first, second, third = host.environments
    ill = second.model_copy(update={"status": "drifted", "drift": (drift,)})
    held = third.model_copy(update={"status": "on hold", "why": "rolled back"})
    html = render_page(of(host.with_environments([first, ill, held])))
    assert summary(html, "ws-1") == "drifted ws-1 team-1: numpy 3 environments"
    assert re.findall(r'<details class="environment"( open)?>', html) == ["", " open", ""]
    assert summary(html, "team-2") == "on hold team-2 rolled back torch 2.13.0 cpu"
    assert "<option>package</option>" in html
    assert ("li", "data-class", "package") in Page(html).attributes


@pytest.mark.parametrize(
    ("statuses", "line"),
    [
        ("failed drifted clean", "failed ws-1 default: w-failed; team-1: w-drifted 3 environments"),
        (
            "drifted failed failed",
            "failed ws-1 team-1, team-2: w-failed; default: w-drifted 3 environments",
        ),
        ("changed changed", "changed ws-1 w-changed 2 environments"),
        (
            "failed drifted refused",
            "failed ws-1 default: w-failed; team-2: w-refused; 1 more 3 environments",
        ),
        ("failed failed failed clean", "failed ws-1 3 environments: w-failed 4 environments"),
    ],
)
def test_a_closed_host_says_the_worst_first_and_is_brief(statuses: str, line: str) -> None:
    states = statuses.split()
    host = deployed("ws-1", *[choice()] * len(states))
    inside = [
        each.model_copy(update={"status": state, "why": f"w-{state}\nmore"})
        for each, state in zip(host.environments, states, strict=True)
    ]
    assert summary(render_page(of(host.with_environments(inside))), "ws-1") == line


def test_an_environment_that_is_not_the_default_one_is_named() -> None:
    host = deployed("ws-1", choice())
    vision = [each.model_copy(update={"name": "vision"}) for each in host.environments]
    html = render_page(of(host.with_environments(vision)))
    assert summary(html, "ws-1") == "clean ws-1 vision: torch 2.13.0 cpu"


def test_a_host_counts_once_for_each_torch_that_it_has() -> None:
    old, new = choice(torch="2.12.0+cpu"), choice()
    html = render_page(of(deployed("a", new, new, old), deployed("b", new)))
    bars = re.sub(r"\s+", " ", Page(html.partition("<main>")[2].partition("</main>")[0]).text)
    assert "PyTorch 2.13.0 cpu2 hosts 2.12.0 cpu1 host" in bars


def test_a_password_of_a_source_is_not_shown() -> None:
    chosen = choice(Source(name="lab", url="https://ann:secret@wheels.example/simple"))
    html = render_page(of(deployed("a", chosen)))
    assert "wheels.example" in html
    assert "secret" not in html


def test_nothing_is_fetched() -> None:
    page = Page(html := render_page(report(44), past(44)))
    links = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert links
    assert all(link.startswith("#") for link in links)
    assert not page.elements.keys() & {"link", "img", "iframe", "object", "embed"}
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_only_the_pages_own_script_may_run() -> None:
    policy = next(
        v for _, n, v in Page(render_page(of())).attributes if n == "content" and "src" in v
    )
    assert policy.startswith("default-src 'none'")
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='$", policy)


def test_ids_are_unique_and_links_lead_somewhere() -> None:
    page = Page(render_page(report(44), past(44)))
    ids = Counter(value for _, name, value in page.attributes if name == "id")
    assert max(ids.values()) == 1
    targets = {value for _, name, value in page.attributes if name == "href"}
    assert {target.removeprefix("#") for target in targets} <= ids.keys()


def test_no_host_has_the_id_of_another_part() -> None:
    cause = follow(of(failed := HostReport(name="a", status="failed", why="boom")), []).causes[0].id
    names = ("_filters", "_causes", cause, f"host-{cause}", "ws 1", "ws-1", "")
    hosts = [failed, *(HostReport(name=name, status="failed") for name in names)]
    ids = [value for _, name, value in Page(render_page(of(*hosts))).attributes if name == "id"]
    assert len(ids) == len({*ids})
    assert anchors_of(["ws-1", "_filters"]) == {"ws-1": "ws-1", "_filters": "host-_filters"}


def test_landmarks_and_labels() -> None:
    page = Page(html := render_page(report(44), past(44)))
    assert page.elements["main"] == page.elements["header"] == page.elements["h1"] == 1
    assert ("html", "lang", "en") in page.attributes
    form = html.partition("<form")[2].partition("</form>")[0]
    assert form.count("<label") == form.count("<select") + form.count("<input")


def test_a_picture_of_the_past_needs_a_past() -> None:
    assert "History" not in Page(render_page(report(44))).text
    page = Page(render_page(report(44), past(44)))
    assert "History" in page.text
    assert page.elements["tr"] == 22


NEW = '<span class="tag">new</span>'


def test_new_drift_is_marked() -> None:
    drift = Drift(class_="package", what="numpy", expected="2", found="1", repair="deploy")
    host = HostReport(name="a", status="drifted", drift=(drift,))
    clean = HostReport(name="a", status="clean")
    assert NEW in render_page(of(host), [of(clean)])
    assert NEW not in render_page(of(host), [of(host)])


def test_the_same_drift_is_new_in_another_environment() -> None:
    drift = Drift(class_="package", what="numpy", expected="2", found="1", repair="deploy")
    well, other = deployed("a", choice(), choice()).environments
    ill = [
        each.model_copy(update={"status": "drifted", "drift": (drift,)}) for each in (well, other)
    ]
    host = HostReport(name="a", status="clean")
    before = of(host.with_environments([ill[0], other]))
    assert render_page(of(host.with_environments(ill)), [before]).count(NEW) == 1
    assert NEW not in render_page(before, [before])


def test_nothing_found_is_said_in_words() -> None:
    host = HostReport(name="a", status="clean")
    page = Page(render_page(of(host), [of(host)]))
    assert "nothing was found, then or now" in page.text
    assert "The other hosts" not in page.text


def test_a_reason_is_given_once() -> None:
    host = deployed("a", choice(), status="changed", why="new\nno GPU")
    twice = deployed("a", choice(), status="changed", why=f"new\n{choice().reasons[0]}")
    assert "Why this torch" in render_page(of(host))
    assert "Why this torch" not in render_page(of(twice))


def test_many_versions_share_a_bar() -> None:
    hosts = [deployed(str(n), choice(torch=f"2.{n}.0+cpu")) for n in range(12)]
    assert "5 others" in Page(render_page(of(*hosts))).text


def luminance(colour: str) -> float:
    """Return the relative luminance of ``#rrggbb``, as WCAG 2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1])
@pytest.mark.parametrize("ground", ["ground", "paper"])
def test_contrast(scheme: int, ground: str) -> None:
    blocks = re.findall(r":root \{([^}]*--ink[^}]*)\}", render_page(of()))
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", blocks[scheme]))
    assert len(blocks) == 2
    for name in ("ink", "quiet", "accent", "good", "moved", "held", "drift", "bad", "gone"):
        low, high = sorted((luminance(colours[name]), luminance(colours[ground])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, f"{name} on {ground}"


def test_the_picture_of_the_documentation_has_its_report() -> None:
    """``python -m tests.made_up_fleet tests/fixtures/reports`` writes it again."""
    newest = max(Path("tests/fixtures/reports").glob("*.json"))
    assert Report.model_validate_json(newest.read_text(encoding="utf-8")) == follow(
        report(44), past(44)
    )


def test_a_look_at_one_environment_says_so_and_has_its_own_history() -> None:
    host = HostReport(name="a", status="clean", environments=(EnvironmentReport(status="clean"),))
    look = of(host).model_copy(update={"environments": ("default",)})
    page = Page(render_page(look, [of(HostReport(name="a", status="drifted"))]))
    assert "0 mended" not in page.text and "Since" not in page.text
    assert "1 of 1 host is as it should be: environment default alone" in page.text
    assert "Since" in Page(render_page(look, [look])).text

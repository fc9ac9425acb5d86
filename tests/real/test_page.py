"""The HTML page in a real browser: filters, keyboard, phone, print, and no script at all."""

import base64
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetwheel.reporting.causes import follow
from fleetwheel.reporting.page import render_page
from fleetwheel.reporting.report import HostReport
from tests.browser import Browser
from tests.made_up_fleet import past, report

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium"),
]
Fits = Callable[[HostReport], bool]
SHOWN = 'document.querySelectorAll(".grid li:not([hidden])").length'
ROWS = 'document.querySelectorAll("details.host:not([hidden])").length'


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_page(report(44), past(44)), encoding="utf-8")
    return path


def choose(browser: Browser, name: str, value: str) -> None:
    """Set a filter as a person's hand does, and tell the page."""
    browser.run(
        f"(field => {{ field.value = {value!r};"
        ' field.dispatchEvent(new Event("input", {bubbles: true})); })'
        f'(document.getElementById("_filters").elements[{name!r}])'
    )


def test_it_opens_without_a_word_on_the_console_and_fetches_nothing(
    browser: Browser, page: Path
) -> None:
    browser.open(page)
    assert browser.run(SHOWN) == 44
    assert browser.run('document.getElementById("_filters").hidden') is False
    assert browser.complaints() == []


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("state", "drifted", lambda host: host.status == "drifted"),
        ("class", "driver", lambda host: any(d.class_ == "driver" for d in host.differences)),
        ("class", "package", lambda host: any(d.class_ == "package" for d in host.differences)),
        ("group", "teaching", lambda host: host.group == "teaching"),
        ("text", "h100-0", lambda host: host.name.startswith("h100-0")),
        ("text", "team-g", lambda host: any(e.name == "team-g" for e in host.environments)),
        ("text", "575.64.03", lambda host: "575.64.03" in host.model_dump_json()),
        ("text", "no such host", lambda host: False),
    ],
)
def test_filters(browser: Browser, page: Path, name: str, value: str, fits: Fits) -> None:
    browser.open(page)
    choose(browser, name, value)
    wanted = sum(map(fits, report(44).hosts))
    assert browser.run(SHOWN) == browser.run(ROWS) == wanted
    assert f"{wanted} of 44" in browser.run('document.querySelector("output").textContent')
    names = 'p.querySelectorAll("li[data-state]:not([hidden]), details.host:not([hidden])").length'
    parts = '[...document.querySelectorAll(".group, .hosts")]'
    assert browser.run(f"{parts}.every(p => Boolean(p.offsetHeight) === Boolean({names}))")
    browser.run('document.querySelector("button[type=reset]").click()')
    browser.run("new Promise(done => setTimeout(done, 20))")
    assert browser.run(SHOWN) == 44


def test_filters_narrow_each_other(browser: Browser, page: Path) -> None:
    browser.open(page)
    choose(browser, "state", "clean")
    choose(browser, "text", "rtx 4090")
    clean = [h for h in report(44).hosts if h.status == "clean" and h.group == "workstations"]
    assert browser.run(SHOWN) == len(clean)


def test_the_keyboard_reaches_every_host(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run('document.querySelectorAll(".group").forEach(group => group.open = true)')
    browser.run("new Promise(done => setTimeout(done, 50))")
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "skip"
    for _ in range(60):
        browser.press("Tab")
        if browser.run('document.activeElement.matches(".grid a")'):
            break
    where = 'document.activeElement.querySelector(".name").firstChild.textContent'
    assert browser.run(where) == "render-01"
    seen = []
    for key in ("ArrowRight", "ArrowDown", "ArrowUp", "ArrowLeft", "End", "Home"):
        browser.press(key)
        seen.append(browser.run(where))
    assert seen == ["render-02", "render-08", "render-02", "render-01", "ws-11", "render-01"]
    browser.press("Enter")
    browser.run("new Promise(done => setTimeout(done, 50))")
    details = 'document.activeElement.closest("details")'
    assert browser.run(f"{details}.open") is True
    assert "render-01" in browser.run(f"{details}.textContent")


def test_the_focus_can_be_seen(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.press("Tab")
    browser.press("Tab")
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_scrolls_sideways(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width=width)
    browser.run('document.querySelectorAll("details").forEach(row => row.open = true)')
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.complaints() == []


def test_all_can_be_read_without_scripts(browser: Browser, page: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
        text = browser.run("document.body.textContent")
        assert browser.run('document.getElementById("_filters").offsetHeight') == 0
        assert all(host.name in text for host in report(44).hosts)
        browser.run('document.querySelector("details.host summary").click()')
        assert browser.run('document.querySelector("details.host").open') is True
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("width", [390, 1440])
def test_a_host_with_ten_environments_is_as_high_as_others_until_it_is_opened(
    browser: Browser, page: Path, width: int
) -> None:
    browser.open(page, width=width)
    many = max(report(44).hosts, key=lambda host: len(host.environments))
    host = f"""[...document.querySelectorAll("details.host")].find(
        host => host.querySelector(".name").textContent === {many.name!r})"""
    inner = f'({host}).querySelectorAll("details.environment")'
    heights = browser.run(
        """[...document.querySelectorAll("details.host")].map(host =>
            [host.querySelector(".name").textContent, host.firstElementChild.offsetHeight])"""
    )
    of_others = max(height for name, height in heights if name.startswith("ws-"))
    assert 0 < dict(heights)[many.name] <= of_others
    browser.run(f'({host}).querySelector("summary").click()')
    assert browser.run(f"{inner}.length") == len(many.environments) == 10
    # textContent: what is off the screen has no innerText until it is painted
    shown = browser.run(f'[...{inner}].map(one => one.textContent.replace(/\\s+/g, " "))')
    for environment, text in zip(many.environments, shown, strict=True):
        assert environment.name in text and environment.status in text
        assert environment.choice and f"torch {environment.choice.torch}" in text
    troubled = many.environments[3].status == "drifted"
    assert browser.run(f"{inner}[3].open") is troubled
    browser.run(f"{inner}[3].firstElementChild.focus()")
    browser.press("Enter")
    assert browser.run(f"{inner}[3].open") is not troubled
    assert "Smoke test" in browser.run(f"{inner}[3].textContent")
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_print_names_every_host_of_every_cause(browser: Browser, page: Path) -> None:
    browser.open(page)
    closed = 'document.querySelectorAll(".who:not([open])").length'
    before = browser.run(closed)
    browser.run('dispatchEvent(new Event("beforeprint"))')
    assert browser.run(closed) == 0
    browser.run('dispatchEvent(new Event("afterprint"))')
    assert browser.run(closed) == before == len(follow(report(44), past(44)).causes)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of 300 hosts, of which 42 are not well."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    fleet = report(300)
    assert sum(host.status != "clean" for host in fleet.hosts) == 42
    path.write_text(render_page(fleet, past(300)), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_every_cause_with_its_command_stands_within_two_screens(
    browser: Browser, large: Path, width: int, height: int
) -> None:
    browser.open(large, width=width, height=height)
    shown = browser.run(
        """[...document.querySelectorAll(".cause")].map(cause => [
            cause.querySelector("code").textContent,
            cause.querySelector("code").getBoundingClientRect().height,
            cause.getBoundingClientRect().bottom + scrollY])"""
    )
    causes = follow(report(300), past(300)).causes
    assert [command for command, _, _ in shown] == [cause.command for cause in causes]
    assert len(causes) >= 7
    assert all(high > 15 for _, high, _ in shown)
    assert max(bottom for _, _, bottom in shown) <= 2 * height
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_300_hosts_are_printed_on_ten_pages(browser: Browser, large: Path) -> None:
    browser.open(large)
    printed = base64.b64decode(browser.call("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert 1 <= len(re.findall(rb"/Type /Page\b", printed)) <= 10


def test_a_link_leads_to_a_host_or_a_cause(browser: Browser, page: Path, tmp_path: Path) -> None:
    (cause, *_) = follow(report(44), past(44)).causes
    browser.open(page, fragment="ws-08")
    browser.run("new Promise(done => setTimeout(done, 50))")
    assert browser.run('document.getElementById("ws-08").open') is True
    assert browser.run('document.activeElement.closest("details").id') == "ws-08"
    browser.open(page, fragment=cause.id)
    browser.run("new Promise(done => setTimeout(done, 50))")
    assert browser.run("document.activeElement.id") == cause.id
    browser.run('document.activeElement.querySelector(".who a").click()')
    browser.run("new Promise(done => setTimeout(done, 50))")
    assert browser.run("location.hash") == f"#{cause.names[0]}"
    assert browser.run('document.activeElement.closest("details").id') == cause.names[0]


@pytest.mark.parametrize("name", ["@winssh/ws 4", "good", "%2F", "fleet"])
def test_any_name_of_a_host_can_be_linked_to(browser: Browser, tmp_path: Path, name: str) -> None:
    path = tmp_path / "report.html"
    ill = HostReport(name=name, status="failed", why="it broke")
    path.write_text(render_page(report(3).model_copy(update={"hosts": (ill,)})), encoding="utf-8")
    browser.open(path)
    browser.run('document.querySelector(".who").open = true')
    browser.run('document.querySelector(".who a").click()')
    browser.run("new Promise(done => setTimeout(done, 50))")
    assert browser.run('document.activeElement.closest("details.host").open') is True
    assert browser.complaints() == []


def test_a_command_is_copied_by_keyboard(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run('document.querySelector(".copy").focus()')
    browser.press("Enter")
    browser.run("new Promise(done => setTimeout(done, 100))")
    (cause, *_) = follow(report(44), past(44)).causes
    assert browser.run("getSelection().toString()") == cause.command
    assert browser.run("document.activeElement.textContent") == "Copied"
    assert browser.run('document.querySelector("[role=status]").textContent')
    assert browser.complaints() == []


def test_a_count_is_a_filter(browser: Browser, page: Path) -> None:
    browser.open(page)
    drifted = sum(host.status == "drifted" for host in report(44).hosts)
    count = 'document.querySelector(".count[data-state=drifted]")'
    browser.run(f"{count}.click()")
    assert browser.run(SHOWN) == browser.run(ROWS) == drifted
    assert browser.run(f"{count}.getAttribute('aria-pressed')") == "true"
    shown = 'document.querySelectorAll(".cause:not([hidden])").length'
    causes = follow(report(44), past(44)).causes
    drift = [one for one in causes if one.class_ not in ("failed", "unreachable")]
    assert browser.run(shown) == len(drift) < len(causes)
    browser.run(f"{count}.click()")
    assert browser.run(SHOWN) == 44


def test_groups_in_which_all_is_well_are_folded(browser: Browser, page: Path) -> None:
    browser.open(page)
    groups = browser.run(
        """[...document.querySelectorAll(".group")].map(group =>
            [group.open, group.querySelectorAll("[data-state=clean]").length
                === group.querySelectorAll("[data-state]").length])"""
    )
    assert len(groups) == 4
    assert [open for open, _ in groups] == [not well for _, well in groups]


def test_the_dark_is_dark(browser: Browser, page: Path) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.call("Emulation.setEmulatedMedia", features=[feature])
        browser.open(page)
        grounds.append(browser.run("getComputedStyle(document.body).backgroundColor"))
    browser.call("Emulation.setEmulatedMedia", features=[])
    assert grounds == ["rgb(245, 246, 248)", "rgb(15, 17, 21)"]


def test_500_hosts(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    fleet, earlier = report(500), past(500)
    started = time.monotonic()
    path.write_text(render_page(fleet, earlier), encoding="utf-8")
    made = time.monotonic() - started
    started = time.monotonic()
    browser.open(path)
    shown = time.monotonic() - started
    started = time.monotonic()
    choose(browser, "text", "ws-1")
    count = browser.run(f"(document.body.offsetHeight, {SHOWN})")
    filtered = time.monotonic() - started
    size = path.stat().st_size / 1000
    print(f"\n500 hosts: {size:.0f} kB, made in {made:.2f} s, shown in {shown:.2f} s,", end=" ")
    print(f"filtered in {filtered * 1000:.0f} ms")
    assert count == sum("ws-1" in host.name for host in fleet.hosts)
    assert browser.complaints() == []

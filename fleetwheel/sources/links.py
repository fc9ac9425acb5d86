"""The links of an index page in HTML, read in time that grows with it and in turns with others."""

import codecs
import re
import time
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from typing import NamedTuple, TypeVar
from urllib.parse import urljoin

from fleetwheel.errors import FleetwheelError
from fleetwheel.sources import web

CHARSET = re.compile(rb"""<meta\b[^<>]{0,200}charset=["']?([\w-]{1,40})""", re.IGNORECASE)
CHARSETS = ("utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252")
"""Those that are read as a page says, by Python's names; all others are taken for UTF-8."""
TURN_CHARACTERS = 2**16
"""What is parsed at once, before other work of this process goes on."""
TURN_ITEMS = 1000
MOST_OPEN_CHARACTERS = 2**20
"""The longest tag, comment or script. Each turn looks through it again until it has its end."""
KNOWN_VERSION = re.compile(r"1(\.\d+)*")
"""Versions of the index API. Minor ones add to what is known, which can be read as ever."""

Item = TypeVar("Item")


class PageLink(NamedTuple):
    """An ``a`` element."""

    url: str
    """Absolute."""
    attributes: dict[str, str]
    """With an empty text for those without a value."""


def page_links(page: web.Page) -> list[PageLink]:
    """Return the links of a page in their order, as browsers join them with its ``base``.

    Raises FleetwheelError for a page of another version of the index API, and for a tag, comment
    or script that is longer than ``MOST_OPEN_CHARACTERS``. What comes after one without an end is
    not read.
    """
    parser = _Links()
    text = decoded(page)
    for start in range(0, len(text), TURN_CHARACTERS):
        parser.feed(text[start : start + TURN_CHARACTERS])
        if len(parser.rawdata) > MOST_OPEN_CHARACTERS:
            most = f"{MOST_OPEN_CHARACTERS:,} characters"
            raise FleetwheelError(f"{page.url} has a tag, comment or script of more than {most}")
        time.sleep(0)
    if not KNOWN_VERSION.fullmatch(parser.version):
        version = parser.version[:20]
        raise FleetwheelError(f"{page.url} is no index page of a known version: {version!r}")
    base = urljoin(page.url, parser.base or "")
    some = (link for part in turns(parser.links) for link in part)
    return [PageLink(urljoin(base, link["href"]), link) for link in some]


def turns(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Yield ``TURN_ITEMS`` at a time; between them other work of this process goes on."""
    for start in range(0, len(items), TURN_ITEMS):
        yield items[start : start + TURN_ITEMS]
        time.sleep(0)


def decoded(page: web.Page) -> str:
    """Return the text of a page, in the charset that its server or the page itself names."""
    within = CHARSET.search(page.content[:1024])
    named = page.charset or (within[1].decode() if within else "")
    try:
        charset = codecs.lookup(named or "utf-8").name
    except LookupError:
        charset = "utf-8"
    return page.content.decode(charset if charset in CHARSETS else "utf-8", "replace")


class _Links(HTMLParser):
    """Keeps the links, the first base, and the version that the page says it is of."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[dict[str, str]] = []
        self.base: str | None = None
        self.version = "1.0"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in said:
            self.links.append(said)
        elif tag == "base" and self.base is None:
            self.base = said.get("href")
        elif tag == "meta" and said.get("name") == "pypi:repository-version":
            self.version = said.get("content", "").strip()

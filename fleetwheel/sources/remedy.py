"""What a person can do about a source or a file of one, by what was said when it was asked for."""

import re
from collections.abc import Mapping

FOR_SOURCES = {
    r"CERTIFICATE|SSL": "give pip the authority that signed its certificate: pip config set"
    " global.cert FILE",
    r"status (401|403)": "put user name and password into its address in pip.conf or sources:,"
    " https://USER:PASSWORD@HOST/…",
    r"status 407": "put user name and password into the address of pip's proxy",
    r"status (404|410)": "nothing is there: correct its address in pip.conf or sources:",
    r"status 429": "it takes no more requests for now: run again later",
    r"status 5\d\d": "run again when its server is well",
    r"login page": "open the address in a browser: where it shows a login, put user name and"
    " password into it in pip.conf or sources:",
    r"no index page|other names alone": "correct its address in pip.conf or sources: that of an"
    " index ends with /simple/ as a rule, that of one page of links with .html",
    r"does not exist|in it$": "mount or fill the directory, or take it out of pip.conf or sources:",
}
"""By a pattern of what was said."""
FOR_FILES = {
    r"status (404|410)": "its page names a file that is not there: ask who keeps the source",
    r"another \w+ than|no wheel that can be read|larger than any": "the file was changed or damaged"
    " there: ask who keeps the source",
}
UNREACHED = "check its address, the network and the proxy that pip is configured with"


def source_remedy(failure: str) -> str:
    """Return what to do about a source that gave no answer."""
    return _first(FOR_SOURCES, failure) or UNREACHED


def file_remedy(failure: str) -> str:
    """Return what to do about a file of a source that did not come."""
    return _first(FOR_FILES, failure) or source_remedy(failure)


def _first(remedies: Mapping[str, str], failure: str) -> str | None:
    return next((do for said, do in remedies.items() if re.search(said, failure)), None)

"""A choice as lines for somebody's own project: the index of the torch family, and its pins."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fleetwheel.choice.choose import Choice
from fleetwheel.sources.address import on_network
from fleetwheel.sources.wheel import Source


def uv_lines(choice: Choice, source: Source) -> str:
    """Return what a pyproject.toml needs so that uv takes the torch family from this source.

    Only the family: with ``explicit`` uv asks that index for nothing else.
    """
    index = f"torch-{choice.variant}"
    login = [f"# The index wants a login: UV_INDEX_{_variable(index)}_USERNAME and _PASSWORD."]
    limits = ["[tool.uv]", f"constraint-dependencies = {_quoted(choice.limits)}", ""]
    flat = ['format = "flat"'] if source.layout == "flat" else []
    lines = [
        _about(choice),
        *(login if source.redacted != source.url else ()),
        "# For the pyproject.toml that is there; a new one needs name and version too.",
        "[project]",
        f"requires-python = {_quoted(f'>={choice.python.minor}')}",
        "dependencies = [",
        *(f"    {_quoted(each)}," for each in _requirements(choice)),
        "]",
        "",
        *(limits if choice.limits else ()),
        "[[tool.uv.index]]",
        f"name = {_quoted(index)}",
        f"url = {_quoted(_address(source))}",
        "explicit = true",
        *flat,
        "",
        "[tool.uv.sources]",
        *(f"{name} = {{ index = {_quoted(index)} }}" for name in choice.packages),
    ]
    return "\n".join(lines)


def requirements_lines(choice: Choice, source: Source) -> str:
    """Return a requirements file that pip and uv read; the index comes beside their own."""
    option = "--find-links" if source.layout == "flat" else "--extra-index-url"
    login = ["# The index wants a login: put it into ~/.netrc."]
    asked = {_name(each) for each in choice.requirements}
    limits = [each for each in choice.limits if _name(each) in asked]
    others = [each for each in choice.limits if _name(each) not in asked]
    lines = [
        _about(choice),
        *(login if source.redacted != source.url else ()),
        f"{option} {_address(source)}",
        *_requirements(choice),
        *limits,
        *(f"# should you add it: {each}" for each in others),
    ]
    return "\n".join(lines)


FORMATS: Mapping[str, Callable[[Choice, Source], str]] = {
    "uv": uv_lines,
    "requirements": requirements_lines,
}


def _about(choice: Choice) -> str:
    release = f"torch {choice.torch} for {choice.variant}"
    return f"# {release} and Python {choice.python.minor}, chosen by fleetwheel"


def _requirements(choice: Choice) -> list[str]:
    """Return the family pinned, and what else was asked for."""
    family = [f"{name}=={version}" for name, version in choice.packages.items()]
    return [*family, *choice.requirements]


def _name(requirement: str) -> str:
    return canonicalize_name(Requirement(requirement).name)


def _address(source: Source) -> str:
    """Return the address without a login; of a directory as ``file:``, whatever is in its name."""
    if on_network(source.url) or re.match("file:", source.url, re.IGNORECASE):
        return source.redacted
    return Path(source.url).as_uri()


def _variable(name: str) -> str:
    return re.sub(r"\W", "_", name).upper()


def _quoted(value: str | Sequence[str]) -> str:
    """Return a string of TOML, or a list of them, which JSON's are but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")

"""Filling in templates: those of the project directory, or else of the distribution."""

from pathlib import Path

from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    select_autoescape,
)

from fleetwheel.project import ORIGIN

_environment = Environment(
    loader=FileSystemLoader([Path("templates"), ORIGIN / "templates"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    keep_trailing_newline=True,
    autoescape=select_autoescape(["html.j2"]),
)


def render(name: str, **values: object) -> str:
    """Return ``templates/<name>`` filled in; a value that it names and does not get is an error."""
    return _environment.get_template(name).render(**values)

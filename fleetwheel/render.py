"""Filling in the templates of templates/."""

from pathlib import Path

from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    select_autoescape,
)

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    undefined=StrictUndefined,
    trim_blocks=True,
    keep_trailing_newline=True,
    autoescape=select_autoescape(["html.j2"]),
)


def render(name: str, **values: object) -> str:
    """Return ``templates/<name>`` filled in; a value that it names and does not get is an error."""
    return _environment.get_template(name).render(**values)

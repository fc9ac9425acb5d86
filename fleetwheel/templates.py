"""Filling in the templates of the project directory."""

from pathlib import Path

from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    TemplateNotFound,
    select_autoescape,
)

from fleetwheel.errors import FleetwheelError

_environment = Environment(
    loader=FileSystemLoader(Path("templates")),
    undefined=StrictUndefined,
    trim_blocks=True,
    keep_trailing_newline=True,
    autoescape=select_autoescape(["html.j2"]),
)


def render(name: str, **values: object) -> str:
    """Return ``templates/<name>`` filled in; a value that it names and does not get is an error."""
    try:
        return _environment.get_template(name).render(**values)
    except TemplateNotFound as error:
        words = f"templates/{name} is not in this directory"
        raise FleetwheelError(words, hint="run in the root of the clone") from error

"""Filling in the templates of the project directory."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_environment = Environment(
    loader=FileSystemLoader(Path("templates")),
    undefined=StrictUndefined,
    trim_blocks=True,
    keep_trailing_newline=True,
    autoescape=lambda name: bool(name) and ".html" in str(name),
)


def render(name: str, **values: object) -> str:
    """Return ``templates/<name>`` filled in; a value that it names and does not get is an error."""
    return _environment.get_template(name).render(**values)

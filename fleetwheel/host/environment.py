"""The name of an environment: a host may have several side by side."""

import re
from typing import Annotated

from pydantic import AfterValidator

DEFAULT = "default"
"""What an inventory asks for outside of ``environments:``; ``<root>/current`` leads to it."""
NAME = re.compile("[a-z][a-z0-9_-]{0,31}")
DEVICES = re.compile("con|prn|aux|nul|com[0-9]|lpt[0-9]")
"""Source: "Naming Files, Paths, and Namespaces" of Microsoft's documentation."""


def _environment_name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(
            f"{value[:40]!r} is not a name for an environment: use a small letter, then up to 31"
            " small letters, digits, - and _"
        )
    if DEVICES.fullmatch(value):
        raise ValueError(f"{value!r} is the name of a device on Windows")
    return value


EnvironmentName = Annotated[str, AfterValidator(_environment_name)]

"""The name of an environment: a host may have several side by side."""

import re
from typing import Annotated

from pydantic import AfterValidator

DEFAULT = "default"
"""What an inventory asks for outside of ``environments:``; ``<root>/current`` leads to it."""
NAME = re.compile("[a-z][a-z0-9_-]{0,31}")
DEVICES = re.compile("con|prn|aux|nul|com[0-9]|lpt[0-9]")
"""Source: "Naming Files, Paths, and Namespaces" of Microsoft's documentation."""


def environment_name(value: str) -> str:
    """Return a name that an environment can have; ValueError says why it cannot."""
    if not NAME.fullmatch(value):
        raise ValueError(
            f"{value[:40]!r} is not a name for an environment: use a lowercase letter, then up to"
            " 31 lowercase letters, digits, - and _"
        )
    if DEVICES.fullmatch(value):
        raise ValueError(f"{value!r} is the name of a device on Windows")
    return value


EnvironmentName = Annotated[str, AfterValidator(environment_name)]

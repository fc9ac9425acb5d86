"""A variant of a build: what it computes on, ``cpu`` or a version of CUDA such as ``cu130``."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True, slots=True)
class Variant:
    """A runtime and its version, written as in the local label of a wheel."""

    runtime: Literal["cpu", "cuda"]
    version: tuple[int, ...] = ()
    """``(13, 0)`` for ``cu130``; empty for the CPU."""

    @classmethod
    def parse(cls, text: str) -> "Variant":
        """Return the variant of ``cpu`` or ``cu130``; ValueError for anything else."""
        return _parse(text)

    @property
    def cpu(self) -> bool:
        """Whether it is the build without a GPU runtime."""
        return self.runtime == "cpu"

    def __str__(self) -> str:
        return self.runtime if self.cpu else "cu" + "".join(map(str, self.version))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read and write it as its text."""
        return core_schema.no_info_plain_validator_function(
            _value, serialization=core_schema.to_string_ser_schema()
        )


CPU = Variant("cpu")


def variant_or_none(text: str | None) -> Variant | None:
    """Return the variant that a text names; None where it names none."""
    try:
        return _parse(text or "")
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _parse(text: str) -> Variant:
    if text == "cpu":
        return CPU
    match = re.fullmatch(r"cu([7-9]|[1-9][0-9])([0-9])", text)
    if match is None:
        raise ValueError(f"{text!r} is no variant such as cpu or cu130")
    return Variant("cuda", (int(match[1]), int(match[2])))


def _value(value: object) -> Variant:
    if isinstance(value, Variant):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no variant such as cpu or cu130")
    return _parse(value)

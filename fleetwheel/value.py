"""The base of every value: immutable, and checked when it is made."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from typing_extensions import override


class Value(BaseModel):
    """An immutable value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @override
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, without what cached properties of the original have computed."""
        copy = super().model_copy(update=update, deep=deep)
        fields = type(self).model_fields
        for name in [name for name in copy.__dict__ if name not in fields]:
            del copy.__dict__[name]
        return copy

    def to_json(self) -> dict[str, Any]:
        """Return the value as plain JSON types, which is what ``pyinfra INVENTORY fact`` prints."""
        return self.model_dump(mode="json")

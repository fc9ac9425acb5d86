"""The copy of its lock that a generation keeps."""

from pyinfra.api import FactBase, QuoteString, StringCommand
from typing_extensions import override

from fleetwheel.facts._question import on_windows


class LockCopy(FactBase[str | None]):
    """
    Returns the text of the lock that a generation was installed from, ``None`` without one.

    + generation: path of the generation, ``/opt/fleetwheel/envs/<id>``

    .. code:: python

        'lock-version = "1.0"\\ncreated-by = "uv"\\n...'
    """

    @override
    def command(self, generation: str) -> StringCommand:
        path = QuoteString(f"{generation}/pylock.toml")
        if on_windows():
            path = QuoteString(f"{generation}/pylock.toml".replace("/", "\\"))
            return StringCommand("if exist", path, "type", path)
        return StringCommand("! test -e", path, "|| cat", path)

    @override
    def process(self, output: list[str]) -> str | None:
        return "\n".join(output) + "\n"

"""A team's files are read within bounds: their size, their kind, and the directory they lie in."""

import codecs
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

from fleetwheel.errors import FleetwheelError

LARGEST = 8 * 2**20
"""Bytes of a file; a uv.lock of 1000 packages has about 3 MB."""
FEWER = "it is generated or wrong: name the file that lists the packages"


def resolved(path: Path, base: Path, said: str) -> Path:
    """Return a file without links; FleetwheelError where it is none below ``base``.

    ``said`` is what people call it.
    """
    real, directory = Path(os.path.realpath(path)), Path(os.path.realpath(base))
    if not real.is_relative_to(directory):
        raise FleetwheelError(
            f"{said} leads to {real}, outside of {directory}",
            hint="put the file itself there: a team's files are read below one directory alone",
        )
    return real


def read_bytes(path: Path, base: Path, said: str) -> bytes:
    """Return the content of a file below ``base``.

    Raises FleetwheelError for what is not there, no file, too large, or elsewhere.
    """
    real = resolved(path, base, said)
    try:
        handle = os.open(real, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise FleetwheelError(f"{said} is no file", hint="name a file there")
            content = file.read(LARGEST + 1)
    except OSError as error:
        hint = f"paths are relative to the project directory, {Path.cwd()}"
        raise FleetwheelError(f"{said} cannot be read: {error.strerror}", hint=hint) from error
    if len(content) > LARGEST:
        raise FleetwheelError(f"{said} has more than {LARGEST >> 20} MB", hint=FEWER)
    return content


def unmarked_text(content: bytes, said: str) -> str:
    """Return a text file's content, without the mark of its encoding.

    UTF-16 is what PowerShell 5 writes for ``pip freeze > requirements.txt``.
    """
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise FleetwheelError(f"{said} is no text in UTF-8", hint="save it as UTF-8") from error
    if "\0" in text:
        raise FleetwheelError(f"{said} is no text: it has a NUL in it", hint="save it as UTF-8")
    return text


def toml(content: bytes, said: str) -> dict[str, Any]:
    """Return a TOML document; FleetwheelError with the line where it is none."""
    try:
        return tomllib.loads(unmarked_text(content, said).replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise FleetwheelError(f"{said} is no TOML: {error}", hint="correct it") from error

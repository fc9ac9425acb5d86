"""Commands that differ between the systems of hosts."""

from pyinfra.api import Host, QuoteString, StringCommand

from fleetwheel.connection.winssh import is_windows

SHARED = "umask 022;"
"""All users of a machine read what stands under the root, wherever root's own files are closed."""


def program(host: Host, path: str, *arguments: str, timeout: int) -> StringCommand:
    """
    Return what runs a program of the host that may take so long.

    + path: of the program, with slashes of either kind
    + timeout: seconds after which a Linux host ends it; Windows has nothing for that, and there
      the connector ends it
    """
    words = [QuoteString(argument) for argument in arguments]
    if is_windows(host):
        return StringCommand(_windows_path(path), *words)
    limited = ("timeout", "-k", "10", str(timeout))
    return StringCommand(SHARED, *limited, QuoteString(path), *words)


def make_directory(host: Host, path: str) -> StringCommand:
    """Return what makes a directory that all can read, and those above it, if it is not there."""
    if is_windows(host):
        there = _windows_path(path)
        return StringCommand("if not exist", there, "md", there)
    return StringCommand(SHARED, "mkdir", "-p", QuoteString(path))


def make_program(host: Host, sent: str, path: str) -> StringCommand:
    """Return what puts a file that was sent in the place of a program; on Windows an ``.exe``."""
    if is_windows(host):
        return StringCommand("move /y", _windows_path(sent), _windows_path(f"{path}.exe"))
    ready = StringCommand("chmod", "755", QuoteString(sent))
    return StringCommand(ready, "&& mv -f", QuoteString(sent), QuoteString(path))


def read_file(host: Host, path: str) -> StringCommand:
    """Return what prints a file, and nothing where there is none."""
    if is_windows(host):
        return StringCommand("type", _windows_path(path), "2>nul")
    return StringCommand("cat", QuoteString(path), "2>/dev/null")


def _windows_path(path: str) -> QuoteString:
    """Return a path as cmd takes it, for which a slash begins an option."""
    return QuoteString(path.replace("/", "\\"))

"""Commands that differ between the systems of hosts."""

from pyinfra.api import Host, QuoteString, StringCommand

from fleetwheel.connection.winssh import is_windows
from fleetwheel.host.trust import Trust
from fleetwheel.node.trust import rule
from fleetwheel.operations import _windows_root

SHARED = "umask 022;"
"""All users of a machine read what stands under the root, wherever root's own files are closed."""


def program(host: Host, path: str, *arguments: str, timeout: int) -> StringCommand:
    """
    Return what runs a program of the host that may take so long.

    It makes no files where TMPDIR says, which may be a directory of another user.

    + path: of the program, with slashes of either kind
    + timeout: seconds after which a Linux host ends it; Windows has nothing for that, and there
      the connector ends it
    """
    words = [QuoteString(argument) for argument in arguments]
    if is_windows(host):
        return StringCommand(_windows_path(path), *words)
    limited = ("timeout", "-k", "10", str(timeout))
    return StringCommand(SHARED, "unset TMPDIR TEMP TMP;", *limited, QuoteString(path), *words)


def make_directory(host: Host, path: str) -> StringCommand:
    """Return what makes a directory that all can read, and those above it, if it is not there."""
    if is_windows(host):
        there = _windows_path(path)
        return StringCommand("if not exist", there, "md", there)
    return StringCommand(SHARED, "mkdir", "-p", QuoteString(path))


def make_own_directory(host: Host, path: str, trust: Trust) -> StringCommand:
    """
    Return what makes a directory that nobody else can change, and fails where another was first.

    + path: below the root directory, which may not have been there when the host was asked
    + trust: whom the host believes besides root and the acting user
    """
    if is_windows(host):
        return _windows_root.make_closed_directory(path)
    return _script(rule() + MAKE_OWN, path, " ".join(trust.users), " ".join(trust.groups))


MAKE_OWN = """
umask 022
PATH=/usr/bin:/bin:$PATH
know_trusted "$2" "$3"
until trusts "$1"; do
    if [ "$absent" ] && { mkdir -- "$at" || trusts "$at"; }; then continue; fi
    echo "$1 is not used: $why" >&2
    exit 1
done
"""
"""Each directory is made by itself and looked at: somebody else may be first with any of them."""


def make_uv(host: Host, directory: str, name: str, sha256: str) -> StringCommand:
    """
    Return what puts the uv that was sent, ``uv.new``, in its place if it is the one that was meant.

    + directory: ``bin`` below the root directory
    + name: what it is called there, with a link ``uv`` to it, or ``uv.exe`` on Windows
    + sha256: its hash, which Windows has no command for that answers by its exit status
    """
    if is_windows(host):
        return _windows_root.name_uv(directory, name)
    return _script(MAKE_UV, directory, name, sha256)


MAKE_UV = """
cd -- "$1" && echo "$3  uv.new" | sha256sum -c >&2 || exit
chmod 755 uv.new && mv -f uv.new "$2" && ln -sfn "$2" uv
"""


def _script(text: str, *values: str) -> StringCommand:
    return StringCommand("sh", "-c", QuoteString(text), "sh", *map(QuoteString, values))


def read_file(host: Host, path: str) -> StringCommand:
    """Return what prints a file, and nothing where there is none."""
    if is_windows(host):
        return StringCommand("type", _windows_path(path), "2>nul")
    return StringCommand("cat", QuoteString(path), "2>/dev/null")


def _windows_path(path: str) -> QuoteString:
    """Return a path as cmd takes it, for which a slash begins an option."""
    return QuoteString(path.replace("/", "\\"))

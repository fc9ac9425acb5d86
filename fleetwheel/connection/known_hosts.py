"""What known_hosts says of a host's keys, whom else one may believe, and a key written there."""

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from paramiko import HostKeys, PKey, SSHException
from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

from fleetwheel import files
from fleetwheel.errors import FleetwheelError

TYPES = {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}
"""ssh-keygen's words for types of keys; the others here are ECDSA."""


class KnownKey(NamedTuple):
    """A key that a file has for a host."""

    path: Path
    line: int
    key: PKey


def entry_name(host: str, port: int) -> str:
    """Return what known_hosts calls a host."""
    return host if port == 22 else f"[{host}]:{port}"


def described_key(key: PKey, name: str) -> str:
    """Return a key as ``ssh-keygen -l`` prints it."""
    return f"{key.get_bits()} {key.fingerprint} {name} ({TYPES.get(key.get_name(), 'ECDSA')})"


def fingerprint(text: str) -> str:
    """Return a fingerprint as ssh-keygen writes it; ValueError for anything else."""
    if not re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}=?", text):
        raise ValueError(f"{text!r} is no fingerprint such as SHA256: and 43 letters and digits")
    return text.rstrip("=")


def lookup(paths: Iterable[Path], name: str) -> list[KnownKey]:
    """Return the keys that known_hosts files have for a host, under hashed names too.

    Raises FleetwheelError where a file cannot be read, or has a line that keeps others from it.
    """
    return [
        KnownKey(path, number, entry.key)
        for path in paths
        for number, line in _lines(path)
        if (entry := _entry(path, number, line, name)) and entry.key
    ]


def refuse_changed(name: str, offered: Sequence[PKey], known: Sequence[KnownKey]) -> None:
    """Raise FleetwheelError where a host offers another key than the one that is known of it.

    A host that offers no key of a known type has other keys as well. Revoked keys are refused too.
    """
    types = {key.get_name() for key in offered}
    of_no_type = not types & {key.get_name() for _, _, key in known}
    for path, line, key in known:
        if key not in offered and (key.get_name() in types or of_no_type):
            raise FleetwheelError(
                f"THE HOST KEY HAS CHANGED. {path}:{line} has\n"
                f"  {described_key(key, name)}\nand the host offers\n  {_list(offered, name)}\n"
                "Either it was installed anew, or something else answers in its place.",
                hint="ask who runs it; if it was installed anew: "
                + shlex.join(["ssh-keygen", "-R", name, "-f", str(path)]),
            )


def refuse_revoked(paths: Iterable[Path], offered: Sequence[PKey]) -> None:
    """Raise FleetwheelError where a host offers a key that a file marks as revoked."""
    offers = {key.get_base64() for key in offered}
    for path in paths:
        for number, line in _lines(path):
            if line.startswith("@revoked") and offers & set(line.split()):
                raise FleetwheelError(
                    f"offers a host key that {path}:{number} marks as revoked",
                    hint="ask who runs it; a revoked key may be in other hands",
                )


def refuse_unvouched(name: str, offered: Sequence[PKey], prints: Collection[str]) -> None:
    """Raise FleetwheelError where fingerprints are given and none is that of an offered key."""
    if prints and not any(key.fingerprint in prints for key in offered):
        raise FleetwheelError(
            f"offers no host key with the fingerprint given, but\n  {_list(offered, name)}",
            hint="compare it on the host: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        )


def sufficient(held: Sequence[PKey], offered: Sequence[PKey]) -> bool:
    """Return whether paramiko connects knowing these keys alone: it takes RSA where all is RSA."""
    only_rsa = all(key.get_name() == "ssh-rsa" for key in offered)
    return any(only_rsa or key.get_name() != "ssh-rsa" for key in held)


def add(path: Path, name: str, keys: Sequence[PKey]) -> None:
    """Add keys of a host to a file in one step; it and a directory made for it are the user's own.

    Raises FleetwheelError where that cannot be done.
    """
    path = path.expanduser().resolve()
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        text += "" if not text or text.endswith("\n") else "\n"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.replace(path, text + "".join(line(name, key) for key in keys), 0o600)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FleetwheelError(f"{path}: cannot be written: {reason}") from error


def line(name: str, key: PKey) -> str:
    """Return a key as a line of known_hosts."""
    return f"{name} {key.get_name()} {key.get_base64()}\n"


def _list(keys: Sequence[PKey], name: str) -> str:
    return "\n  ".join(described_key(key, name) for key in keys)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Return the lines that say something, with their numbers from 1."""
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FleetwheelError(f"{path}: cannot be read: {reason}") from error
    for number, content in enumerate(text.split("\n"), 1):
        if content.strip() and not content.lstrip().startswith("#"):
            yield number, content.strip()


def _entry(path: Path, number: int, content: str, name: str) -> HostKeyEntry | None:
    """Return the key on a line if it is this host's, and paramiko knows its type."""
    try:
        entry = HostKeyEntry.from_line(content, number)
        names = entry.hostnames or [] if entry else []
        return entry if any(_same(name, pattern) for pattern in names) else None
    except SSHException:
        return None
    except (InvalidHostKey, AssertionError, ValueError) as error:
        raise FleetwheelError(
            f"{path}:{number}: is no host key, and pyinfra reads no line behind it",
            hint="mend or remove the line",
        ) from error


def _same(name: str, written: str) -> bool:
    return written == name or (
        written.startswith("|1|") and HostKeys.hash_host(name, written) == written
    )

"""What a host that is to be the mirror has for it."""

from pydantic import Field
from pyinfra.api import FactBase, QuoteString, StringCommand
from typing_extensions import override

from fleetwheel.value import Value

QUESTION = """
for nginx in "$(command -v nginx)" /usr/sbin/nginx /usr/local/sbin/nginx; do
    if test -x "$nginx"; then echo "nginx $nginx"; break; fi
done
if test -d /run/systemd/system; then echo systemd; fi
if test "$(id -u)" = 0; then echo root; fi
sed -n 's/^nameserver  *\\([0-9a-fA-F.:]*\\).*/nameserver \\1/p' /etc/resolv.conf
echo "user $(id -un)"
cd "$0" 2>/dev/null || exit 0
for name in . cache run nginx.conf ca.pem "$1"; do
    LC_ALL=C stat -c "place $name %U %a %F" -- "$name" 2>/dev/null
    if test -f "$name" && test ! -L "$name"; then sha256sum "$name"; fi
done
exit 0
"""


class Ground(Value):
    """What there is to build a mirror on."""

    nginx: str | None = None
    """Path of the program."""
    systemd: bool = False
    root: bool = False
    """Whether commands run as root."""
    user: str = ""
    """Name of the user that commands run as."""
    nameservers: tuple[str, ...] = ()
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the mirror's files by name, and of its unit by path."""
    places: dict[str, str] = Field(default_factory=dict)
    """Owner, mode and kind of each of them and of its directories; ``.`` is the one of all."""


class MirrorGround(FactBase[Ground]):
    """
    Returns what a host has for a mirror.

    + directory: the mirror's directory, ``/opt/fleetwheel/mirror``
    + unit: path of its unit of systemd

    .. code:: python

        {
            "nginx": "/usr/sbin/nginx",
            "systemd": True,
            "root": True,
            "user": "root",
            "nameservers": ["192.0.2.53"],
            "files": {"nginx.conf": "0bf2a864d67e...", "ca.pem": "325ff22f358c..."},
            "places": {".": "root 755 directory", "cache": "fleetwheel-mirror 700 directory"},
        }
    """

    @override
    def command(self, directory: str, unit: str) -> StringCommand:
        values = map(QuoteString, (QUESTION, directory, unit))
        return StringCommand("sh", "-c", *values)

    @override
    def process(self, output: list[str]) -> Ground:
        words = [line.split() for line in output if line.strip()]
        pairs = [pair for pair in words if len(pair) == 2]
        said = dict(pairs)
        return Ground(
            nginx=said.get("nginx"),
            systemd=["systemd"] in words,
            root=["root"] in words,
            user=said.get("user", ""),
            nameservers=tuple(value for key, value in pairs if key == "nameserver"),
            files={name: hash for hash, name in pairs if len(hash) == 64},
            places={found[1]: " ".join(found[2:]) for found in words if found[0] == "place"},
        )

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
cd "$0" 2>/dev/null && for file in *; do
    if test -f "$file"; then sha256sum "$file"; fi
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
    nameservers: tuple[str, ...] = ()
    files: dict[str, str] = Field(default_factory=dict)
    """Name to SHA-256 of what the mirror's directory holds."""


class MirrorGround(FactBase[Ground]):
    """
    Returns what a host has for a mirror.

    + directory: the mirror's directory, ``/opt/fleetwheel/mirror``

    .. code:: python

        {
            "nginx": "/usr/sbin/nginx",
            "systemd": True,
            "root": True,
            "nameservers": ["192.0.2.53"],
            "files": {"nginx.conf": "0bf2a864d67e...", "ca.pem": "325ff22f358c..."},
        }
    """

    @override
    def command(self, directory: str) -> StringCommand:
        return StringCommand("sh", "-c", QuoteString(QUESTION), QuoteString(directory))

    @override
    def process(self, output: list[str]) -> Ground:
        words = [line.split() for line in output]
        pairs = [pair for pair in words if len(pair) == 2]
        said = dict(pairs)
        return Ground(
            nginx=said.get("nginx"),
            systemd=["systemd"] in words,
            root=["root"] in words,
            nameservers=tuple(value for key, value in pairs if key == "nameserver"),
            files={name: hash for hash, name in pairs if len(hash) == 64},
        )

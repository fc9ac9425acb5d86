"""Why a host cannot be reached, in words that are the same for all hosts."""

from socket import gaierror

from paramiko import AuthenticationException, BadHostKeyException, SSHException

UNKNOWN = ("no connection", "see that it is switched on, and that `ssh` gets in from here")
REASONS: tuple[tuple[type[BaseException], tuple[str, str]], ...] = (
    (gaierror, ("its name is not known here", "correct the name in the inventory, or the DNS")),
    (
        BadHostKeyException,
        (
            "its host key is another than the known one",
            "if the host was set up again, `ssh-keygen -R HOST`, then `fleetwheel add HOST`;"
            " if not, somebody may stand between",
        ),
    ),
    (
        AuthenticationException,
        ("it lets nobody in with this user and key", "see ssh_user and ssh_key in the inventory"),
    ),
    (SSHException, ("SSH to it fails", "`ssh -v` from here shows where")),
    (OSError, ("it does not answer", "see that it is switched on, and its SSH port open")),
)
"""What an attempt ended with, the more exact first."""


def why_unreachable(error: BaseException | None = None) -> tuple[str, str]:
    """Return what is wrong and what ends it; ``error`` is what the attempt ended with.

    pyinfra's ConnectError is a text; what it was raised for is its context.
    """
    while error is not None:
        for kind, words in REASONS:
            if isinstance(error, kind):
                return words
        error = error.__cause__ or error.__context__
    return UNKNOWN

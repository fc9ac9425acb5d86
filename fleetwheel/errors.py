"""What fleetwheel raises for something a person has to mend."""


class FleetwheelError(Exception):
    """What happened, and in ``hint`` the command, setting or version that mends it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def message(self) -> str:
        """What happened, without the hint."""
        return super().__str__()

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class NotBegunError(FleetwheelError):
    """A host was left as it is, because hosts before it did not end well."""


class SudoPasswordError(FleetwheelError):
    """sudo on a host asks for a password, and nobody can type one."""

    def __init__(self) -> None:
        super().__init__(
            "sudo asks for a password there, and here is no terminal to type it at",
            hint="let sudo ask this user for none (NOPASSWD), log in as root, or run at a terminal",
        )

"""The one exception that fleetwheel raises for something a person has to mend."""


class FleetwheelError(Exception):
    """What happened, and in ``hint`` the command, setting or version that mends it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n  hint: {self.hint}" if self.hint else message

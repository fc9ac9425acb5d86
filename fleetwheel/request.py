"""What the inventory asks of a host: the second input of every choice."""

from fleetwheel.profile import Value


class Request(Value):
    """Which PyTorch a host should get; the defaults are those of an empty inventory."""

    torch: str | None = None
    """``2.14.1``, ``2.14``, specifiers such as ``>=2.10,<2.13``, or None for the newest."""
    accelerator: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or a variant such as ``cu126``."""
    packages: tuple[str, ...] = ("numpy",)
    """Requirements to install beside torch; torchvision and torchaudio get the right partner."""
    python: str | None = None
    """A minor version such as ``3.11`` or ``3.14t``; None is the newest that has a wheel."""
    gpus: tuple[int | str, ...] | None = None
    """Indexes, UUIDs or names of the GPUs that must be served; None is all of them."""

"""Choose, lock and describe PyTorch environments: the part of fleetwheel that knows no pyinfra."""

__version__ = "0.1.0"

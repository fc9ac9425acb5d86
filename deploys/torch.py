"""Give every host the newest PyTorch that runs on all of its GPUs, tested before it is used.

pyinfra inventory.py deploys/torch.py
"""

from fleetwheel.operations import torch
from fleetwheel.operations.settings import settings

torch.environment(
    name="Install the PyTorch that suits this host",
    settings=settings(),
)

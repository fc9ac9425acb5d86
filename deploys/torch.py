"""Give every host the newest PyTorch that runs on all of its GPUs, tested before it is used.

pyinfra inventory.py deploys/torch.py
"""

from fleetwheel.settings import Settings
from pyinfra import host

from operations import torch

torch.environment(
    name="Install the PyTorch that suits this host",
    settings=Settings.from_data(host.data.dict()),
)

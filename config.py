"""pyinfra's settings for this project, read before anything else."""

import logging
import sys

from pyinfra import config

config.REQUIRE_PYINFRA_VERSION = ">=3.10,<4"
config.PARALLEL = 200

# pyinfra looks here last, so that any "facts" in site-packages would stand before ours.
sys.path.insert(0, ".")

# What paramiko logs with a traceback is what the host's own error says in a sentence.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

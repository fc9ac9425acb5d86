"""pyinfra's settings for this project, and what it does when a run ends: read before all else."""

import logging

from pyinfra import config
from pyinfra.api.exceptions import PyinfraError

config.REQUIRE_PYINFRA_VERSION = ">=3.10,<4"
config.PARALLEL = 200

# What paramiko logs with a traceback is what the host's own error says in a sentence.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

try:
    from fleetwheel.errors import FleetwheelError
    from fleetwheel.operations._command_line import refuse_idle_run
    from fleetwheel.operations._entry import guard
    from fleetwheel.operations._report import report_at_exit
except ModuleNotFoundError as error:
    raise PyinfraError(f"{error}: this pyinfra has no fleetwheel; .venv/bin has one") from None

try:
    refuse_idle_run()
except FleetwheelError as error:
    raise PyinfraError(str(error)) from None
guard()
report_at_exit()

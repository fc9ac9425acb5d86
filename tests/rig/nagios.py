"""Debian's Nagios 4 out of its package, run by hand on one service: nothing is installed."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rig import daemons

PACKAGE = "nagios4-core"
PROGRAM = "usr/sbin/nagios4"
MAIN = """\
cfg_file={place}/objects.cfg
log_file={place}/nagios.log
object_cache_file={place}/objects.cache
precached_object_file={place}/objects.precache
status_file={place}/status.dat
state_retention_file={place}/retention.dat
lock_file={place}/nagios.pid
temp_file={place}/nagios.tmp
temp_path={place}
check_result_path={place}
query_socket={place}/nagios.qh
command_file={place}/nagios.cmd
check_external_commands=0
use_syslog=0
status_update_interval=1
interval_length=1
process_performance_data=0
"""
OBJECTS = """\
define timeperiod {{
    timeperiod_name  always
    alias            always
    sunday           00:00-24:00
    monday           00:00-24:00
    tuesday          00:00-24:00
    wednesday        00:00-24:00
    thursday         00:00-24:00
    friday           00:00-24:00
    saturday         00:00-24:00
}}
define command {{
    command_name     fleetwheel
    command_line     {command}
}}
define contact {{
    contact_name                   nobody
    host_notifications_enabled     0
    service_notifications_enabled  0
    host_notification_period       always
    service_notification_period    always
    host_notification_commands     fleetwheel
    service_notification_commands  fleetwheel
}}
define host {{
    host_name               gpu-01
    address                 127.0.0.1
    max_check_attempts      1
    active_checks_enabled   0
    check_period            always
    contacts                nobody
    notifications_enabled   0
}}
define service {{
    host_name               gpu-01
    service_description     fleetwheel
    check_command           fleetwheel
    max_check_attempts      1
    check_interval          1
    retry_interval          1
    check_period            always
    contacts                nobody
    notifications_enabled   0
}}
"""
SECONDS = 60


def missing() -> str | None:
    """Return what keeps this machine from running Nagios as another user."""
    return daemons.missing("only root runs programs as another user")


def unpacked(directory: Path) -> Path | None:
    """Return Nagios, unpacked from Debian's package; None where apt does not have it."""
    tree = daemons.unpacked(directory, [PACKAGE])
    return tree and tree / PROGRAM


class Nagios:
    """A running Nagios, whose one service is the check of this host."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def service(self) -> dict[str, str]:
        """Return what Nagios knows of the service."""
        try:
            text = (self.place / "status.dat").read_text()
        except FileNotFoundError:
            return {}
        found = re.search(r"^servicestatus \{\n(.*?)^\t\}", text, re.MULTILINE | re.DOTALL)
        lines = found[1].splitlines() if found else []
        return dict(line.strip().split("=", 1) for line in lines if "=" in line)

    def wait(self, state: int) -> dict[str, str]:
        """Return the service once it was checked and has this state, by its number."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            found = self.service()
            checked = found.get("has_been_checked") == "1"
            if checked and found.get("current_state") == str(state):
                return found
            time.sleep(0.2)
        log = (self.place / "nagios.log").read_text()[-2000:]
        raise AssertionError(f"the service is never {state}: {self.service()}\n{log}")


@contextmanager
def nagios(program: Path, place: Path, command: str, user: str) -> Iterator[Nagios]:
    """Run Nagios as a user, with a directory for its files, until the block ends."""
    place.mkdir()
    shutil.chown(place, user)
    (place / "nagios.cfg").write_text(MAIN.format(place=place))
    (place / "objects.cfg").write_text(OBJECTS.format(command=command))
    process = subprocess.Popen(
        [program, place / "nagios.cfg"],
        user=user,
        group="nogroup",
        extra_groups=[],
        env={"PATH": "/usr/bin:/bin"},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Nagios(place)
    finally:
        process.terminate()
        process.wait(20)

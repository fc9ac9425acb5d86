"""The Windows host by hand: ``python -m tests.rig.windows DIRECTORY`` keeps one until Ctrl-C."""

import argparse
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from tests.rig.windows import windows_rig
from tests.rig.windows.prefix import missing


def main() -> None:
    """Start the host, say how to reach it, and wait."""
    parser = argparse.ArgumentParser(prog="python -m tests.rig.windows", description=__doc__)
    parser.add_argument("directory", type=Path, help="made, and removed at the end unless --keep")
    parser.add_argument("--shell", choices=["cmd", "powershell"], default="cmd")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="leave the directory")
    arguments = parser.parse_args()
    if lacking := missing():
        raise SystemExit(lacking)
    # Ends as with Ctrl-C, so that nothing of Wine stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    directory = arguments.directory.absolute()
    try:
        with (
            suppress(KeyboardInterrupt),
            windows_rig(directory, arguments.shell, arguments.port) as rig,
        ):
            inventory = directory / "inventory.py"
            inventory.write_text(f'winrig = [("@winssh/winrig", {rig.data!r})]\n')
            print(f"inventory: {inventory}\nC: drive:  {rig.drive_c}\npassword:  {rig.password}")
            print(
                f"ssh -p {rig.port} -i {rig.key} -o UserKnownHostsFile={rig.known_hosts}"
                f" {rig.user}@{rig.address} ver",
                flush=True,
            )
            signal.pause()
    finally:
        if not arguments.keep:
            shutil.rmtree(directory)


if __name__ == "__main__":
    main()

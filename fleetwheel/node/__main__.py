"""Runs one action: ``python -I …/node-DIGEST ACTION``, or by hand ``test`` and ``check``."""

import os
import sys

from fleetwheel.node.actions import main

if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # Leave at once: a child that cannot be killed must not hold up the end of this process.
    os._exit(code)

"""What each state of an NVIDIA driver means, and what mends it."""

from typing import NamedTuple

from fleetwheel.host.profile import DriverState, OperatingSystem


class Explanation(NamedTuple):
    """One sentence each; ``repair`` is empty where nothing is wrong."""

    meaning: str
    repair: str


EXPLANATIONS = {
    DriverState.OK: Explanation("The driver works.", ""),
    DriverState.NO_GPU: Explanation("There is no NVIDIA GPU.", ""),
    DriverState.NO_DRIVER: Explanation(
        "There is an NVIDIA GPU, but its driver is not, or not wholly, installed.",
        "Install NVIDIA's driver; in a container, start it with the NVIDIA container toolkit.",
    ),
    DriverState.NOT_LOADED: Explanation(
        "The driver is installed, but its kernel module does not run.",
        "Load it with `modprobe nvidia`; dmesg says why it refuses: often Secure Boot, nouveau, or"
        " a kernel update that it was not built for.",
    ),
    DriverState.VERSION_MISMATCH: Explanation(
        "The driver was updated, but the old kernel module still runs.",
        "Reboot the host.",
    ),
    DriverState.NO_DEVICES: Explanation(
        "The driver runs, but finds no GPU that it can use.",
        "Look for `NVRM` in dmesg: the GPU may need another driver branch, more power, or a reset.",
    ),
    DriverState.GPU_LOST: Explanation(
        "A GPU does not answer any more.",
        "If it requires a reset, run `nvidia-smi --gpu-reset -i INDEX` with no process on it. Else"
        " look for `Xid` in dmesg, then power the host off and on; if it comes back, the GPU or its"
        " power or seat is at fault.",
    ),
    DriverState.FABRIC_NOT_READY: Explanation(
        "The GPUs are joined by NVSwitch, but the fabric is not set up, so CUDA cannot start.",
        "Start nvidia-fabricmanager, in the same version as the driver.",
    ),
    DriverState.BLOCKED: Explanation(
        "The operating system keeps this system from the GPU, as in WSL.",
        "Remove NVIDIA's driver packages from inside WSL, update the driver on Windows and run"
        " `wsl --shutdown`.",
    ),
    DriverState.NO_PERMISSION: Explanation(
        "The user or the container may not use the GPU.",
        "Give the user access to /dev/nvidia*, or start the container again.",
    ),
    DriverState.HUNG: Explanation(
        "The driver did not answer in time.",
        "Look for `Xid` or `NVRM` in dmesg, then reboot the host; a slow start mends itself with"
        " nvidia-persistenced.",
    ),
    DriverState.UNPARSABLE: Explanation(
        "NVML and nvidia-smi crashed, or gave no answer that is known here.",
        "Run nvidia-smi on the host. If it crashes, install another version of the driver (for WSL,"
        " on Windows); if not, report what it prints.",
    ),
}
ON_WINDOWS = {
    DriverState.NO_DRIVER: Explanation(
        "There is an NVIDIA GPU, but its driver is not, or not wholly, installed.",
        "Install NVIDIA's driver for Windows.",
    ),
    DriverState.NOT_LOADED: Explanation(
        "The driver is installed, but does not run.",
        "Look at the GPU in Device Manager, which says why: disabled (code 22), stopped after a"
        " fault (43), a driver without a valid signature (52).",
    ),
    DriverState.VERSION_MISMATCH: Explanation(
        "The driver was updated, but the old one still runs.",
        "Reboot the host.",
    ),
    DriverState.NO_DEVICES: Explanation(
        "The driver runs, but finds no GPU that it can use.",
        "Look for `nvlddmkm` in the System event log: the GPU may need another driver branch, more"
        " power, or a reset.",
    ),
    DriverState.GPU_LOST: Explanation(
        "A GPU does not answer any more.",
        "If it requires a reset, reboot the host. Else look for `nvlddmkm` in the System event log,"
        " then power the host off and on; if it comes back, the GPU or its power or seat is at"
        " fault.",
    ),
    DriverState.BLOCKED: Explanation(
        "The operating system keeps programs from the GPU.",
        "Update the driver, then reboot the host.",
    ),
    DriverState.NO_PERMISSION: Explanation(
        "The user may not use the GPU.",
        "Connect as an administrator.",
    ),
    DriverState.HUNG: Explanation(
        "The driver did not answer in time.",
        "Look for `nvlddmkm` in the System event log, then reboot the host.",
    ),
    DriverState.UNPARSABLE: Explanation(
        "NVML and nvidia-smi crashed, or gave no answer that is known here.",
        "Run nvidia-smi on the host. If it crashes, install another version of the driver; if not,"
        " report what it prints.",
    ),
}
"""What is said in other words there."""


def explain(state: DriverState, os: OperatingSystem) -> Explanation:
    """Return what a state means and what mends it, in the words of the host's system."""
    there = ON_WINDOWS if os == "windows" else {}
    return there.get(state, EXPLANATIONS[state])

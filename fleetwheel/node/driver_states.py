"""What each state of an NVIDIA driver means, and what mends it."""

from __future__ import annotations

from typing import NamedTuple


class Explanation(NamedTuple):
    """One sentence each; ``repair`` is empty where nothing is wrong."""

    meaning: str
    repair: str


EXPLANATIONS = {
    "ok": Explanation("The driver works.", ""),
    "no-gpu": Explanation("There is no NVIDIA GPU.", ""),
    "no-driver": Explanation(
        "There is an NVIDIA GPU, but its driver is not, or not wholly, installed.",
        "Install NVIDIA's driver; in a container, start it with the NVIDIA container toolkit.",
    ),
    "not-loaded": Explanation(
        "The driver is installed, but its kernel module does not run.",
        "Load it with `modprobe nvidia`; dmesg says why it refuses: often Secure Boot, nouveau, or"
        " a kernel update that it was not built for.",
    ),
    "version-mismatch": Explanation(
        "The driver was updated, but the old kernel module still runs.",
        "Reboot the host.",
    ),
    "no-devices": Explanation(
        "The driver runs, but finds no GPU that it can use.",
        "Look for `NVRM` in dmesg: the GPU may need another driver branch, more power, or a reset.",
    ),
    "gpu-lost": Explanation(
        "A GPU does not answer any more.",
        "If it requires a reset, run `nvidia-smi --gpu-reset -i INDEX` with no process on it. Else"
        " look for `Xid` in dmesg, then power the host off and on; if it comes back, the GPU or its"
        " power or seat is at fault.",
    ),
    "fabric-not-ready": Explanation(
        "The GPUs are joined by NVSwitch, but the fabric is not set up, so CUDA cannot start.",
        "Start nvidia-fabricmanager, in the same version as the driver.",
    ),
    "blocked": Explanation(
        "The operating system keeps this system from the GPU, as in WSL.",
        "Remove NVIDIA's driver packages from inside WSL, update the driver on Windows and run"
        " `wsl --shutdown`.",
    ),
    "no-permission": Explanation(
        "The user or the container may not use the GPU.",
        "Give the user access to /dev/nvidia*, or start the container again.",
    ),
    "hung": Explanation(
        "The driver did not answer in time.",
        "Look for `Xid` or `NVRM` in dmesg, then reboot the host; a slow start mends itself with"
        " nvidia-persistenced.",
    ),
    "unparsable": Explanation(
        "NVML and nvidia-smi crashed, or gave no answer that is known here.",
        "Run nvidia-smi on the host. If it crashes, install another version of the driver (for WSL,"
        " on Windows); if not, report what it prints.",
    ),
}
ON_WINDOWS = {
    "no-driver": Explanation(
        "There is an NVIDIA GPU, but its driver is not, or not wholly, installed.",
        "Install NVIDIA's driver for Windows.",
    ),
    "not-loaded": Explanation(
        "The driver is installed, but does not run.",
        "Look at the GPU in Device Manager, which says why: disabled (code 22), stopped after a"
        " fault (43), a driver without a valid signature (52).",
    ),
    "version-mismatch": Explanation(
        "The driver was updated, but the old one still runs.",
        "Reboot the host.",
    ),
    "no-devices": Explanation(
        "The driver runs, but finds no GPU that it can use.",
        "Look for `nvlddmkm` in the System event log: the GPU may need another driver branch, more"
        " power, or a reset.",
    ),
    "gpu-lost": Explanation(
        "A GPU does not answer any more.",
        "If it requires a reset, reboot the host. Else look for `nvlddmkm` in the System event log,"
        " then power the host off and on; if it comes back, the GPU or its power or seat is at"
        " fault.",
    ),
    "blocked": Explanation(
        "The operating system keeps programs from the GPU.",
        "Update the driver, then reboot the host.",
    ),
    "no-permission": Explanation(
        "The user may not use the GPU.",
        "Connect as an administrator.",
    ),
    "hung": Explanation(
        "The driver did not answer in time.",
        "Look for `nvlddmkm` in the System event log, then reboot the host.",
    ),
    "unparsable": Explanation(
        "NVML and nvidia-smi crashed, or gave no answer that is known here.",
        "Run nvidia-smi on the host. If it crashes, install another version of the driver; if not,"
        " report what it prints.",
    ),
}
"""What is said in other words there."""


def explain_state(state: str, os: str) -> Explanation:
    """Return what a state means and what mends it, in the words of the host's system."""
    there = ON_WINDOWS if os == "windows" else {}
    return there.get(state, EXPLANATIONS[state])

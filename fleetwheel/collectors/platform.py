"""The system: its kind, distribution, C library, memory and boot."""

import re

from fleetwheel.collectors._answer import Section, first
from fleetwheel.host.profile import HostPlatform, Kernel, OperatingSystem

KERNELS: dict[str, OperatingSystem] = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}
ARCHITECTURES = {"arm64": "aarch64", "amd64": "x86_64"}
FIRST_WINDOWS_11 = 22000
"""Build from which on the registry still says Windows 10 for Windows 11."""

KERNEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,99}"
"""The release of a kernel becomes the name of a package."""

VALUE = re.compile(r" +(?P<name>\S.*?) {4}REG_[A-Z_]+ {4}(?P<data>.*)")
"""A line of ``reg query``."""
SHORT_PATHS = "Windows cuts paths at 260 characters here: a file of a long name may not be usable"


def parse_platform(section: Section) -> HostPlatform:
    """Read the answer of the section ``platform``; ValueError for a system that is unknown."""
    kernel, _, machine = first(section, "uname").partition(" ")
    if kernel not in KERNELS:
        raise ValueError(f"{kernel or 'nothing'} is the system's name, which is not Linux")
    arch = ARCHITECTURES.get(machine.lower(), machine)
    if kernel == "Windows":
        windows = _windows(arch, registry(section), "reboot" in section)
        memory, runtimes = _mib(first(section, "memory_kib")), _visual_cpp(section)
        own = tuple(section.get("visual_cpp_own", ()))
        seen = {"memory_total_mib": memory, "visual_cpp": runtimes, "visual_cpp_own": own}
        return windows.model_copy(update=seen)
    glibc, problem = _glibc(first(section, "libc"))
    return HostPlatform(
        os=KERNELS[kernel],
        arch=arch,
        distribution=_value(section, "distribution"),
        distribution_id=_value(section, "distribution_id"),
        distribution_like=tuple(_value(section, "distribution_like").split()),
        distribution_version=_value(section, "distribution_version"),
        dgx=_value(section, "dgx") or None,
        kernel=_kernel(section),
        booted_s=_seconds(first(section, "booted")),
        glibc=glibc,
        memory_total_mib=_mib(first(section, "memory_kib")),
        boot_id=first(section, "boot_id") or None,
        secure_boot={"0": False, "1": True}.get(first(section, "secure_boot").strip()),
        wsl="microsoft" in first(section, "release").lower(),
        container=first(section, "container") or None,
        jetson=_l4t(first(section, "jetson")),
        reboot_pending="reboot" in section,
        problems=(problem,) if problem else (),
    )


def clock_s(section: Section) -> int | None:
    """Return what the host takes for the time, in seconds since 1970; None where it did not say."""
    return _seconds(first(section, "clock"))


def registry(section: Section, key: str = "registry") -> dict[str, str]:
    """Return the values that ``reg query`` printed, by name."""
    found = (VALUE.fullmatch(line) for line in section.get(key, []))
    return {value["name"]: value["data"] for value in found if value}


def _windows(arch: str, values: dict[str, str], reboot: bool) -> HostPlatform:
    """Read what the registry says of a Windows.

    ``BootId`` counts boots and ``ShutdownTime`` is that of the last one: together they change with
    each boot and not between, and no program has to be started for them.
    """
    name = values.get("ProductName", "Windows").removeprefix("Microsoft ")
    build = values.get("CurrentBuild", "")
    if re.fullmatch("[0-9]{5,6}", build) and int(build) >= FIRST_WINDOWS_11:
        name = name.replace("Windows 10", "Windows 11")
    release = values.get("DisplayVersion", "")
    number = ".".join(filter(None, [build, _number(values.get("UBR", ""))]))
    boot = [values[key] for key in ("BootId", "ShutdownTime") if key in values]
    short = _number(values.get("LongPathsEnabled", "")) != "1"
    return HostPlatform(
        os="windows",
        arch=arch,
        distribution=" ".join(filter(None, [name, release, f"({number})" if number else ""])),
        boot_id="-".join(boot) or None,
        secure_boot={"0": False, "1": True}.get(_number(values.get("UEFISecureBootEnabled", ""))),
        reboot_pending=reboot,
        problems=(SHORT_PATHS,) if short else (),
    )


def _visual_cpp(section: Section) -> dict[str, str] | None:
    """Return the runtimes of Visual C++ by architecture; None where that cannot be told.

    A redistributable registers ``v14.38.33135.00``.
    """
    if "visual_cpp_absent" in section:
        return {}
    found = {}
    for name, arch in (("x64", "x86_64"), ("arm64", "aarch64")):
        said = registry(section, f"visual_cpp_{name}").get("Version", "")
        if version := re.fullmatch(r"v(14\.[0-9]{1,3}\.[0-9]{1,6})(\.[0-9]{1,3})?", said):
            found[arch] = version[1]
    return found or None


def _value(section: Section, key: str) -> str:
    """Return a value of os-release without its quotes."""
    return first(section, key).strip("\"'")


def _kernel(section: Section) -> Kernel:
    names = [first(section, key) for key in ("release", "boot_kernel")]
    running, boot = (name if re.fullmatch(KERNEL_NAME, name) else "" for name in names)
    packages, offered = (
        tuple(name for name in section.get(key, []) if re.fullmatch(KERNEL_NAME, name))
        for key in ("kernel_package", "offered")
    )
    return Kernel(running=running, boot=boot or running, packages=packages, offered=offered)


def _seconds(said: str) -> int | None:
    return int(said) if re.fullmatch(r"[0-9]{1,15}", said) else None


def _mib(kib: str) -> int | None:
    return int(kib) // 1024 or None if re.fullmatch(r"[0-9]{1,15}", kib) else None


def _number(dword: str) -> str:
    """Return a registry's number, ``0x6f3``, in decimal; empty where it is none."""
    return str(int(dword, 16)) if re.fullmatch(r"0x[0-9a-f]{1,16}", dword) else ""


def _glibc(libc: str) -> tuple[str | None, str]:
    """Return the version of glibc, and what is wrong when nothing can be said about it.

    ``getconf`` says ``glibc 2.36``, ``ldd`` says ``ldd (Debian GLIBC 2.36-9+deb12u10) 2.36`` or
    ``musl libc (x86_64)``.
    """
    if "musl" in libc:
        return None, ""
    version = re.search(r"(?:^| )(2\.[0-9]{1,4})(?:\.[0-9]{1,4})?$", libc)
    if version:
        return version[1], ""
    return None, "the version of glibc is unknown: neither getconf nor ldd names it"


def _l4t(release: str) -> str | None:
    """Return the release of ``# R36 (release), REVISION: 4.3, GCID: 38968081, ...``."""
    found = re.match(r"# R([0-9]{1,3}) \(release\), REVISION: ([0-9.]{1,9})", release)
    return f"{found[1]}.{found[2]}" if found else None

"""What a host is, as plain typed values: the input of every decision."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from fleetwheel.host.environment import DEFAULT
from fleetwheel.value import Value

OperatingSystem = Literal["linux", "windows", "macos"]


class DriverState(StrEnum):
    """Everything an NVIDIA driver can be, as far as a deploy is concerned."""

    OK = "ok"
    NO_GPU = "no-gpu"
    NO_DRIVER = "no-driver"
    NOT_LOADED = "not-loaded"
    VERSION_MISMATCH = "version-mismatch"
    NO_DEVICES = "no-devices"
    GPU_LOST = "gpu-lost"
    FABRIC_NOT_READY = "fabric-not-ready"
    BLOCKED = "blocked"
    NO_PERMISSION = "no-permission"
    HUNG = "hung"
    UNPARSABLE = "unparsable"


class Driver(Value):
    """The NVIDIA driver of a host."""

    state: DriverState = DriverState.NO_GPU
    version: str | None = None
    """Driver version as NVIDIA writes it, such as ``580.95.05`` or ``591.86``."""
    cuda: str | None = None
    """Newest CUDA that the driver supports, such as ``13.0``: a ceiling, no installed toolkit."""
    nvml: str | None = None
    """Version of NVML, such as ``13.580.95.05``."""
    detail: str = ""
    """What NVML or nvidia-smi said where one of them did not answer as it should."""


ModuleKind = Literal["open", "proprietary"]


class BuiltModule(Value):
    """The kernel module nvidia on disk, for one kernel."""

    kernel: str
    version: str
    kind: ModuleKind
    changed_s: int | None = None
    """When it was written, in seconds since 1970."""


class InstalledDriver(Value):
    """What a system holds of an NVIDIA driver, whether the driver works or not."""

    devices: tuple[str, ...] = ()
    """Display devices of NVIDIA on the PCI bus: address and device id, ``0000:01:00.0 0x2684``."""
    module: str | None = None
    """Version of the kernel module that is loaded."""
    library: str | None = None
    """Version of libnvidia-ml on disk; after an update it is not that of ``module``."""
    nouveau: bool = False
    """Whether nouveau is loaded, which keeps NVIDIA's own module from its GPUs."""
    packages: tuple[str, ...] = ()
    """Driver packages of dpkg or rpm: ``nvidia-driver-580 580.95.05-0ubuntu1``."""
    nova_core: bool = False
    """Whether nova_core is loaded, nouveau's successor."""
    bridges: tuple[str, ...] = ()
    """Bridges of NVIDIA on the PCI bus, such as NVSwitches: address and device id."""
    kind: ModuleKind | None = None
    """Which modules are loaded; None where none are, or the driver does not say."""
    built: tuple[BuiltModule, ...] | None = None
    """Modules for the newest kernels on disk; None where nobody looked."""
    dkms: tuple[str, ...] = ()
    """What dkms says of them: ``nvidia/580.95.05, 6.12.107+deb13-amd64, x86_64: installed``."""
    changed_s: int | None = None
    """When the library was installed, in seconds since 1970."""
    blacklisted_s: int | None = None
    """When onboarding blacklisted nouveau, in seconds since 1970; None where it did not."""
    enrolled: dict[str, bool] = Field(default_factory=dict)
    """Whether the firmware trusts a key that signs modules here, by the key's path."""


Count = Annotated[int, Field(ge=0, lt=2**63)]


class MigInstance(Value):
    """One MIG instance: the part of a GPU that CUDA sees as a device."""

    index: Count
    """Number of the instance on its GPU."""
    uuid: str | None = None
    name: str | None = None
    memory_total_mib: Count | None = None
    memory_used_mib: Count | None = None
    memory_free_mib: Count | None = None
    processes: tuple[Count, ...] | None = None
    unavailable: dict[str, str] = Field(default_factory=dict)


class Gpu(Value):
    """One GPU of a host.

    What comes after ``pci_bus_id`` NVML alone tells; it is None where nobody asked NVML, or where
    ``unavailable`` says why.
    """

    index: Count
    uuid: str | None = None
    name: str
    compute_capability: str | None = None
    """Such as ``8.9``; None when neither the driver nor the name tells."""
    memory_total_mib: Count | None = None
    pci_bus_id: str | None = None
    memory_used_mib: Count | None = None
    memory_free_mib: Count | None = None
    driver_model: Literal["WDDM", "TCC", "MCDM"] | None = None
    """On Windows."""
    persistence: bool | None = None
    compute_mode: (
        Literal["default", "exclusive-thread", "prohibited", "exclusive-process"] | None
    ) = None
    mig: bool | None = None
    """Whether MIG is on: then CUDA sees the instances and not the GPU."""
    mig_instances: tuple[MigInstance, ...] | None = None
    ecc: bool | None = None
    ecc_corrected: Count | None = None
    """Errors in the whole life of the GPU."""
    ecc_uncorrected: Count | None = None
    remapped_correctable: Count | None = None
    """Rows of memory that were replaced by spare ones."""
    remapped_uncorrectable: Count | None = None
    remapping_pending: bool | None = None
    """A row is replaced at the next reset."""
    remapping_failed: bool | None = None
    """There was no spare row: the GPU has to be replaced."""
    retired_pages: Count | None = None
    """Pages of memory out of use, on GPUs older than Ampere."""
    pcie_generation: Count | None = None
    """As the link runs now; it is lower while the GPU rests."""
    pcie_generation_max: Count | None = None
    pcie_width: Count | None = None
    pcie_width_max: Count | None = None
    temperature_c: Count | None = None
    throttle_reasons: tuple[str, ...] | None = None
    """Why the clocks are lower than they could be, such as ``thermal``; empty when they are not."""
    power_limit_w: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    fabric_pending: bool | None = None
    """The NVLink fabric is not set up yet."""
    processes: tuple[Count, ...] | None = None
    """Process ids of what computes on the GPU."""
    unavailable: dict[str, str] = Field(default_factory=dict)
    """Field that NVML does not give, and why."""

    @property
    def baseline(self) -> "Gpu":
        """The GPU as a record keeps it, for later looks to compare with."""
        return Gpu(**{name: getattr(self, name) for name in (*LASTING, "ecc", "mig", "pcie_width")})


LASTING = ("index", "uuid", "name", "compute_capability", "memory_total_mib", "pci_bus_id")


class Nvidia(Value):
    """The NVIDIA driver of a host and the GPUs that it shows."""

    driver: Driver = Driver()
    installed_driver: InstalledDriver = InstalledDriver()
    gpus: tuple[Gpu, ...] = ()
    problems: tuple[str, ...] = ()
    """What was not asked, and why."""


Reach = Literal["everyone", "root", "private"]


REACHES: tuple[Reach, ...] = ("everyone", "root", "private")
"""In the order of preference."""


class Python(Value):
    """One CPython interpreter of a host, never one inside a virtual environment."""

    path: str
    version: Annotated[str, Field(pattern=r"^3\.\d{1,3}(\.\d{1,3}((a|b|rc)\d{1,3})?)?$")]
    """Full version, such as ``3.11.7``; a minor one where no interpreter is meant."""
    free_threaded: bool = False
    venv: bool = True
    """Whether its standard library holds ``venv``; uv needs no ensurepip."""
    reach: Reach = "everyone"
    """Who can run it where root deploys: ``root`` is one below fleetwheel's root directory."""

    @property
    def minor(self) -> str:
        """Version without the patch level, as wheels and pins name it: ``3.11`` or ``3.14t``."""
        major, minor = self.version.split(".")[:2]
        return f"{major}.{minor}{'t' if self.free_threaded else ''}"

    @property
    def tag(self) -> str:
        """ABI tag of its own wheels: ``cp311`` or ``cp314t``."""
        return "cp" + self.minor.replace(".", "")


class Kernel(Value):
    """The Linux kernels of a host."""

    running: str = ""
    """Release, such as ``6.12.107+deb13-amd64``; empty where unknown."""
    boot: str = ""
    """Release of the one that the next boot takes."""
    packages: tuple[str, ...] = ()
    """What dpkg's packages linux-image-* that bring each next kernel end with: ``cloud-amd64``."""
    offered: tuple[str, ...] = ()
    """Of Ubuntu's packages in apt's lists: its NVIDIA drivers for servers, and the modules that it
    signed for these kernels. Asked under Secure Boot alone; empty also where the lists are not."""


class HostPlatform(Value):
    """What system a host runs, on what machine."""

    os: OperatingSystem
    arch: str
    """``x86_64`` or ``aarch64``, on every system; on ARM64 Windows that of its interpreters."""
    distribution: str = ""
    """Such as ``Debian GNU/Linux 12 (bookworm)`` or ``Windows 11 23H2``."""
    distribution_id: str = ""
    """ID of os-release, such as ``debian``; empty on Windows and macOS."""
    distribution_like: tuple[str, ...] = ()
    """ID_LIKE of os-release, the nearest first: ``("rhel", "centos", "fedora")``."""
    distribution_version: str = ""
    """VERSION_ID of os-release, such as ``12`` or ``24.04``."""
    glibc: str | None = None
    """Version of glibc, such as ``2.36``; None on musl, Windows and macOS."""
    memory_total_mib: int | None = None
    boot_id: str | None = None
    """Changes with every boot."""
    secure_boot: bool | None = None
    """None without UEFI, or when it cannot be seen."""
    wsl: bool = False
    container: str | None = None
    """Kind of container that the host is: ``docker``, ``podman``, ``lxc``."""
    jetson: str | None = None
    """L4T release of a Jetson, such as ``36.4.3``."""
    dgx: str | None = None
    """What DGX OS calls itself, such as ``NVIDIA DGX Server``; None elsewhere."""
    visual_cpp: dict[str, str] | None = None
    """Versions of Microsoft's Visual C++ runtime by architecture: ``{"x86_64": "14.38.33135"}``.

    Empty where there is none; None elsewhere than on Windows, and where it is not known."""
    visual_cpp_own: tuple[str, ...] = ()
    """Interpreters that have a msvcp140.dll of their own beside them, as Conda's do."""
    kernel: Kernel = Kernel()
    booted_s: int | None = None
    """When it was booted, in seconds since 1970."""
    reboot_pending: bool = False
    """An update waits for a reboot: of the driver, or the distribution says so."""
    problems: tuple[str, ...] = ()
    """What could not be found out, one sentence each."""


class Profile(HostPlatform):
    """What one host is: the system, its interpreters, its driver and GPUs."""

    pythons: tuple[Python, ...] = ()
    driver: Driver = Driver()
    installed_driver: InstalledDriver = InstalledDriver()
    gpus: tuple[Gpu, ...] = ()

    def brings_visual_cpp(self, python: str) -> bool:
        """Whether an interpreter, by its path, does not load the runtime of the system."""
        return python.lower() in {path.lower() for path in self.visual_cpp_own}


class Generation(Value):
    """One immutable environment under ``<root>/envs``."""

    id: str
    python: str = ""
    """Path of the interpreter it was built from; empty when its pyvenv.cfg cannot be read."""
    lock: str = ""
    """sha256 of the lock it keeps a copy of; empty when there is none."""
    packages: dict[str, str] = Field(default_factory=dict)
    """Normalised name to full version with its local part, read from metadata on disk."""


class Installation(Value):
    """What fleetwheel has put under the root directory of one host."""

    root: str
    user: str = ""
    exists: bool = False
    writable: bool = False
    """Whether the root, or the nearest directory above it that exists, can be written to."""
    distrusted: str = ""
    """Who else could change what lies there: then nothing of it was run or read."""
    free_bytes: int | None = None
    """Free space on the file system of the root."""
    file_system: str = ""
    """Type of the file system of the root, such as ``ext4`` or ``nfs4``; empty where unknown."""
    mount_options: tuple[str, ...] = ()
    """How it is mounted, such as ``rw`` and ``noexec``."""
    uv: str | None = None
    """Version of ``<root>/bin/uv``."""
    current: str | None = None
    """The generation that ``<root>/current`` points at; None when there is none."""
    environments: dict[str, str] = Field(default_factory=dict)
    """Those that ``<root>/environments/NAME`` point at, by the names beside "default"."""
    default: str = ""
    """What ``<root>/environments/default`` leads to, by rights ``../current``; empty without it."""
    generations: tuple[Generation, ...] = ()
    wheels: tuple[str, ...] = ()
    """SHA-256 hashes of the wheels that a controller sent."""
    node: tuple[str, ...] = ()
    """Digests of the programs for hosts that are there, and that nobody else could have written."""
    record: str = ""
    """Text of ``<root>/state.json``; empty when there is none."""

    def in_use(self, environment: str) -> str | None:
        """Return the generation that an environment points at; None when there is none."""
        return self.current if environment == DEFAULT else self.environments.get(environment)

    def runs(self, generation: str) -> bool:
        """Whether a generation is there with an interpreter that runs, and can be trusted."""
        return any(each.id == generation and each.python for each in self.generations)


class HostState(Value):
    """One answer to everything that fleetwheel asks a host."""

    profile: Profile
    installation: Installation
    clock_s: int | None = None
    """What the host takes for the time, in seconds since 1970."""

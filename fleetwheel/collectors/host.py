"""Everything that fleetwheel asks a host, in one command and one answer."""

from fleetwheel.collectors import _script, environments, gpu, platform, pythons
from fleetwheel.collectors._answer import Section, skipped
from fleetwheel.host.profile import Driver, DriverState, HostPlatform, HostState, Profile

SECTIONS = _script.SECTIONS


def parse_host(
    platform_: Section, pythons_: Section, environments_: Section, gpu_: Section
) -> HostState:
    """Read the answers of all sections, in the order of ``SECTIONS``; ValueError if unusable."""
    system = platform.parse_platform(platform_)
    arch, interpreters = pythons.of_one_machine(pythons.parse_pythons(pythons_), system.arch)
    nvidia = gpu.parse_gpus(gpu_)
    there = environments.parse_environments(environments_)
    module, library = nvidia.installed_driver.module, nvidia.installed_driver.library
    updated = module is not None and library is not None and module != library
    profile = Profile(
        **system.model_dump(exclude={"arch", "problems", "reboot_pending"}),
        arch=arch,
        reboot_pending=system.reboot_pending or updated,
        pythons=interpreters.pythons,
        driver=_driver(system, nvidia.driver),
        installed_driver=nvidia.installed_driver,
        gpus=nvidia.gpus,
        problems=(
            *system.problems,
            *interpreters.problems,
            *skipped(environments_),
            *nvidia.problems,
            *([f"{there.root} is not used: {there.distrusted}"] if there.distrusted else ()),
        ),
    )
    return HostState(profile=profile, installation=there, clock_s=platform.clock_s(platform_))


def _driver(system: HostPlatform, driver: Driver) -> Driver:
    """Return the driver; a Jetson always has a GPU, which nvidia-smi knows from L4T 36 on."""
    if system.jetson is None or driver.state is not DriverState.NO_GPU:
        return driver
    detail = f"the GPU of a Jetson with L4T {system.jetson}, which has no nvidia-smi"
    return Driver(state=DriverState.NO_DRIVER, detail=detail)

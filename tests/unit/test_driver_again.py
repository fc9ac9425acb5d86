"""Driver plans for made-up hosts of every kind: the second one is empty, all names can exist."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import BuiltModule, Driver, DriverState, Kernel, Profile
from fleetwheel.onboarding.driver_facts import facts
from fleetwheel.onboarding.driver_plan import DriverPlan, plan_driver
from fleetwheel.onboarding.driver_steps import Step
from tests.unit.test_driver_hosts import GB200, having
from tests.unit.test_driver_plan import BOARDS, DISTRIBUTIONS, profile

SYSTEMS = (
    *DISTRIBUTIONS,
    *("Ubuntu 18.04.6 LTS", "Ubuntu 20.04.6 LTS", "Ubuntu 22.04.5 LTS"),
    *("Ubuntu 25.10", "Ubuntu 26.04 LTS", "Debian GNU/Linux 11 (bullseye)"),
    *("Rocky Linux 8.10", "Rocky Linux 10.1", "AlmaLinux 8.10", "AlmaLinux 9.6"),
    *("Oracle Linux Server 8.10", "Oracle Linux Server 10.0", "openSUSE Leap 16.0"),
)
KERNELS = {
    "Ubuntu": [
        Kernel(boot="6.8.0-90-generic", packages=("virtual", "generic")),
        Kernel(boot="6.14.0-35-generic", packages=("generic-hwe-24.04",)),
        Kernel(boot="6.8.0-90-generic"),
        Kernel(
            boot="6.8.0-90-lowlatency",
            packages=("lowlatency",),
            offered=("nvidia-driver-580-server", "nvidia-driver-580-server-open"),
        ),
    ],
    "Debian": [
        Kernel(boot="6.1.0-50-amd64", packages=("amd64",)),
        Kernel(boot="6.1.0-50-cloud-amd64"),
        Kernel(boot="6.17.8+deb13-amd64", packages=("amd64",)),
    ],
    "SUSE": [
        Kernel(boot="6.4.0-150600.23.73-default"),
        Kernel(boot="6.4.0-150600.8.20-azure"),
        Kernel(boot="6.4.0-150600.10.5-rt"),
    ],
    "": [
        Kernel(boot="5.14.0-611.el9.x86_64"),
        Kernel(boot="5.14.0-611.el9.aarch64+64k"),
        Kernel(boot="5.15.0-312.187.5.el9uek.x86_64"),
        Kernel(),
    ],
}
BRIDGES = ((), ("0000:07:00.0 0x1ac2",), ("0000:07:00.0 0x22a3",), ("0000:07:00.0 0x1234",))
WISHES = (
    *["install"] * 10,
    "470",
    "535",
    "550",
    "560",
    "570",
    "580",
    "590",
    "595",
    "615",
    "620",
    "700",
)
KEYS = ("/var/lib/dkms/mok.pub", "/var/lib/shim-signed/mok/MOK.der")


@st.composite
def hosts(draw: st.DrawFn) -> Profile:
    """Return a host that has this or that of a driver."""

    def one(of: Any) -> Any:
        return draw(st.sampled_from(list(of)))

    system = one(SYSTEMS)
    kernels = next(there for name, there in KERNELS.items() if name in system)
    library = one([None, "470.256.02", "535.261.03", "580.95.05", "595.71.05", "620.10.01"])
    kernel = one(kernels)
    first, second = one([*BOARDS, GB200]), one([*BOARDS, GB200])
    seen = profile(
        system,
        *one([[first], [first], [first, second]]),
        state=one(["no-driver"] * 9 + [each.value for each in DriverState]),
        version=library,
        library=library,
        nouveau=one([False, True]),
        kernel=kernel,
        arch=one(["x86_64", "aarch64"]),
        secure_boot=one([None, False, True]),
        booted_s=one([None, 50, 5000]),
    )
    module = BuiltModule(
        kernel=kernel.boot,
        version=library or "580.95.05",
        kind=one(["open", "proprietary"]),
        changed_s=100,
    )
    return having(
        seen,
        bridges=one(BRIDGES),
        built=one([None, (), (module,)]),
        module=one([None, library]),
        kind=one([None, "open", "proprietary"]),
        enrolled=dict.fromkeys(KEYS, True) if one([False, True]) else {},
        blacklisted_s=one([None, 100]),
    )


def planned(host: Profile, wish: str, *, hold: bool = False) -> DriverPlan | None:
    """Return the plan; None for a host that is refused, with words for people."""
    try:
        return plan_driver(host, wish, hold=hold)
    except FleetwheelError as error:
        assert error.hint
        assert "None" not in str(error)
        return None


def after(host: Profile, done: DriverPlan, state: str, booted_s: int) -> Profile:
    """Return the host as the steps of a plan leave it, and perhaps a boot at 1000 or later."""
    version, boot = f"{done.branch or 610}.95.05", host.kernel.boot
    sleeps = state in ("not-loaded", "version-mismatch")
    module = BuiltModule(kernel=boot, version=version, kind=done.modules or "open", changed_s=1000)
    brought = [f"{name} {version}-1" for name in done.packages]
    brought += [name.replace("-driver-", "-dkms-") for name in brought if "nvidia-driver-" in name]
    return having(
        host.model_copy(
            update={
                "driver": Driver(state=DriverState(state), version=version),
                "kernel": host.kernel.model_copy(update={"running": boot}),
                "booted_s": booted_s,
            }
        ),
        library=version,
        module={"ok": version, "version-mismatch": "570.1"}.get(state),
        kind=None if sleeps else done.modules,
        nouveau=False,
        packages=tuple(brought),
        built=(module,),
        changed_s=1000,
        blacklisted_s=1000,
    )


@given(hosts(), st.sampled_from(WISHES))
def test_what_a_plan_has_done_is_not_done_again(host: Profile, wish: str) -> None:
    done = planned(host, wish)
    if done is None or not done.packages:
        return
    assert done.mismatch(after(host, done, "ok", 2000)) is None
    assert plan_driver(after(host, done, "ok", 2000), wish).nothing
    for state in ("not-loaded", "version-mismatch"):
        waiting = plan_driver(after(host, done, state, 500), wish)
        assert not waiting.packages
        assert waiting.reboot or "modprobe" in str(waiting.steps)
    mismatch = planned(after(host, done, "version-mismatch", 2000), wish)
    assert mismatch is None, "a reboot that did not help is not tried again"


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~]*(-[A-Za-z0-9._+~]+)*(-?=|-)?")
"""A package, perhaps to be removed, or to get the driver's version."""


@given(hosts(), st.sampled_from(WISHES), st.booleans())
def test_what_a_plan_names_can_exist(host: Profile, wish: str, hold: bool) -> None:
    done = planned(host, wish, hold=hold)
    if done is None:
        return
    assert "None" not in done.summary
    for name in done.packages:
        assert NAME.fullmatch(name)
    for step in done.steps:
        assert step.what
        assert step.hint
        for word in packages_of(step):
            assert NAME.fullmatch(word) or word.startswith("kernel-devel-uname-r == "), word


def packages_of(step: Step) -> list[str]:
    words = list(step.command)
    asked = words[words.index("install") + 1 :] if "install" in words else []
    return [word for word in asked if not re.match("-|https://|DPkg::", word)]


@given(hosts(), st.sampled_from(WISHES))
def test_a_branch_is_one_that_the_system_has(host: Profile, wish: str) -> None:
    done = planned(host, wish)
    if done is None or not (done.packages and done.branch):
        return
    system = facts().system(host)
    assert system is not None
    fusion = host.distribution_id == "fedora" and done.branch == 580
    assert done.branch in system.own or done.branch >= (system.nvidia or 999) or fusion
    assert wish in ("install", str(done.branch))
    known = facts().branch(done.branch)
    assert wish != "install" or (known is not None and known.kind == "long-lived")

"""A bare Debian host with an NVIDIA GPU in its /sys: real apt, whose installation is simulated."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.bare import Bare, bare_host, missing
from tests.rig.bare_deploy import Controller

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]
RTX_4090 = """
gpu=/sys/bus/pci/devices/0000:01:00.0
mkdir -p $gpu /sys/module/nouveau
echo 0x10de >$gpu/vendor
echo 0x030000 >$gpu/class
echo 0x2684 >$gpu/device
"""
LIBRARY = "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so"
APT_GET = f"""cat >/usr/local/sbin/apt-get <<'END'
#!/bin/sh
case " $* " in
*' install '*) /usr/bin/apt-get --simulate "$@" >>/root/apt.log || exit ;;
*) exec /usr/bin/apt-get "$@" ;;
esac
if read -r version </root/brings; then
    mkdir -p {LIBRARY.rpartition("/")[0]}
    echo >{LIBRARY}.$version
    ln -sf libnvidia-ml.so.$version {LIBRARY}.1
fi 2>/dev/null
END
chmod +x /usr/local/sbin/apt-get
"""
KERNEL = """apt-get -q update >/dev/null
release=$(apt-cache depends linux-headers-amd64 | sed -n 's/.*Depends: linux-headers-//p')
mkdir -p /boot && echo >/boot/vmlinuz-$release
"""
"""The kernel that boots next is one of Debian's, for which it has headers; this machine's runs."""
OTHERS = """
for program in update-initramfs apt-mark; do
    printf '#!/bin/sh\\necho "$0 $*" >>/root/others.log\\n' >/usr/local/sbin/$program
    chmod +x /usr/local/sbin/$program
done
"""
REBOOT = """cat >/usr/local/sbin/reboot <<'END'
#!/bin/sh
echo another-boot >/run/boot_id
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
for process in /proc/[0-9]*; do
    read -r name <$process/comm
    if [ "$name" = sshd ] && [ "$process" != /proc/1 ]; then kill "${process#/proc/}"; fi
done
END
chmod +x /usr/local/sbin/reboot
"""
"""Another boot as far as one can see over SSH: every connection ends, and the boot id changes."""
NOT_LOADED = f"""
mkdir -p {LIBRARY.rpartition("/")[0]}
echo >{LIBRARY}.535.261.03
ln -sf libnvidia-ml.so.535.261.03 {LIBRARY}.1
"""

EFI = "/sys/firmware/efi/efivars"
SECURE_BOOT = f"""
mkdir -p {EFI}
printf '\\006\\000\\000\\000\\001' >{EFI}/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    """A host with a GPU and no driver; the tests of this module follow each other on it."""
    with bare_host(tmp_path_factory.mktemp("gpu") / "host") as bare:
        for text in (RTX_4090, KERNEL, APT_GET, OTHERS, REBOOT):
            bare.run(text)
        yield bare


def test_a_dry_run_says_the_plan_and_does_nothing(bare: Bare, tmp_path: Path) -> None:
    done = Controller(tmp_path / "project", bare.inventory(driver="install")).onboard("--dry")
    assert done.returncode == 0, done.stdout
    assert "install driver 535 (proprietary modules): nvidia-driver" in done.stdout
    assert "nouveau is loaded" in done.stdout
    assert "would change" in done.stdout
    assert bare.run("find /etc /root -name '*fleetwheel*' -o -name '*.log'") == ""


def test_the_packages_are_those_of_debian(bare: Bare, tmp_path: Path) -> None:
    inventory = bare.inventory(driver="install", driver_hold="true")
    controller = Controller(tmp_path / "project", inventory)
    done = controller.onboard("-y")
    assert done.returncode == 0, done.stdout
    entry = controller.project.report()
    assert entry["status"] == "changed"
    assert "reboot the host, then run again" in entry["why"]
    installed = bare.run("grep '^Inst ' /root/apt.log")
    for package in ("nvidia-driver", "nvidia-kernel-dkms", "nvidia-smi", "libcuda1", "dkms"):
        assert f"Inst {package} (" in installed
    assert "Inst linux-headers-6." in installed
    assert "535." in bare.run("apt-cache policy nvidia-driver | grep Candidate:")
    assert "1001" in bare.run("apt-cache policy nvidia-driver")
    assert "blacklist nouveau" in bare.run("cat /etc/modprobe.d/fleetwheel-nouveau.conf")
    others = bare.run("cat /root/others.log")
    assert "update-initramfs -u -k all" in others
    assert "apt-mark hold nvidia-driver nvidia-kernel-dkms" in others


def test_what_fails_is_said_and_ends_it(bare: Bare, tmp_path: Path) -> None:
    source = "/etc/apt/sources.list"
    bare.run(f"cp {source} /root/; echo 'deb http://127.0.0.1:1/debian bookworm main' >{source}")
    bare.run("rm -r /var/lib/apt/lists /etc/apt/sources.list.d/* /root/apt.log")
    controller = Controller(tmp_path / "project", bare.inventory(driver="install"))
    done = controller.onboard("-y")
    bare.run(f"mv /root/sources.list {source}")
    assert done.returncode == 1
    why = controller.project.report()["why"]
    assert "the driver is not ready, for this failed: " in why
    assert "hint: fix the package sources" in why
    assert "it does not answer" in why
    assert bare.run("find /root /etc/apt/sources.list.d -name 'apt.log' -o -name 'fleet*'") == ""


def test_another_branch_than_planned_is_found(bare: Bare, tmp_path: Path) -> None:
    bare.run("echo 550.163.01 >/root/brings")
    inventory = bare.inventory(driver="install", reboot="true")
    controller = Controller(tmp_path / "project", inventory)
    done = controller.onboard("-y")
    bare.run(f"rm /root/brings {LIBRARY}*")
    assert done.returncode == 1, done.stdout
    why = controller.project.report()["why"]
    assert "driver 550.163.01 is there after the installation, not 535" in why
    assert bare.run("cat /proc/sys/kernel/random/boot_id").strip() != "another-boot"


def test_an_installed_driver_waits_for_a_reboot(bare: Bare, tmp_path: Path) -> None:
    bare.run(NOT_LOADED)
    controller = Controller(tmp_path / "project", bare.inventory(driver="install"))
    done = controller.onboard("-y")
    assert done.returncode == 1
    why = controller.project.report()["why"]
    assert "reboot the host, then run again; with --data reboot=true" in why
    assert "driver 535.261.03: The driver is installed" in why


def test_a_module_that_was_not_built_is_said_and_no_reboot_tried(
    bare: Bare, tmp_path: Path
) -> None:
    bare.run(f"rm -f {LIBRARY}*; echo 535.261.03 >/root/brings")
    bare.run("printf '#!/bin/sh\\nexit 1\\n' >/usr/local/sbin/modinfo")
    bare.run("chmod +x /usr/local/sbin/modinfo")
    inventory = bare.inventory(driver="install", reboot="true")
    controller = Controller(tmp_path / "project", inventory)
    done = controller.onboard("-y")
    bare.run("rm /usr/local/sbin/modinfo /root/brings")
    assert done.returncode == 1, done.stdout
    why = controller.project.report()["why"]
    assert "driver 535.261.03 is installed, but its module for the kernel 6." in why
    assert "dkms autoinstall -k 6." in why
    assert bare.run("cat /proc/sys/kernel/random/boot_id").strip() != "another-boot"


MODULE_BUILT = """
rmdir /sys/module/nouveau
for kernel in $(cat /proc/sys/kernel/osrelease) $(ls /boot | sed 's/vmlinuz-//'); do
    mkdir -p /lib/modules/$kernel
done
cat >/usr/local/sbin/modinfo <<'END'
#!/bin/sh
case "$*" in
-n*) echo /etc/hostname ;;
*version*) echo 535.261.03 ;;
*license*) echo NVIDIA ;;
esac
END
printf '#!/bin/sh\\necho "$*" >>/root/modprobe.log\\n' >/usr/local/sbin/modprobe
chmod +x /usr/local/sbin/modinfo /usr/local/sbin/modprobe
"""


def test_a_module_that_is_built_is_loaded_and_no_reboot_tried(bare: Bare, tmp_path: Path) -> None:
    bare.run(MODULE_BUILT)
    inventory = bare.inventory(driver="install", reboot="true")
    controller = Controller(tmp_path / "project", inventory)
    done = controller.onboard("-y")
    bare.run("mkdir /sys/module/nouveau; rm -r /usr/local/sbin/mod* /lib/modules")
    assert done.returncode == 1, done.stdout
    assert bare.run("cat /root/modprobe.log").strip() == "nvidia"
    assert "the driver still does not work" in controller.project.report()["why"]
    assert bare.run("cat /proc/sys/kernel/random/boot_id").strip() != "another-boot"


def test_secure_boot_leaves_the_reboot_to_a_person(bare: Bare, tmp_path: Path) -> None:
    bare.run(SECURE_BOOT)
    inventory = bare.inventory(driver="install", reboot="true")
    controller = Controller(tmp_path / "project", inventory)
    done = controller.onboard("-y")
    bare.run(f"rm -r {EFI}")
    assert done.returncode == 1
    why = controller.project.report()["why"]
    assert "enrol the key and reboot the host at its console" in why
    assert "mokutil --import /var/lib/dkms/mok.pub" in why
    assert bare.run("cat /proc/sys/kernel/random/boot_id").strip() != "another-boot"


def test_a_reboot_is_waited_for_and_the_driver_looked_at(bare: Bare, tmp_path: Path) -> None:
    inventory = bare.inventory(driver="install", reboot="true")
    controller = Controller(tmp_path / "project", inventory)
    done = controller.onboard("-y")
    assert bare.run("cat /proc/sys/kernel/random/boot_id").strip() == "another-boot"
    assert done.returncode == 1, done.stdout
    why = controller.project.report()["why"]
    assert "the driver still does not work" in why
    assert "modprobe nvidia" in why

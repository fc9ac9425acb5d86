"""A host as a deploy has left it: a root on disk, and what the kernel and NVML say."""

import subprocess
import sys
from pathlib import Path

from fleetwheel.collectors import environments, script, sections
from fleetwheel.deploy.record import Record, smoke_pass
from fleetwheel.host.profile import HostState, Profile
from fleetwheel.inventory.settings import Settings
from fleetwheel.lock import locking
from fleetwheel.matrix.matrix import load_matrix
from fleetwheel.node import check, checked, driver
from tests.samples import CPU_HOST, REQUEST, choice, differences, state_of, target_of

ID = "2.13.0+cpu-cp311-1f2e3d4c5b6a-1"
PACKAGES = {"numpy": "2.4.6", "torch": "2.13.0+cpu", "certifi": "2021.5.30"}
METADATA = {"NumPy": "2.4.6", "torch": "2.13.0+cpu", "certifi": "2021.05.30"}
TEXT = 'lock-version = "1.0"\ncreated-by = "uv"\n\n' + "".join(
    f'[[packages]]\nname = "{name}"\nversion = "{version}"\n'
    f'wheels = [{{ name = "{name}-{version}-py3-none-any.whl", url = "https://example.org/{name}",'
    f' hashes = {{ sha256 = "{"0" * 64}" }} }}]\n\n'
    for name, version in PACKAGES.items()
)
LOCK = locking.lock_of(TEXT, choice(), target_of(CPU_HOST), REQUEST)
MATRIX = load_matrix()


class Host:
    """A root on disk, and what NVML and the kernel say, for the host and for the controller."""

    def __init__(self, root: Path, profile: Profile) -> None:
        self.root = root
        self.profile = profile
        self.record = Record(
            generation=ID,
            request=REQUEST,
            lock=LOCK.name,
            choice=choice(),
            driver=profile.driver,
            gpus=tuple(gpu.baseline for gpu in profile.gpus),
            smoke=smoke_pass(ID, profile, {}),
            deployed_at=smoke_pass(ID, profile, {}).at,
        )
        self.generation = root / "envs" / ID
        (self.generation / "bin").mkdir(parents=True)
        (self.generation / "bin/python").symlink_to(sys.executable)
        (self.generation / "pyvenv.cfg").write_text("home = /usr/bin\nversion_info = 3.11.7\n")
        (self.generation / "pylock.toml").write_text(LOCK.text)
        for name, version in METADATA.items():
            self.install(name, version)
        (root / "current").symlink_to(f"envs/{ID}")

    def install(self, name: str, version: str) -> Path:
        site = self.generation / "lib/python3.11/site-packages"
        info = site / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        text = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n\nName: none\n"
        (info / "METADATA").write_text(text)
        return info

    def nvidia(self, seconds: float) -> driver.SeenDriver:
        """Stand for the function of this name in node/driver.py."""
        installed, found = self.profile.installed_driver, self.profile.driver
        gpus = tuple(driver.gpu_of(gpu.model_dump()) for gpu in self.profile.gpus)
        return driver.SeenDriver(
            found.state.value, found.version, installed.module, installed.library, gpus
        )

    def of_controller(self) -> list[str]:
        """Return what ``fleetwheel drift`` says of this host."""
        question = ["sh", "-c", script("environments"), "sh", str(self.root), "", ""]
        answer = subprocess.check_output(question, text=True).split("\n")
        there = environments.parse_environments(sections(answer, "environments")["environments"])
        state = HostState(profile=self.profile, installation=there)
        copy = self.generation / "pylock.toml"
        lock = LOCK if copy.exists() else None
        found = differences(self.record, lock, state, Settings(), MATRIX)
        return [
            f"{one.class_}: {one.what}: {one.expected}: {one.found}: {one.repair}"
            for one in found
            if one.what != "wheels" and not one.what.startswith("request")
        ]

    def of_host(self) -> checked.Checked:
        (self.root / "state.json").write_text(state_of(self.record).text())
        return check.check(self.root)

"""deploys/remove.py on this machine: real deploys of small wheels by real uv, and their removal."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.project import Project
from tests.small_wheels import make_wheel

FLEETWHEEL = Path(sys.executable).with_name("fleetwheel")
SIZE = 4 << 20
"""Bytes of a file that one package has."""


def say(small: Project, environments: str) -> None:
    """Have the inventory say which environments this machine is to have."""
    (small.directory / "inventory/lab.yaml").write_text(
        f'hosts: {{"@local": {{root: {small.root}, smoke: none, environments: {environments}}}}}\n'
    )


def remove(small: Project, *words: str) -> tuple[int, dict[str, str], str]:
    """Run `fleetwheel remove`; return its exit code, status and reason by environment, and all."""
    done = subprocess.run(
        [FLEETWHEEL, "remove", "--detailed-exitcodes", "--json", "-", *words],
        cwd=small.directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    (host,) = json.loads(done.stdout)["hosts"]
    inner = {each["name"]: f"{each['status']}: {each['why']}" for each in host["environments"]}
    return done.returncode, inner, f"{host['status']}: {host['why']}"


def free(root: Path) -> int:
    """Return what the files under a root leave of an imagined disk, in bytes."""
    found = [path.lstat() for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return -sum({each.st_ino: each.st_blocks * 512 for each in found}.values())


def freed(why: str) -> float:
    """Return the megabytes that a reason names."""
    found = re.search(r"free[sd] (\d+) MB", why)
    assert found, why
    return float(found[1])


def carried_out(said: str) -> str:
    """Return what a run says that does what a dry run has said."""
    done = {"would change": "changed", "would remove": "removed", "frees": "freed"}
    return re.sub("|".join(done), lambda word: done[word[0]], said)


@pytest.fixture
def three(small: Project, tmp_path: Path) -> Project:
    """This machine with three environments; two of them are of the same wheels."""
    big = {"timm.py": "", "timm.bin": os.urandom(SIZE // 2).hex()}
    make_wheel(tmp_path / "wheels", "timm", "1.0", files=big)
    say(small, "{vision: {packages: [timm]}, course: {}}")
    done = small.run("-y", "deploys/torch.py")
    assert done.returncode == 0, done.stdout
    assert len(small.generations()) == 2
    return small


@contextmanager
def running(environment: Path) -> Iterator[int]:
    """Run the Python of an environment until the end of the block; it holds a lease."""
    python = environment / "bin/python"
    with subprocess.Popen(
        [python, "-c", "print('up', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        try:
            yield process.pid
        finally:
            process.kill()


def test_what_left_the_inventory_goes_and_frees_what_the_dry_run_said(three: Project) -> None:
    say(three, "{course: {}}")
    drift = three.run("-y", "deploys/drift.py").stdout
    assert "not in the inventory" in drift
    before, tree = free(three.root), three.tree()
    code, planned, _ = remove(three, "--dry-run")
    assert (code, list(planned)) == (2, ["vision"])
    assert three.tree() == tree
    code, done, _ = remove(three, "--yes")
    assert (code, carried_out(planned["vision"])) == (2, done["vision"])
    assert freed(done["vision"]) == pytest.approx((free(three.root) - before) / 1e6, abs=0.6)
    assert freed(done["vision"]) >= SIZE // 1_000_000
    assert not (three.root / "environments/vision").is_symlink()
    assert three.python("import torch; print(torch.__version__)") == "2.13.0+cpu"
    assert len(three.generations()) == 1
    assert remove(three, "--yes") == (0, {}, "unchanged: nothing to remove")
    assert "nothing was deployed" not in three.run("-y", "deploys/drift.py").stdout


def test_a_generation_that_another_one_uses_stays(three: Project) -> None:
    say(three, "{vision: {packages: [timm]}, course: null}")
    code, done, _ = remove(three, "--yes")
    assert (code, freed(done["course"])) == (2, 0)
    assert "removed its link and its record;" in done["course"]
    assert len(three.generations()) == 2
    three.python("import torch")


def test_what_a_process_runs_from_stays_until_that_is_meant(three: Project) -> None:
    say(three, "{course: {}}")
    with running(three.root / "environments/vision") as pid:
        for how in ("--dry-run", "--yes"):
            code, done, _ = remove(three, how)
            assert code == 4
            assert f"by process {pid} (python" in done["vision"]
        assert (three.root / "environments/vision/bin/python").exists()
        code, done, _ = remove(three, "--yes", "--data", "in_use=true")
        assert code == 2
        assert "will fail: 2.13.0+cpu-cp3" in done["vision"]
    assert len(three.generations()) == 1


def test_all_of_fleetwheel_goes_but_what_is_not_its_own(three: Project) -> None:
    (three.root / "notes.txt").write_text("theirs")
    before = free(three.root)
    code, _, planned = remove(three, "--dry-run", "--data", "what=everything")
    assert (code, "notes.txt stays: it is not fleetwheel's" in planned) == (2, True)
    code, _, done = remove(three, "--yes", "--data", "what=everything")
    assert (code, done) == (2, carried_out(planned)), done
    assert [path.name for path in three.root.iterdir()] == ["notes.txt"]
    assert freed(done) == pytest.approx((free(three.root) - before) / 1e6, abs=0.6)
    assert remove(three, "--yes", "--data", "what=everything")[::2] == (
        0,
        "unchanged: nothing to remove",
    )
    (three.root / "notes.txt").unlink()
    say(three, "{}")
    assert three.run("-y", "deploys/torch.py").returncode == 0
    assert remove(three, "--yes", "--data", "what=everything")[0] == 2
    assert not three.root.exists()

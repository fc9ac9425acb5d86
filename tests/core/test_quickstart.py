"""The environment that quickstart.py makes, with the real pip."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.project import CHECKOUT


def test_quickstart_makes_its_environment_where_no_new_tree_replaces_it(tmp_path: Path) -> None:
    for name in (".venv", "tree"):
        (tmp_path / name).mkdir()
    (tmp_path / "tree/.venv").symlink_to("../.venv")
    shutil.copy(CHECKOUT / "quickstart.py", tmp_path / "tree")
    make = "import quickstart; quickstart.make_environment()"
    subprocess.run([sys.executable, "-c", make], cwd=tmp_path / "tree", check=True)
    (tmp_path / "tree").rename(tmp_path / "old")
    subprocess.run([tmp_path / ".venv/bin/python", "-c", "import pip"], check=True)

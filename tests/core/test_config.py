"""The settings of config.py as pyinfra takes them."""

from pathlib import Path

from tests.project import copy_of_checkout, run_pyinfra

PROBE = (
    "from pyinfra import config, state\nprint(config.REQUIRE_PYINFRA_VERSION, state.pool.size)\n"
)


def test_pyinfra_takes_what_config_py_says(tmp_path: Path) -> None:
    project = copy_of_checkout(tmp_path)
    (project / "probe.py").write_text(PROBE)
    assert ">=3.10,<4 200\n" in run_pyinfra(project, "--dry", "@local", "probe.py").stdout

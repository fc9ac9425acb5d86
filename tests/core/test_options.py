"""What the options of ``fleetwheel`` do, the same in every command that has them."""

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from fleetwheel import cli
from fleetwheel.inventory.load import VARIABLE
from fleetwheel.inventory.recorded import HostSnapshot, save_snapshots
from tests.project import copy_of_checkout, with_environment
from tests.samples import GPU_HOST, host

Options = dict[str, dict[str, dict[str, Any]]]
FLEETWHEEL = Path(sys.executable).with_name("fleetwheel")
HOST = "@fake/ws-01"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project directory whose inventory is one recorded host with nothing on it."""
    directory = copy_of_checkout(tmp_path_factory.mktemp("project"))
    state = host(GPU_HOST)
    recorded = HostSnapshot(name="ws-01", profile=state.profile, installation=state.installation)
    save_snapshots(directory / "recorded", [recorded])
    return directory


def run(project: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FLEETWHEEL, *words],
        cwd=project,
        env={**os.environ, "COLUMNS": "200", VARIABLE: "recorded", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("how", ["--dry-run", "--yes"])
def test_a_rollback_of_a_host_with_nothing_on_it_is_refused(project: Path, how: str) -> None:
    done = run(project, "rollback", how, "--json", "-")
    (found,) = map(with_environment, json.loads(done.stdout)["hosts"])
    assert (found["status"], found["why"]) == ("refused", "nothing was deployed here")
    assert done.returncode == 4


def test_a_repair_is_for_the_environments_that_were_chosen(project: Path) -> None:
    """Without their names the deploy would reach those that nobody looked at."""
    lab = project / "lab.yaml"
    environments = "{vision: {}, course: {}}"
    lab.write_text(f'hosts: {{"@local": {{root: "{project}/root", environments: {environments}}}}}')
    look = ["drift", "inventory.py", "--repair", "--data", "keep=3"]
    deploy = "pyinfra inventory.py deploys/torch.py --data keep=3"
    for chosen, data in (((), ""), (("--environment", "vision"), " --data environment=vision")):
        done = run(project, *look, *chosen, **{VARIABLE: str(lab)})
        assert done.returncode == 2, done.stderr
        assert f"\n{deploy}{data} --limit @local\n" in done.stdout


def test_a_look_at_some_environments_says_so_everywhere(project: Path) -> None:
    lab = project / "lab.yaml"
    environments = "{vision: {}, course: {}, speech: {}}"
    lab.write_text(f'hosts: {{"@local": {{root: "{project}/root", environments: {environments}}}}}')
    look = ["--data", "environment=vision", "--environment", "course", "--json", "found.json"]
    done = run(project, "drift", *look, "--html", "found.html", **{VARIABLE: str(lab)})
    assert "environments course, vision alone" in done.stdout
    found = json.loads((project / "found.json").read_text())
    assert found["environments"] == ["course", "vision"]
    assert {each["name"] for each in found["hosts"][0]["environments"]} == {"vision", "course"}
    assert "environments course, vision alone" in (project / "found.html").read_text()
    alone = run(project, "report", "--compare")
    assert (alone.returncode, "alone before the last one" in alone.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--environment", "Vision"], "--environment: 'Vision' is not a name for an environment"),
        (["--data", "environment=Vision"], "--data environment: 'Vision' is not a name"),
        (["--environment", ""], "--environment: names no environment"),
        (["--data", "environments=vision"], 'did you mean "environment"?'),
    ],
)
def test_what_is_no_environment_is_told_by_the_option_that_said_it(
    project: Path, words: list[str], error: str
) -> None:
    done = run(project, "drift", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert error in done.stderr


EVERY = sorted([*cli.COMMANDS, *cli.DEPLOYS])
ASKING = ["drift", "facts", "outlook", *cli.DEPLOYS]
"""Those that take an inventory."""


LIST_OPTIONS = """
import json
import click
from gevent import monkey
monkey.patch_all()
from fleetwheel.cli import commands

context = click.Context(commands)
found = {}
for name in commands.list_commands(context):
    params = commands.get_command(context, name).params
    found[name] = {max(param.opts, key=len): param.to_info_dict() for param in params}
print(json.dumps(found, default=repr))
"""
SAME = ("opts", "type", "multiple", "nargs", "is_flag")
"""What of an option decides how it is written."""


@pytest.fixture(scope="module")
def options() -> Options:
    """Return the options and arguments of every command, by their longest names."""
    text = subprocess.check_output([sys.executable, "-c", LIST_OPTIONS], text=True)
    found: Options = json.loads(text)
    assert sorted(found) == EVERY
    return found


@pytest.mark.parametrize("name", EVERY)
def test_every_command_can_be_quiet_and_verbose(name: str, options: Options) -> None:
    for option in ("--quiet", "--verbose"):
        assert options[name][option] == options["deploy"][option]


@pytest.mark.parametrize("name", ASKING)
def test_what_asks_hosts_takes_the_same_hosts_and_data(name: str, options: Options) -> None:
    for option in ("--limit", "--data"):
        assert options[name][option] == options["deploy"][option]
    assert options[name]["inventory"]["type"] == options["deploy"]["inventory"]["type"]


def test_options_of_one_name_are_one_option(options: Options) -> None:
    """``--json`` alone is two: a report goes to a FILE, an answer to standard output."""
    seen: dict[str, dict[str, Any]] = {}
    for name in EVERY:
        for option, said in options[name].items():
            kind = "--json as a flag" if option == "--json" and said["is_flag"] else option
            first = seen.setdefault(kind, said)
            if option.startswith("-"):
                assert [first[key] for key in SAME] == [said[key] for key in SAME], (name, option)


USAGE = [
    (["--limit", "nobody"], "--limit nobody: no such host or group"),
    (["--limit", "driver<1"], "no host fits"),
    (["--limit", "colour=red"], "no such fact"),
    (["--limit", "a,"], "--limit a: no such host or group"),
    (["--data", "keep"], "--data keep: is not KEY=VALUE"),
    (["--data", "keep=none"], "--data keep: must be a whole number"),
    (["--data", "kep=3"], 'did you mean "keep"'),
    (["--data", "colour=red"], "--data colour: no such setting; there are accelerator, "),
    (["--quiet", "--verbose"], "--quiet and --verbose contradict each other"),
    (["nowhere.py"], "there is no nowhere.py here"),
    (["inventory.py", "another.py"], "unexpected extra argument (another.py)"),
    (["--nonsense"], "No such option"),
    (["--limit"], "requires an argument"),
]
RUN_ALL = """
import json, sys
from gevent import monkey
monkey.patch_all()
from click.testing import CliRunner
from fleetwheel.cli import commands

for words in json.load(sys.stdin):
    done = CliRunner().invoke(commands, words)
    error = None if isinstance(done.exception, SystemExit) else repr(done.exception)
    print(json.dumps([done.exit_code, done.stdout, done.stderr, error]), flush=True)
"""


@pytest.fixture(scope="module")
def ends(project: Path) -> dict[str, list[Any]]:
    """Return how each command ends after each bad usage: all in one process, which starts once."""
    lines = [[name, *words] for name in ASKING for words, _ in USAGE]
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        cwd=project,
        env={**os.environ, VARIABLE: "recorded"},
        input=json.dumps(lines),
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    said = iter(done.stdout.splitlines())
    return {name: [json.loads(line) for line in islice(said, len(USAGE))] for name in ASKING}


@pytest.mark.parametrize("name", ASKING)
def test_bad_usage_ends_every_command_in_the_same_way(
    name: str, ends: dict[str, list[Any]]
) -> None:
    for (words, said), (code, out, err, error) in zip(USAGE, ends[name], strict=True):
        assert (code, out, error) == (1, "", None), (words, err)
        assert said in err, words


@pytest.mark.parametrize("name", ["facts", "drift", "outlook", "deploy"])
def test_quiet_leaves_the_result_and_verbose_says_more(project: Path, name: str) -> None:
    only = ["--dry-run"] if name == "deploy" else []
    quiet, loud = (run(project, name, *only, "-q"), run(project, name, *only, "-v"))
    assert "ws-01" in quiet.stdout or name == "outlook"
    assert ".json" not in quiet.stdout
    assert "Loaded fact" in loud.stderr
    assert all("going on without it" in line for line in quiet.stderr.splitlines())


@pytest.mark.parametrize("name", ["facts", "outlook"])
def test_recorded_hosts_take_limits_and_data(project: Path, name: str) -> None:
    def hosts(*words: str) -> list[str]:
        done = run(project, name, "recorded", "--json", *words)
        return [host["name"] for host in json.loads(done.stdout)["hosts"]]

    assert hosts("--limit", "gpu", "--data", "keep=3") == ["ws-01"]
    assert run(project, name, "recorded", "--limit", "cpu").returncode == 1


def test_an_inventory_stands_behind_a_limit(project: Path) -> None:
    done = run(project, "outlook", "--limit", HOST, "inventory.py")
    assert done.returncode == 0, done.stderr


def test_drift_compares_with_what_the_command_line_says(project: Path) -> None:
    done = run(project, "drift", "--data", "torch=newest")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--data torch: 'newest' is no version" in done.stderr
    done = run(project, "drift", "--repair", "--json", "-", "--data", "accelerator=cpu")
    assert done.returncode == 2
    command = f"pyinfra inventory.py deploys/torch.py --data accelerator=cpu --limit {HOST}"
    assert command in done.stderr


def test_verbose_tells_which_sources_were_asked_and_files_read(
    project: Path, tmp_path: Path
) -> None:
    assert " holds " in run(project, "choose", "-v").stderr
    assert run(project, "choose", "-q", "--offline").stderr == ""
    loud = run(project, "init", "-v", str(tmp_path / "a"))
    assert f"wrote {tmp_path}/a/inventory.py" in loud.stderr
    assert run(project, "init", "-q", str(tmp_path / "b")).stdout == ""
    assert "read reports/" in run(project, "report", "-v").stderr

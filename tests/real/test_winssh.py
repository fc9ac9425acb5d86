"""The connector for Windows over the rig: real cmd, real Windows Python, under Wine."""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.project import copy_of_checkout, run_pyinfra
from tests.rig.windows import Rig, windows_rig
from tests.rig.windows.calls import connect_and_call
from tests.rig.windows.prefix import missing

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(bool(missing()), reason=str(missing())),
]
PYTHON = r"C:\Python311\python.exe"
NASTY = [
    "",
    " ",
    "plain",
    "a b",
    '"',
    'a"b',
    '"&ver"',
    "a&ver",
    "|more",
    "<in>out",
    "^",
    "^^",
    "%PATH%",
    "%OS:W=x%",
    "%%",
    "100%",
    "!PATH!",
    "(x)",
    "a\\",
    'a\\"b\\\\',
    "C:\\dir with space\\",
    "a\tb",
    "'single'",
    "`$x`",
    "grüße 日本 😀",
    "“typographic”",
    "-x=1,2;3",
    "*?[a]{b}~",
    "\x0b\x0c\x1b\x7f\x85\u2028",
]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with windows_rig(tmp_path_factory.mktemp("rig") / "windows") as rig:
        yield rig


def split(text: str) -> list[str]:
    """Undo what arguments.exe prints: each argument behind its length in bytes."""
    rest, found = text.encode(), []
    while rest:
        size, _, rest = rest.partition(b":")
        found.append(rest[: int(size)].decode())
        rest = rest[int(size) :]
    return found


def run(*bits: str | list[str], **arguments: Any) -> dict[str, Any]:
    return {"run": bits, "arguments": arguments}


def leftovers(rig: Rig) -> list[Path]:
    return list(rig.drive_c.glob("users/*/AppData/Local/Temp/fleetwheel/*"))


def test_arguments_arrive(rig: Rig) -> None:
    """Each alone, so that both ways to run a command are taken, and all at once."""
    together = run("arguments.exe", *([text] for text in NASTY))
    calls = [run("arguments.exe", [text]) for text in NASTY]
    *single, all_at_once = connect_and_call(rig.data, *calls, together)
    assert [answer for answer in single if not answer["ok"]] == []
    assert [split("\n".join(answer["stdout"])) for answer in single] == [[text] for text in NASTY]
    assert split("\n".join(all_at_once["stdout"])) == NASTY
    assert not leftovers(rig)


def test_arguments_of_any_kind_arrive(rig: Rig) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    pieces = [*r"\"'%^&|<>()!=,; ab", "%OS%", "!OS!", '"&', "\\\\", "\t", "é", "日", "😀"]
    commands = [
        ["".join(chance.choices(pieces, k=chance.randrange(12))) for _ in range(30)]
        for _ in range(5)
    ]
    calls = [run("arguments.exe", *([text] for text in command)) for command in commands]
    answers = connect_and_call(rig.data, *calls)
    assert [split("\n".join(answer["stdout"])) for answer in answers] == commands, seed


def test_environment_directory_and_standard_input(rig: Rig) -> None:
    (rig.drive_c / "Lab & Söhne %TEMP%").mkdir()
    show = [PYTHON, "-c", ["import os;print(os.environ['V'], os.getcwd(), input())"]]
    given = {"V": 'a"b&%PATH%^ é', "_chdir": "C:/Lab & Söhne %TEMP%"}
    shown, nowhere, cmd = connect_and_call(
        rig.data,
        run(*show, _env={"V": given["V"]}, _chdir=given["_chdir"], _stdin="grüße"),
        run("echo here", _chdir="C:\\nowhere"),
        run("set /p LINE=&call echo [%LINE%]", _stdin="from stdin"),
    )
    assert shown["stdout"] == [f"{given['V']} C:\\Lab & Söhne %TEMP% grüße"], shown
    assert not nowhere["ok"]
    assert not nowhere["stdout"]
    assert cmd["ok"], cmd


def test_exit_codes_and_output(rig: Rig) -> None:
    crash = [PYTHON, "-c", ["import os;os._exit(-1073741819)"]]
    noise = [PYTHON, "-c", [r"import os;os.write(1,b'\xff\xfea\r\nb\x00\xc3\xbc')"]]
    script = "if exist nothing (\n  exit /b 4\n) else (\n  exit /b 5\n)"
    three, crashed, expected, bytes_, both, five = connect_and_call(
        rig.data,
        run("exit /b 3", _success_exit_codes=[3]),
        run(*crash),
        run(*crash, _success_exit_codes=[3221225477]),
        run(*noise),
        run("echo out&echo err 1>&2"),
        run(script, _success_exit_codes=[5]),
    )
    assert three["ok"]
    assert not crashed["ok"]
    assert crashed["stderr"] == ["exit status 0xc0000005, a crash"]
    assert expected["ok"]
    assert bytes_["stdout"] == ["\ufffd\ufffda", "b\0ü"]
    assert (both["stdout"], [line.strip() for line in both["stderr"]]) == (["out"], ["err"])
    assert five["ok"], five


def test_long_commands(rig: Rig) -> None:
    long = "\n".join(f"echo {number}" for number in range(3000))
    script, line, words = connect_and_call(
        rig.data, run(long), run("echo", "x" * 8200), run("echo %OS%", "ü日" * 1000)
    )
    assert script["stdout"] == [str(number) for number in range(3000)]
    assert not line["ok"]
    assert "cmd takes 8191" in line["stderr"][0]
    assert words["stdout"] == ["Windows_NT " + "ü日" * 1000]


def test_a_timeout_ends_the_process_and_its_children(rig: Rig) -> None:
    beat = "import time,sys\nwhile 1: open(sys.argv[1],'a').write('x'); time.sleep(.1)"
    start = f"import subprocess,sys; subprocess.run([sys.executable,'-c',{beat!r},sys.argv[1]])"
    late, after = connect_and_call(
        rig.data,
        run(PYTHON, "-c", [start], ["C:\\beat"], _timeout=4),
        run("echo still here"),
    )
    assert late["error"] == "TimeoutError"
    assert late["seconds"] < 9
    assert after["stdout"] == ["still here"]
    beats = (rig.drive_c / "beat").stat().st_size
    assert beats > 0
    time.sleep(0.5)
    assert (rig.drive_c / "beat").stat().st_size == beats
    assert not leftovers(rig)


def test_what_was_said_counts_though_a_child_keeps_the_output_open(rig: Rig) -> None:
    """As one that breaks away from sshd's job does (PowerShell/Win32-OpenSSH#2452)."""
    stay = "import time; time.sleep(20)"
    breakaway = "creationflags=subprocess.CREATE_BREAKAWAY_FROM_JOB, close_fds=False"
    start = f"import subprocess,sys; subprocess.Popen([sys.executable,'-c',{stay!r}], {breakaway})"
    lines = "print('\\n'.join(map(str, range(5000))), flush=True)"
    (held,) = connect_and_call(
        rig.data,
        run(PYTHON, "-c", [f"{start}; {lines}; sys.exit(7)"], _timeout=15, _success_exit_codes=[7]),
    )
    assert held["ok"], held
    assert held["stdout"] == [str(number) for number in range(5000)]
    assert held["seconds"] < 12


def test_files_there_and_back(rig: Rig) -> None:
    path = "C:\\users\\Public\\Größe %1 & Co (x).txt"
    put, typed, again, got, lost, nowhere = connect_and_call(
        rig.data,
        {"put": "grüße\r\n", "to": path},
        run("type", [path]),
        {"put": "grüße\r\n" * 20000, "to": path},
        {"get": path.replace("\\", "/")},
        {"get": "C:/nothing here"},
        {"put": "x", "to": "C:\\no such directory\\x"},
    )
    assert put["ok"]
    assert again["ok"]
    assert got["content"] == "grüße\r\n" * 20000
    assert typed["stdout"] == ["grüße"]
    assert not lost["ok"]
    assert "/C:/nothing here" in lost["message"]
    assert not nowhere["ok"]
    assert "/C:/no such directory/x" in nowhere["message"]
    assert [file.name for file in (rig.drive_c / "users/Public").glob("Gr*")] == [path[16:]]


def test_a_transfer_that_breaks_off_leaves_the_file_that_was_there(rig: Rig) -> None:
    connect_and_call(rig.data, {"put": "old", "to": "C:\\kept.txt"})
    rig.drop_after(300_000)
    broken, after = connect_and_call(
        rig.data, {"put": "new" * 1_000_000, "to": "C:\\kept.txt"}, run("ver")
    )
    assert broken["error"] == "SSHException", broken
    assert "/C:/kept.txt" in broken["message"]
    assert after["error"] == "SSHException"
    assert (rig.drive_c / "kept.txt").read_text() == "old"


def test_a_transfer_that_takes_too_long_is_ended(rig: Rig) -> None:
    rig.stall_after(300_000)
    slow = {"put": "x" * 3_000_000, "to": "C:\\slow.txt", "arguments": {"_timeout": 1}}
    late, after, again = connect_and_call(
        rig.data, slow, run("echo %OS%"), {"put": "in time", "to": "C:\\slow.txt"}
    )
    assert late["error"] == "TimeoutError", late
    assert late["seconds"] < 4
    assert after["stdout"] == ["Windows_NT"]
    assert again["ok"]
    assert [path.name for path in rig.drive_c.glob("slow*")] == ["slow.txt"]


def test_a_connection_that_drops_while_a_command_runs_is_said(rig: Rig) -> None:
    rig.drop_after(1000)
    read = run(PYTHON, "-c", ["import sys;sys.stdin.read()"], _stdin="x" * 100_000, _timeout=30)
    broken, after = connect_and_call(rig.data, read, run("ver"))
    assert broken["error"] == "SSHException", broken
    assert "dropped" in broken["message"]
    assert broken["seconds"] < 20
    assert after["error"] == "SSHException"


def test_what_a_dropped_connection_left_is_removed_a_day_later(rig: Rig) -> None:
    connect_and_call(rig.data, run("echo %OS%"))
    [directory] = rig.drive_c.glob("users/*/AppData/Local/Temp/fleetwheel")
    ages = {"old.cmd": 90_000, "in-use.cmd": 80_000, "from-a-wrong-clock.cmd": -200_000}
    for name, age in ages.items():
        (directory / name).write_text("rem secret\n")
        os.utime(directory / name, times=(time.time() - age,) * 2)
    [answer] = connect_and_call(rig.data, run("echo %OS%"))
    assert answer["stdout"] == ["Windows_NT"]
    left = leftovers(rig)
    assert {path.name for path in left} == {"in-use.cmd", "from-a-wrong-clock.cmd"}
    for path in left:
        path.unlink()


def test_what_windows_has_not_is_said(rig: Rig) -> None:
    sudo, put = connect_and_call(
        rig.data,
        run("ver", _sudo=True),
        {"put": "x", "to": "C:\\x", "arguments": {"_su_user": "admin"}},
    )
    assert not sudo["ok"]
    assert "Windows has no sudo" in sudo["stderr"][0]
    assert not put["ok"]
    assert not (rig.drive_c / "x").exists()


def test_who_is_not_let_in(rig: Rig, tmp_path: Path) -> None:
    stranger = tmp_path / "known_hosts"
    other = "AAAAC3NzaC1lZDI1NTE5AAAAIE8aTVGVbDbEQUYMGmSBvIyyXEUexzVQWfbQXWZDCjYM"
    stranger.write_text(f"[{rig.address}]:{rig.port} ssh-ed25519 {other}\n")
    empty = tmp_path / "empty"
    empty.touch()
    without_key = {name: value for name, value in rig.data.items() if name != "ssh_key"}
    alone = {"ssh_allow_agent": False, "ssh_look_for_keys": False}
    default = {k: v for k, v in rig.data.items() if k != "ssh_strict_host_key_checking"}
    for data, words in [
        (without_key | alone | {"ssh_password": "wrong"}, "Authentication error"),
        (rig.data | {"ssh_known_hosts_file": str(stranger)}, "host key"),
        (default | {"ssh_known_hosts_file": str(empty)}, "found in known_hosts"),
        (rig.data | {"ssh_port": 1}, "Could not connect"),
    ]:
        (answer,) = connect_and_call(data, run("ver"))
        assert answer["error"] == "ConnectError"
        assert words in answer["message"]
    (let_in,) = connect_and_call(without_key | alone | {"ssh_password": rig.password}, run("ver"))
    assert let_in["ok"]


def test_pyinfra_as_people_use_it(rig: Rig, tmp_path: Path) -> None:
    """Several hosts at once, a dry run, and only one of them; as the inventory names them."""
    project = copy_of_checkout(tmp_path)
    (project / "inventory/lab.yaml").write_text(f"""\
defaults: {{os: windows, address: {rig.address}, port: {rig.port}, user: {rig.user}}}
groups:
  lab:
    key: {rig.key}
    known_hosts: {rig.known_hosts}
    hosts: {{one: , two: , three: }}
""")

    def pyinfra(*arguments: str) -> str:
        done = run_pyinfra(project, "inventory.py", *arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout

    mark = r"echo done>C:\mark.txt"
    dry = pyinfra("--dry", "exec", "--", mark)
    assert not (rig.drive_c / "mark.txt").exists(), dry
    said = pyinfra("-y", "-vv", "exec", "--", "ver")
    assert said.count("Microsoft Windows") == 3
    assert said.count(">>> ver") == 3
    assert pyinfra("-y", "-vv", "--limit", "@winssh/two", "exec", "--", "ver").count(">>> ver") == 1


def test_powershell_as_default_shell(tmp_path: Path) -> None:
    """The rig's powershell.exe knows the connector's lines and nothing else."""
    with windows_rig(tmp_path / "windows", shell="powershell") as rig:
        said, code, asked = connect_and_call(
            rig.data,
            run("arguments.exe", *([text] for text in NASTY)),
            run("exit /b 7", _success_exit_codes=[7]),
            run(PYTHON, "-c", ["print(input())"], _stdin="grüße"),
        )
        assert split("\n".join(said["stdout"])) == NASTY
        assert code["ok"]
        assert asked["stdout"] == ["grüße"]
        assert not leftovers(rig)

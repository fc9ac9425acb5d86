"""The root directory of a Windows host: users can read it, and only administrators change it.

A directory of C:\\ or C:\\ProgramData inherits that everyone may add to it. So a new root is made
where no user can reach it, with permissions of its own, and then moved to its place.
"""

from pyinfra.api import Host, QuoteString, StringCommand

from fleetwheel.deploy.preflight import distrusted
from fleetwheel.facts._question import windows_places
from fleetwheel.inventory.settings import Settings
from fleetwheel.node.sddl import ADMINISTRATORS, SYSTEM, USERS

PERMISSIONS = " ".join(
    ["/inheritance:r /grant:r"]
    + [f"*{sid}:(OI)(CI){right}" for sid, right in ((SYSTEM, "F"), (ADMINISTRATORS, "F"))]
    + [f"*{USERS}:(OI)(CI)RX"]
)
MAKE = f"""
set "PATH=%SystemRoot%\\System32"
for %%p in ("%wanted%\\..") do set "top=%%~fp"
if exist "%top%\\." goto below
:upwards
for %%p in ("%top%\\..") do set "above=%%~fp"
if "%above:~3%"=="" goto make
if exist "%above%\\." goto make
set "top=%above%"
goto upwards
:make
set "stage=%ProgramFiles%\\fleetwheel-%RANDOM%%RANDOM%"
md "%stage%"
set "new=%stage%"
call :close
move "%stage%" "%top%" >nul
set "new=%top%"
if exist "%top%\\." goto below
md "%top%"
call :close
rd "%stage%"
:below
if not exist "%wanted%\\." md "%wanted%"
if exist "%wanted%\\." exit /b 0
exit /b 1
:close
"%SystemRoot%\\System32\\icacls.exe" "%new%" {PERMISSIONS} >nul
"%SystemRoot%\\System32\\icacls.exe" "%new%" /setowner *{ADMINISTRATORS} >nul
goto :eof
"""
UV = """
if not exist "%directory%\\." exit /b 1
cd /d "%directory%"
if not exist uv.new exit /b 1
move /y uv.new "%name%" >nul
if exist uv.exe del uv.exe
mklink /h uv.exe "%name%" >nul 2>&1
if not exist uv.exe copy "%name%" uv.exe >nul
if not exist uv.exe exit /b 1
"""


def make_closed_directory(path: str) -> StringCommand:
    """Return what makes a directory right below the root, and the root where it is not there."""
    return StringCommand("set", _variable("wanted", path), MAKE)


def name_uv(directory: str, name: str) -> StringCommand:
    """Return what gives ``uv.new`` its name in a directory, and the name ``uv.exe`` besides."""
    values = (_variable("directory", directory), "\nset", _variable("name", name), UV)
    return StringCommand("set", *values)


def _variable(name: str, value: str) -> QuoteString:
    return QuoteString(f"{name}={value.replace('/', chr(92))}")


def require_closed(host: Host, settings: Settings) -> None:
    """Ask again who can change the root, once it was made: somebody may have been first.

    Raises FleetwheelError where others can.
    """
    places = windows_places(settings.root, settings.trust)
    if places.distrusted:
        root = settings.root or r"C:\ProgramData\fleetwheel"
        raise distrusted(root, places.distrusted, "")

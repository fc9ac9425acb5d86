"""Microsoft's Visual C++ runtime on a Windows host: installed where torch could not be loaded."""

import re
from collections.abc import Generator

from pyinfra import host, logger
from pyinfra.api import Host, QuoteString, StringCommand
from pyinfra.api.command import PyinfraCommand

from fleetwheel.delivery.redistributable import redistributable
from fleetwheel.errors import FleetwheelError
from fleetwheel.host.profile import HostState
from fleetwheel.inventory.settings import Settings, VisualCpp
from fleetwheel.matrix.visual_cpp import outdated
from fleetwheel.operations import _probe, _push, _report, _windows_root
from fleetwheel.operations._connection import noticed
from fleetwheel.operations._host_state import forget_host_state
from fleetwheel.operations._step import step
from fleetwheel.reporting.report import HostReport

INSTALLED = (0, 1638, 3010)
"""Exit codes of Windows Installer: done, a newer one is there, done once Windows has restarted."""
RESTART = 3010
SIGNED = "Valid CN=Microsoft Corporation, O=Microsoft Corporation, "
ASK_SIGNATURE = (
    "set PSModulePath=\n"  # that of PowerShell 7 keeps this one from loading its own modules
    r'"%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell.exe" -NoProfile -NonInteractive'
    ' -Command "Get-AuthenticodeSignature -LiteralPath $env:package'
    """ | ForEach-Object { '{0} {1}' -f $_.Status, $_.SignerCertificate.Subject }" <nul"""
)
INSTALL = """
start "" /wait "%package%" /install /quiet /norestart
echo ended %errorlevel%
"""
"""A program with windows is waited for by start alone."""


def runtime_ready(facts: HostState, settings: Settings) -> Generator[PyinfraCommand]:
    """Yield what installs the runtime that the inventory names, where the host needs it."""
    package, profile = settings.visual_cpp, facts.profile
    own = [profile.brings_visual_cpp(python.path) for python in profile.pythons]
    if package is None or (own and all(own)) or not outdated(profile.visual_cpp, profile.arch):
        return
    why = "install the Visual C++ runtime, without which torch cannot be loaded"
    about = HostReport(name=host.name, status="would change", why=why, profile=profile)
    _report.record(about)
    logger.info(f"{host.print_prefix}{why}")
    failed = about.model_copy(update={"status": "failed"})
    cache = f"{facts.installation.root}/cache"
    yield _windows_root.make_closed_directory(cache)
    yield step(failed, _windows_root.require_closed, settings)
    yield step(failed, _install, package, cache, settings)


def _install(host: Host, package: VisualCpp, cache: str, settings: Settings) -> None:
    """Send the package, and run it if Microsoft has signed it."""
    there = f"{cache}/vc_redist-{package.sha256[:16]}.exe".replace("/", "\\")
    _push.file(host, str(redistributable(package.url, package.sha256)), there)
    try:
        signer = _run(host, there, ASK_SIGNATURE, settings.fact_timeout)
        _require_microsoft(package.url, signer)
        _require_installed(_run(host, there, INSTALL, settings.install_timeout))
    finally:
        _run(host, there, 'del "%package%"', settings.fact_timeout)
    forget_host_state()


def _require_microsoft(url: str, signer: str) -> None:
    if not signer.startswith(SIGNED):
        raise FleetwheelError(
            f"{url} is not run: its signature is {signer or 'not known'}, and not one of Microsoft"
            " that Windows believes",
            hint="name the redistributable as Microsoft gives it out",
        )


def _require_installed(said: str) -> None:
    """Read ``ended 0``."""
    code = int(said[6:]) if re.fullmatch("ended -?[0-9]{1,10}", said) else None
    if code not in INSTALLED:
        raise FleetwheelError(
            f"the Visual C++ redistributable ended with exit code {code}",
            hint=r"see its log on the host, dd_vcredist_*.log in %TEMP%",
        )
    if code == RESTART:
        raise FleetwheelError(
            "the Visual C++ runtime is installed, and Windows has to restart before it is in use",
            hint="restart the host, then run again",
        )


def _run(host: Host, package: str, lines: str, timeout: int) -> str:
    """Run lines that find the package in a variable, and return the last one that they say."""
    command = StringCommand("set", QuoteString(f"package={package}"), f"\n{lines}")
    arguments = _probe.connector_arguments(host) | {"_timeout": timeout}
    with noticed(host):
        _, output = host.run_shell_command(command, **arguments)
    return next(reversed(output.stdout_lines), "").strip()

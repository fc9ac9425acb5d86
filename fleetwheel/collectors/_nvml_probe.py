"""The NVML probe as text that fits into a command: a zip archive that Python runs, in base64."""

import base64
import inspect
from functools import cache
from importlib.resources import files
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pynvml


@cache
def nvml_probe() -> str:
    """Return fleetwheel/probes/gpu.py and the installed pynvml, the same text from the same files.

    It is 70 KB; nothing in it needs quoting in a shell.
    """
    program = (files("fleetwheel.probes") / "gpu.py").read_text(encoding="utf-8")
    archive = BytesIO()
    with ZipFile(archive, "w", ZIP_DEFLATED, compresslevel=9) as zipped:
        for name, text in (("__main__.py", program), ("pynvml.py", inspect.getsource(pynvml))):
            member = ZipInfo(name)
            member.compress_type = ZIP_DEFLATED
            zipped.writestr(member, text, compresslevel=9)
    return base64.b64encode(archive.getvalue()).decode()

"""Small wheels and locks of them, made on the spot: real files for real installs in no time."""

import base64
import hashlib
import zipfile
from pathlib import Path


def make_wheel(
    directory: Path,
    name: str,
    version: str,
    *,
    tag: str = "py3-none-any",
    files: dict[str, str] | None = None,
    requires: tuple[str, ...] = (),
    requires_python: str = "",
    record: dict[str, str] | None = None,
    sizes: dict[str, int] | None = None,
) -> Path:
    """Write a wheel with these files (by default one module named like the project).

    ``record`` holds hashes, and ``sizes`` bytes, that RECORD states in place of the right ones.
    """
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    metadata += [f"Requires-Python: {requires_python}\n"] if requires_python else []
    metadata += [f"Requires-Dist: {requirement}\n" for requirement in requires]
    contents = dict(files or {f"{name}.py": f"__version__ = {version!r}\n"})
    contents[f"{info}/METADATA"] = "".join(metadata)
    contents[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"
    hashes = {path: _record_hash(text) for path, text in contents.items()} | (record or {})
    bytes = {path: len(text) for path, text in contents.items()} | (sizes or {})
    rows = [f"{path},{hashes[path]},{bytes[path]}\n" for path in contents]
    contents[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"])
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in contents.items():
            wheel.writestr(member, text)
    return path


def _record_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def lock_of(*wheels: Path) -> str:
    """Return the text of a PEP 751 lock that holds these wheels."""
    text = 'lock-version = "1.0"\ncreated-by = "tests"\n'
    for wheel in wheels:
        name, version = wheel.name.split("-")[:2]
        sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
        text += (
            f'\n[[packages]]\nname = "{name}"\nversion = "{version}"\n'
            f'wheels = [{{ url = "{wheel.as_uri()}", hashes = {{ sha256 = "{sha256}" }} }}]\n'
        )
    return text

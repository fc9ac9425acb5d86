"""Zip archives for hosts: the same bytes from the same files."""

from collections.abc import Mapping
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return a zip archive of files, path to content."""
    archive = BytesIO()
    with ZipFile(archive, "w", ZIP_DEFLATED, compresslevel=9) as zipped:
        for name in sorted(files):
            member = ZipInfo(name)  # its date is 1980
            member.compress_type = ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            zipped.writestr(member, files[name], compresslevel=9)
    return archive.getvalue()

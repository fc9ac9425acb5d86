"""The SFTP side of the rig's server: the files of a prefix under /C:/ paths."""

import os
from collections.abc import Callable
from pathlib import Path

import paramiko
from paramiko.sftp import SFTP_OK

from tests.rig.windows.commandline import to_file, to_path

convert = paramiko.SFTPServer.convert_errno


class File(paramiko.SFTPHandle):
    """An open file, whose writes are reported before they are done."""

    def __init__(self, path: Path, flags: int, written: Callable[[int], None]) -> None:
        super().__init__(flags)
        mode = {os.O_RDONLY: "rb", os.O_WRONLY: "wb", os.O_RDWR: "r+b"}[flags & os.O_ACCMODE]
        file = os.fdopen(os.open(path, flags, 0o666), mode)
        self.readfile = self.writefile = file
        self.written = written

    def write(self, offset: int, data: bytes) -> int:
        self.written(len(data))
        return super().write(offset, data)

    def stat(self) -> paramiko.SFTPAttributes:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self.readfile.fileno()))


class Files(paramiko.SFTPServerInterface):
    """Answers SFTP requests of one connection, as OpenSSH's own server does on Windows."""

    def __init__(self, server: "paramiko.ServerInterface", *rest: object) -> None:
        super().__init__(server, *rest)
        self.connection = server
        self.machine = server.machine

    def _file(self, path: str) -> Path:
        return to_file(self.machine.prefix, self.machine.home, path)

    def canonicalize(self, path: str) -> str:
        return to_path(self.machine.prefix, self.machine.home, path)

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> File | int:
        try:
            return File(self._file(path), flags, self.connection.written)
        except OSError as error:
            return convert(error.errno)

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        try:
            entries = list(self._file(path).iterdir())
            return [paramiko.SFTPAttributes.from_stat(e.lstat(), e.name) for e in entries]
        except OSError as error:
            return convert(error.errno)

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        try:
            return paramiko.SFTPAttributes.from_stat(self._file(path).stat())
        except OSError as error:
            return convert(error.errno)

    lstat = stat

    def remove(self, path: str) -> int:
        return _done(self._file(path).unlink)

    def rename(self, oldpath: str, newpath: str) -> int:
        """Refuse to replace a file: that is what posix_rename is for."""
        source, target = self._file(oldpath), self._file(newpath)
        return _done(os.link, source, target) or _done(source.unlink)

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        return _done(self._file(oldpath).replace, self._file(newpath))

    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        return _done(self._file(path).mkdir)

    def rmdir(self, path: str) -> int:
        return _done(self._file(path).rmdir)

    def chattr(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        return _done(self._file(path).stat)


def _done(change: Callable[..., object], *arguments: object) -> int:
    try:
        change(*arguments)
    except OSError as error:
        return convert(error.errno)
    return SFTP_OK

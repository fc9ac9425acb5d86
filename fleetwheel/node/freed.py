"""What removing files frees on a disk where one file has several names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path


def freed_bytes(trees: Iterable[Path]) -> int:
    """Return the space that goes free with files and directories: that of files left nameless."""
    found = [path.lstat() for tree in trees for path in files_in(tree)]
    names = Counter(map(inode, found))
    sizes = {inode(each): _size(each) for each in found if names[inode(each)] >= each.st_nlink}
    return sum(sizes.values())


def files_in(tree: Path) -> Iterator[Path]:
    """Yield the files and links of a directory, or a file itself; no link is followed."""
    if tree.is_symlink() or not tree.is_dir():
        yield from [tree] if os.path.lexists(str(tree)) else []
        return
    for directory, _, names in os.walk(str(tree)):
        yield from (Path(directory, name) for name in names)


def inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _size(status: os.stat_result) -> int:
    blocks: int | None = getattr(status, "st_blocks", None)  # Windows has none
    return status.st_size if blocks is None else blocks * 512

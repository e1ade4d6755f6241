"""Whole: write a file all at once, or leave what is there.

The content is written to a file that has no name, where the system can do that, or to a hidden one
beside the target, and takes the place of the target when it is on the disk. So no reader ever sees
half a file; of several writers one is last, and its file is whole. A symbolic link stays one, and
what it leads to is replaced; mode, owner and group of an old file stay, as far as this process may
set them.

Sharp edge: a process that is killed in the instant between naming a whole file and moving it leaves
that one hidden file; without files that have no name, one that is killed while it writes.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file.

    Raises
    ------
    OSError
        If it can't be written, or `path` leads to something that is no file. What is there stays.
    """
    target = Path(os.path.realpath(path))
    old = target.stat() if target.exists() else None
    if old is not None and not stat.S_ISREG(old.st_mode):
        kind = errno.EISDIR if stat.S_ISDIR(old.st_mode) else errno.EINVAL
        raise OSError(kind, "not a file that can be replaced", str(path))
    temporary = target.with_name(f".{secrets.token_hex(8)}.bnrewrite")
    try:
        try:
            _write_nameless(temporary, content, old)
        except (AttributeError, OSError):  # not on this system, or not in this folder
            with open(temporary, "xb") as file:
                _write(file, content, old)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _write_nameless(temporary: Path, content: bytes, old: os.stat_result | None) -> None:
    """Write a file that gets its name when it is whole."""
    descriptor = os.open(temporary.parent, os.O_TMPFILE | os.O_WRONLY, 0o666)
    with open(descriptor, "wb") as file:
        _write(file, content, old)
        folder = os.open(temporary.parent, os.O_RDONLY)
        try:
            # Given a folder, `link` follows the link that the system has to an open file.
            os.link(f"/proc/self/fd/{descriptor}", temporary, dst_dir_fd=folder)
        finally:
            os.close(folder)


def _write(file: BinaryIO, content: bytes, old: os.stat_result | None) -> None:
    file.write(content)
    file.flush()
    if old is not None:
        with suppress(AttributeError, OSError):
            os.fchown(file.fileno(), old.st_uid, old.st_gid)
        with suppress(AttributeError):
            os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
    os.fsync(file.fileno())

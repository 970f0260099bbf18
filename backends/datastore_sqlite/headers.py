"""Reading the beginning of a file without harming whoever has it open in this process.

When a process closes *any* descriptor of a file, POSIX releases all locks that the process has on it. So opening a
database's file just to look at it, and closing it again, takes away the locks of the connections that have it open.
Another process then believes that it is alone, and removes the log that they still use. See
https://www.sqlite.org/howtocorrupt.html, section 2.2. So a descriptor of a file that is open elsewhere in this process
is kept for ever and reused, one for each such file.
"""

from __future__ import annotations

import os
from pathlib import Path

_DESCRIPTORS = Path("/dev/fd")  # on Linux, macOS and the BSDs
_kept: dict[tuple[int, int], int] = {}


def read_beginning(path: Path, size: int) -> tuple[bytes, int]:
    """Return the first bytes of a file, and the length of the whole file.

    Raises:
        OSError: If it cannot be read.
    """
    status = path.stat()
    kept = _kept.get((status.st_dev, status.st_ino))
    if kept is not None:
        return _read(kept, size), status.st_size
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        return _read(descriptor, size), status.st_size
    finally:
        _close(descriptor, status)


def make(path: Path, mode: int) -> None:
    """Create an empty file that must not exist.

    Raises:
        FileExistsError: If it exists.
        OSError: If it cannot be created.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), mode)
    _close(descriptor, os.fstat(descriptor))


def _read(descriptor: int, size: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)  # Windows, where closing releases no such locks
    return os.read(descriptor, size)


def _close(descriptor: int, status: os.stat_result) -> None:
    if os.name == "posix" and _is_open_elsewhere(descriptor, status):
        _kept[status.st_dev, status.st_ino] = descriptor
    else:
        os.close(descriptor)


def _is_open_elsewhere(descriptor: int, status: os.stat_result) -> bool:
    """Return whether this process may have another descriptor of the file; true if that cannot be found out."""
    try:
        others = [int(entry.name) for entry in _DESCRIPTORS.iterdir()]
    except OSError:
        return True
    for other in others:
        try:
            found = os.fstat(other)
        except OSError:  # of the listing itself, or of one that was closed meanwhile
            continue
        if other != descriptor and (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino):
            return True
    return False

"""Files that hold users' data: only their owner may read them, and nobody else can redirect them elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_MODE = 0o600
# On Windows not everybody may create links, and the directory decides who may read a file.
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def create(path: Path) -> BinaryIO:
    """Create a new file that only its owner may read, instead of a file with the same name, and open it.

    A symbolic link with that name is removed; its target is not touched. The directory stays as it is.

    Raises:
        OSError: If the file cannot be created.
    """
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, _MODE), "r+b")

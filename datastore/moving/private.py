"""Files that hold what users have stored: nobody else may read them, or choose where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_MODE = 0o600
# Windows has no such links that anybody may make, and says who may read a file by its directory.
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def create(path: Path) -> BinaryIO:
    """Make a new file that only its owner may read, in the place of whatever is there, and open it.

    A symbolic link in that place goes; what it leads to is not touched. The directory stays as it is.

    Raises:
        OSError: If it cannot be made.
    """
    path.unlink(missing_ok=True)
    return open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, _MODE), "r+b")  # noqa: PTH123

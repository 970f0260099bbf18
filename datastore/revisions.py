"""Revisions: opaque, and new on every write that makes one."""

from __future__ import annotations

import os
from collections import deque

_MADE_AT_ONCE = 256
_revisions: deque[str] = deque()
"""Random bytes made in advance: asking the operating system takes as long as the rest of making a revision."""


def new_revision() -> str:
    """Return 96 random bits as 24 hex digits."""
    try:
        return _revisions.pop()
    except IndexError:
        digits = os.urandom(12 * _MADE_AT_ONCE).hex()
        _revisions.extend(digits[start : start + 24] for start in range(24, len(digits), 24))
        return digits[:24]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_revisions.clear)  # the parent will use these

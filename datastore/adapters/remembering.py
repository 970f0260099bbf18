"""How a record knows the writes that it has seen, so that a write that is sent again is not applied twice.

A write whose answer was lost is sent again, and by then others may have written the same record. So each record keeps
a *mark* of each of its last writes, the newest first: the first 8 hex digits of a hash of the write's revision. A write
that finds its own mark was applied. Counts of accesses have marks of their own, because they change no revision.

Only a write that is repeated should find its mark. That one of 16 other writes has the same, so that a write is taken
for done that never was, happens once in 270 million writes (16 in 2**32) that ask; and only those ask that found the
record otherwise than they expected.
"""

from __future__ import annotations

import os
import random
from functools import lru_cache
from hashlib import blake2b

REMEMBERED = 16
"""The marks that a record keeps; so many writes may come between a write and its repetition, less one."""
MARK_LENGTH = 8
"""Hex digits of a mark."""

_random = random.Random()  # nobody gains by guessing a mark, and `os.urandom` takes ten times as long
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)  # a child makes marks of its own


@lru_cache(1_024)  # to decide about one write takes its mark, and that of the one before, several times
def mark_of(revision: str) -> str:
    """Return the mark of a write, from the revision that it chose."""
    return blake2b(revision.encode(), digest_size=MARK_LENGTH // 2).hexdigest()


def new_mark() -> str:
    """Return a mark for a write that has no revision, such as a count of accesses."""
    return f"{_random.getrandbits(4 * MARK_LENGTH):0{MARK_LENGTH}x}"


def remember(marks: object, mark: str) -> str:
    """Return the marks of a record after one more write.

    Args:
        marks: Those that are stored, one after another in one text; anything else counts as no marks.
        mark: The mark of the new write.
    """
    before = marks if type(marks) is str else ""
    return (mark + before)[: MARK_LENGTH * REMEMBERED]


def remembers(marks: object, mark: str) -> bool:
    """Return whether a record has seen a write."""
    if type(marks) is not str:
        return False
    place = marks.find(mark)
    while place >= 0 and place % MARK_LENGTH:  # across two of them
        place = marks.find(mark, place + 1)
    return place >= 0

"""How a record recognises its last writes, so that a write that is sent again is not applied twice.

A write whose answer was lost is sent again, and by then others may have written the same record. So each record keeps a
*mark* of each of its last writes, the newest first: the first 8 hex digits of a hash of the write's revision. A write
that finds its own mark was already applied. Counts of accesses have their own marks, because they change no revision.

Only a repeated write should find its mark. If one of 16 other writes has the same mark, a write counts as done although
it never was. That happens once in 270 million writes that look (16 in 2**32), and a write looks only if the record was
not as expected.
"""

from __future__ import annotations

import os
import random
from functools import lru_cache
from hashlib import blake2b

REMEMBERED = 16
"""How many marks a record keeps. A write recognises itself if fewer than this many writes came after it."""
MARK_LENGTH = 8
"""The number of hex digits of a mark."""

_random = random.Random()  # nobody gains by guessing a mark, and `os.urandom` takes ten times as long
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)  # a child must make different marks


@lru_cache(10_000)  # a write takes its own mark and the previous one's, which it finds as long as the document is known
def mark_of(revision: str) -> str:
    """Return the mark of a write, given the revision that it chose."""
    return blake2b(revision.encode(), digest_size=MARK_LENGTH // 2).hexdigest()


def new_mark() -> str:
    """Return a mark for a write without a revision, such as a count of accesses."""
    return f"{_random.getrandbits(4 * MARK_LENGTH):0{MARK_LENGTH}x}"


def remember(marks: object, mark: str) -> str:
    """Return the marks of a record after one more write.

    Args:
        marks: The stored marks, one after another in one text. Anything that is not text counts as no marks.
        mark: The mark of the new write.
    """
    before = marks if type(marks) is str else ""
    return (mark + before)[: MARK_LENGTH * REMEMBERED]


def remembers(marks: object, mark: str) -> bool:
    """Return whether a record has the given mark."""
    if type(marks) is not str:
        return False
    place = marks.find(mark)
    while place >= 0 and place % MARK_LENGTH:  # the match is across two marks
        place = marks.find(mark, place + 1)
    return place >= 0

"""Forking with an open store: nothing is open, and nobody is inside the database, at the moment of the fork.

A child inherits what the database's client keeps of its own: locks of threads that are not there any more, and with
SQLite what it knows of a file, of which POSIX gives the child no locks. Neither can be put right in the child. So
before a fork new calls are held back, those under way are waited for, and connections are closed; afterwards each
process opens its own. Where a call takes too long to wait for, the child's store refuses to work and says why.

Who is inside is read off the threads' stacks, so that no call pays for it.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections.abc import Collection
from types import CodeType, FrameType
from typing import Protocol

SECONDS = 10.0
"""How long a fork waits for the calls that are under way."""
_LOOK, _LONGEST_LOOK = 0.0005, 0.01  # seconds between two looks at the threads


class Participant(Protocol):
    """What takes part in a fork: an open store."""

    @property
    def module(self) -> str:
        """Whoever executes code of this module is inside: all calls to the database come from there."""

    @property
    def inside(self) -> Collection[CodeType]:
        """Whoever executes one of these functions is, too."""

    @property
    def waiting(self) -> Collection[CodeType]:
        """But not who waits in one of these for the fork to be over."""

    def hold(self) -> None:
        """Hold new calls back."""

    def before_fork(self) -> None:
        """Release what a child must not inherit; nobody is inside."""

    def resume(self) -> None:
        """Let calls go on, in the process that has forked."""

    def after_fork(self, clean: bool) -> None:
        """Start over in the child; not ``clean`` if a call was under way."""


_participants: dict[int, weakref.ref[Participant]] = {}


class _Fork:
    """A fork that is under way."""

    def __init__(self) -> None:
        self.held: list[Participant] = []
        self.clean: set[int] = set()


_current: dict[int, _Fork] = {}
"""The forks under way, by thread: a thread has one at a time, and one fork waits for another."""


def take_part(participant: Participant) -> None:
    """Take part in all forks from now on, as long as there is the participant."""
    number = id(participant)
    _participants[number] = weakref.ref(participant, lambda _: _participants.pop(number, None))


def is_forking() -> bool:
    """Return whether this very thread is forking."""
    return threading.get_ident() in _current


def _before() -> None:
    until = time.monotonic() + SECONDS
    me = threading.get_ident()
    while _current and time.monotonic() < until:
        time.sleep(_LOOK)
    fork = _current[me] = _Fork()
    for reference in list(_participants.values()):
        if (participant := reference()) is not None:
            fork.held.append(participant)
            participant.hold()
    for participant in fork.held:
        if _wait_until_empty(participant, me, until):
            participant.before_fork()
            fork.clean.add(id(participant))


def _wait_until_empty(participant: Participant, me: int, until: float) -> bool:
    look = _LOOK
    if _is_inside(sys._getframe(), participant):
        return False  # a signal handler forks in the middle of a call, which cannot end before
    while any(_is_inside(top, participant) for thread, top in sys._current_frames().items() if thread != me):
        if time.monotonic() > until:
            return False
        time.sleep(look)
        look = min(look * 2, _LONGEST_LOOK)
    return True


def _is_inside(frame: FrameType | None, participant: Participant) -> bool:
    inside = False
    while frame is not None:
        if frame.f_code in participant.waiting:
            return False
        if not inside:
            inside = frame.f_globals.get("__name__") == participant.module or frame.f_code in participant.inside
        frame = frame.f_back
    return inside


def _after_in_parent() -> None:
    fork = _current.pop(threading.get_ident(), None)
    if fork is not None:
        for participant in fork.held:
            participant.resume()


def _after_in_child() -> None:
    fork = _current.get(threading.get_ident(), _Fork())
    _current.clear()
    for reference in list(_participants.values()):
        if (participant := reference()) is not None:
            participant.after_fork(id(participant) in fork.clean)


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)

"""Forking with an open store: at the moment of the fork no connection is open and no thread is in a database call.

A child inherits the internal state of the database's client: locks of threads that no longer exist, and with SQLite
knowledge of a file whose POSIX locks the child does not have. The child cannot repair either. So before a fork new
calls are held back, calls under way are waited for, and connections are closed; afterwards each process opens its own.
If a call takes too long to wait for, the child's store refuses to work and says why.

The threads' stacks show which of them are in a database call, so calls need not register themselves.

From the first store that holds its calls back to the last one that goes on, the thread that forks makes no call: it
would wait for itself. Nor does the garbage collector run meanwhile: it runs the finalizers of anything on whichever
thread it meets, and one that waits for another thread's call would wait for the fork that it holds up.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Collection
from functools import partial
from types import CodeType, FrameType
from typing import Protocol

from datastore.stacks import is_cut_off

SECONDS = 10.0
"""How long a fork waits for the calls under way."""
_LOOK, _LONGEST_LOOK = 0.0005, 0.01  # seconds between two looks at the threads
_ATTEMPTS = 10
"""How often what follows a fork is begun anew."""


class Participant(Protocol):
    """An open store, which takes part in a fork."""

    @property
    def module(self) -> str:
        """A thread that executes code of this module is inside: all calls to the database are made there."""

    @property
    def inside(self) -> Collection[CodeType]:
        """A thread that executes one of these functions is also inside."""

    @property
    def waiting(self) -> Collection[CodeType]:
        """A thread in one of these functions is not inside: it waits for the end of the fork."""

    def hold(self) -> None:
        """Hold back new calls."""

    def before_fork(self) -> None:
        """Release what a child must not inherit; no thread is inside."""

    def resume(self) -> None:
        """Let calls continue, in the process that has forked."""

    def after_fork(self, clean: bool) -> None:
        """Start over in the child; not ``clean`` if a call was under way."""


_participants: dict[int, weakref.ref[Participant]] = {}


class _Fork:
    """A fork under way."""

    def __init__(self) -> None:
        self.held: list[Participant] = []
        self.clean: set[int] = set()
        self.collected: bool = gc.isenabled() or any(other.collected for other in _current.values())
        """Whether the garbage collector runs when no fork is under way."""
        gc.disable()

    def end(self) -> None:
        """Let the garbage collector run as before."""
        if self.collected:
            gc.enable()


_current: dict[int, _Fork] = {}
"""The forks under way, by thread: a thread has one at a time, and one fork waits for another."""


def take_part(participant: Participant) -> None:
    """Let a participant take part in all forks from now on, as long as it exists."""
    number = id(participant)
    _participants[number] = weakref.ref(participant, lambda _: _participants.pop(number, None))


def is_forking() -> bool:
    """Return whether the current thread is forking."""
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
        return False  # a signal handler forks in the middle of a call, which cannot end before the fork
    while any(_is_inside(top, participant) for thread, top in sys._current_frames().items() if thread != me):
        if time.monotonic() > until:
            return False
        time.sleep(look)
        look = min(look * 2, _LONGEST_LOOK)
    return True


def _is_inside(frame: FrameType | None, participant: Participant) -> bool:
    """Return whether a frame is part of a call of a participant that does not wait for it; also if it may be."""
    inside, last = False, None
    while frame is not None:
        if frame.f_code in participant.waiting:
            return False
        if not inside:
            inside = frame.f_globals.get("__name__") == participant.module or frame.f_code in participant.inside
        last, frame = frame, frame.f_back
    return inside or (last is not None and is_cut_off(last))


def _after_in_parent() -> None:
    fork = _current.get(threading.get_ident())
    if fork is not None:
        _to_its_end(partial(_resume, fork))


def _resume(fork: _Fork) -> None:
    for participant in fork.held:
        participant.resume()
    _current.pop(threading.get_ident(), None)  # last: until then this thread's calls would wait for what it is to do
    fork.end()


def _after_in_child() -> None:
    _to_its_end(partial(_start_over, _current.get(threading.get_ident()) or _Fork()))


def _start_over(fork: _Fork) -> None:
    for reference in list(_participants.values()):
        if (participant := reference()) is not None:
            participant.after_fork(id(participant) in fork.clean)
    _current.clear()
    fork.end()


def _to_its_end(step: Callable[[], None]) -> None:
    """Take a step again if something is raised in the middle, such as by Ctrl-C, and raise that afterwards.

    Python goes on after what a hook of a fork raises, and nobody would take the rest of the step.
    """
    raised: BaseException | None = None
    for _ in range(_ATTEMPTS):
        try:
            step()
            break
        except BaseException as error:  # noqa: BLE001 - raised below
            raised = error
    if raised is not None:
        raise raised


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)

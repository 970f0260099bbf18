"""Who is next: fair queueing of calls between tokens, and how many calls a token makes in a minute.

Each token has a share of a lane. A free place goes to the waiting share that has used the least time so far, so a token
that makes long calls, or many, waits longer than one that makes few. What a share did not use while nobody of it
waited is not saved up (start-time fair queueing, P. Goyal and others, 1996).

All of this is for one event loop: nothing here is shared between threads.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import Future
from collections import deque

from datastore.errors import ThrottledError


class BusyError(ThrottledError):
    """The server did not begin a call: nothing was done, so the same request can be sent again."""


class Share:
    """What one token uses of a lane, and its calls that wait for a place."""

    __slots__ = ("active", "used", "waiting")

    def __init__(self) -> None:
        self.active = 0
        self.used = 0.0
        self.waiting: deque[Future[None]] = deque()


class Lane:
    """Places for calls that are made at the same time.

    Args:
        places: How many calls are made at once.
        each: How many of them may be of one token.
        most: How many calls of one token may wait.
        seconds: How long one may wait.
    """

    def __init__(self, places: int, each: int, most: int, seconds: float) -> None:
        self._free = places
        self._each = min(each, places)
        self._most = most
        self._seconds = seconds
        self._waiting: dict[Share, None] = {}
        self._now = 0.0
        """What the share that was served last had used: whoever comes to wait has used at least as much."""

    def enter_at_once(self, share: Share) -> bool:
        """Take a place if one is free, and return whether that is so. Then `leave`."""
        if self._free and share.active < self._each and not share.waiting:
            self._free -= 1
            if not share.active:
                share.used = max(share.used, self._now)
            share.active += 1
            return True
        return False

    async def enter(self, share: Share) -> None:
        """Wait for a place; then `leave`.

        Raises:
            BusyError: If too many calls of this token wait already, or it takes too long.
        """
        if self.enter_at_once(share):
            return
        if len(share.waiting) >= self._most:
            raise BusyError("too many calls of this token are waiting; make fewer at once")
        if not share.waiting:
            if not share.active:
                share.used = max(share.used, self._now)
            self._waiting[share] = None
        future: Future[None] = asyncio.get_running_loop().create_future()
        share.waiting.append(future)
        try:
            async with asyncio.timeout(self._seconds):
                await future
        except BaseException as error:
            if future.done() and not future.cancelled():
                self.leave(share, 0.0)  # the place was given meanwhile
            elif future in share.waiting:
                share.waiting.remove(future)
                if not share.waiting:
                    self._waiting.pop(share, None)
            if isinstance(error, TimeoutError):
                raise BusyError("the server is busy; try again later") from None
            raise

    def leave(self, share: Share, seconds: float) -> None:
        """Give back a place, which was used for some time."""
        share.active -= 1
        share.used += seconds
        self._free += 1
        while self._free and self._waiting:
            ready = [one for one in self._waiting if one.active < self._each]
            if not ready:
                return
            # Calls under way are counted once they end: until then each is taken for a short one.
            next_share = min(ready, key=lambda one: one.used + one.active * 1e-3)
            future = next_share.waiting.popleft()
            if not next_share.waiting:
                del self._waiting[next_share]
            if future.done():  # whoever waited has given up
                continue
            self._now = max(self._now, next_share.used)
            next_share.active += 1
            self._free -= 1
            future.set_result(None)


class Bucket:
    """How many of something may be made in some time: a token bucket that holds so many, and fills continuously.

    Args:
        most: How many.
        seconds: In which time.
    """

    __slots__ = ("_at", "_left", "_seconds", "most")

    def __init__(self, most: int, seconds: float = 60.0) -> None:
        self.most = most
        self._seconds = seconds
        self._left = float(most)
        self._at = time.monotonic()

    def wait(self) -> float:
        """Return in how many seconds there is one to take: 0 if there is one now."""
        if not self.most:
            return self._seconds
        now = time.monotonic()
        self._left = min(self._left + (now - self._at) * self.most / self._seconds, float(self.most))
        self._at = now
        return 0.0 if self._left >= 1 else (1 - self._left) * self._seconds / self.most

    def take(self) -> None:
        """Take one, which `wait` has said that there is."""
        self._left -= 1

    def give_back(self) -> None:
        """Give back one that was taken: nothing has come of it, or it is gone again."""
        self._left += 1

    def is_full(self) -> bool:
        """Return whether nothing is missing, so that nothing is lost with this object."""
        self.wait()
        return self._left >= self.most

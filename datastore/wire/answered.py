"""The writes that were answered, so that none is done twice, however often its request arrives."""

from __future__ import annotations

import asyncio
import time
from asyncio import Future
from collections import OrderedDict
from hashlib import blake2b
from typing import Any, NamedTuple

from datastore.errors import BackendUnavailableError, InvalidValueError, OutcomeUnknownError


class Answer(NamedTuple):
    """What was answered."""

    status: int
    body: bytes
    retry_after: int | None = None


class _Write:
    __slots__ = ("answer", "at", "ended", "mark")

    def __init__(self, mark: bytes) -> None:
        self.mark = mark
        self.at = time.monotonic()
        self.ended: Future[None] | None = asyncio.get_running_loop().create_future()
        self.answer: Answer | None = None


_MOST = 20_000
"""The writes of one token that are remembered: more come only from one that makes more than that in ten minutes."""
_LARGEST = 65_536
"""Bytes of an answer that is kept. Of a larger one it is known only that it was given."""


def mark_of(call: str, body: bytes) -> bytes:
    """Return what tells one request from another."""
    return blake2b(body, digest_size=16, key=call.encode()).digest()


def refusal() -> BackendUnavailableError:
    """Return the error for a repeat of a write of which this process does not know what came of it."""
    error = BackendUnavailableError(
        "the server that this call was first sent to is gone, or does not remember it any more; the call may or may "
        "not have reached it"
    )
    error.waited = True
    return error


_CHARACTERS = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_")


def checked_key(key: Any, name: str) -> str:
    """Return the key of a write, once it is known that it is one.

    Raises:
        InvalidValueError: If it is none; ``name`` says where it stands.
    """
    if type(key) is not str or not 16 <= len(key) <= 64 or not _CHARACTERS.issuperset(key):
        raise InvalidValueError(f"{name} must be 16 to 64 letters, digits, - or _")
    return key


class Answers:
    """What was answered to the writes of one token.

    Args:
        seconds: For how long each is remembered.
        bytes: How much the answers may take together.
        most: How many writes are remembered.
    """

    __slots__ = ("_bytes", "_kept", "_lost", "_most", "_most_bytes", "_seconds", "_writes")

    def __init__(self, seconds: float = 600.0, bytes: int = 4_000_000, most: int = _MOST) -> None:
        self._seconds = seconds
        self._most_bytes = bytes
        self._most = most
        self._writes: OrderedDict[str, _Write] = OrderedDict()
        self._kept: OrderedDict[str, int] = OrderedDict()  # the sizes of the answers that are kept
        self._bytes = 0
        self._lost = float("-inf")  # when the last write began that was forgotten before its time

    async def before(self, key: str, mark: bytes, *, is_repeat: bool) -> Answer | None:
        """Return the answer that a write was given before; ``None`` if it is new: then make it, and call `after`.

        One that is still under way is waited for.

        Raises:
            InvalidValueError: If the key names another write.
            OutcomeUnknownError: If it was done, and its answer is not kept.
            BackendUnavailableError: If it is a repeat, and what is known does not go back far enough.
        """
        now = time.monotonic()
        self._forget(now)
        write = self._writes.get(key)
        if write is None:
            if is_repeat and self._lost > now - self._seconds:
                raise refusal()
            self._writes[key] = _Write(mark)
            return None
        if write.mark != mark:
            raise InvalidValueError("this Idempotency-Key names another call; choose a new one for each")
        if write.ended is not None:
            await asyncio.shield(write.ended)
        if write.answer is None:
            raise OutcomeUnknownError("the call was made before, and its answer is not kept any more")
        return write.answer

    def after(self, key: str, answer: Answer | None) -> None:
        """Remember the answer of a new write; ``None`` if it is not to be kept."""
        write = self._writes.get(key)
        if write is None:
            return
        if answer is not None and len(answer.body) <= _LARGEST:
            write.answer = answer
            self._kept[key] = len(answer.body)
            self._bytes += len(answer.body)
            while self._bytes > self._most_bytes:
                oldest, size = self._kept.popitem(last=False)
                self._bytes -= size
                self._writes[oldest].answer = None
        ended, write.ended = write.ended, None
        if ended is not None and not ended.done():
            ended.set_result(None)

    def undone(self, key: str) -> None:
        """Forget a write that was not begun."""
        write = self._writes.pop(key, None)
        if write is not None and write.ended is not None and not write.ended.done():
            write.ended.set_result(None)

    def is_empty(self) -> bool:
        """Return whether nothing is remembered, so that nothing is lost with this object."""
        now = time.monotonic()
        self._forget(now)
        return not self._writes and self._lost <= now - self._seconds

    def _forget(self, now: float) -> None:
        """Forget the writes whose time is over, and the oldest if there are too many."""
        while self._writes:
            key, write = next(iter(self._writes.items()))
            is_old = write.at <= now - self._seconds
            if write.ended is not None or not (is_old or len(self._writes) >= self._most):
                return
            if not is_old:
                self._lost = write.at
            del self._writes[key]
            self._bytes -= self._kept.pop(key, 0)


class OwnAnswers(Answers):
    """Those of one token of several that remember theirs in one place, and share its bounds.

    Args:
        all: That place.
        owner: What tells the token from the others.
    """

    __slots__ = ("_all", "_owner")

    def __init__(self, all: Answers, owner: str) -> None:
        self._all = all
        self._owner = owner

    async def before(self, key: str, mark: bytes, *, is_repeat: bool) -> Answer | None:
        """See `Answers.before`."""
        return await self._all.before(self._owner + key, mark, is_repeat=is_repeat)

    def after(self, key: str, answer: Answer | None) -> None:
        """See `Answers.after`."""
        self._all.after(self._owner + key, answer)

    def undone(self, key: str) -> None:
        """See `Answers.undone`."""
        self._all.undone(self._owner + key)

    def is_empty(self) -> bool:
        """See `Answers.is_empty`."""
        return self._all.is_empty()

"""Who may see the pages: logins that work once, sessions that end, and tokens without which no form is taken."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

_CODES = 20  # logins that nobody has used yet
_SESSIONS = 100  # at once; the oldest one ends for a new one
_LOGIN_SECONDS = 600.0
_LONGEST_IN_IDLES = 12
"""A session ends after so many times the time that it may be idle, also if it is used."""


@dataclass(slots=True)
class _Session:
    began: float
    used: float


class Sessions:
    """The sessions of one viewer. What is kept of codes and of sessions is their hash.

    Args:
        idle_seconds: After how long without a request a session ends.
        clock: Returns seconds that only grow.
    """

    def __init__(self, idle_seconds: float, clock: Callable[[], float]) -> None:
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._codes: dict[bytes, float] = {}
        self._sessions: dict[bytes, _Session] = {}
        self._secret = secrets.token_bytes(32)

    def code(self) -> str:
        """Return a new code. It logs in once, within ten minutes."""
        code = secrets.token_urlsafe(24)
        self._codes[_hash(code)] = self._clock()
        while len(self._codes) > _CODES:
            del self._codes[next(iter(self._codes))]
        return code

    def log_in(self, code: str) -> str | None:
        """Return the name of a new session for a code; ``None`` if it is unknown, used or too old."""
        made = self._codes.pop(_hash(code), None)
        if made is None or self._clock() - made > _LOGIN_SECONDS:
            return None
        name, now = secrets.token_urlsafe(32), self._clock()
        self._sessions[_hash(name)] = _Session(now, now)
        while len(self._sessions) > _SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        return name

    def is_open(self, name: str) -> bool:
        """Return whether a session is there and not over, and note that it is used."""
        session, now = self._sessions.get(_hash(name)), self._clock()
        if session is None:
            return False
        idle = now - session.used > self._idle_seconds
        if idle or now - session.began > _LONGEST_IN_IDLES * self._idle_seconds:
            self.end(name)
            return False
        session.used = now
        return True

    def end(self, name: str) -> None:
        """End a session."""
        self._sessions.pop(_hash(name), None)

    def token(self, name: str, person: str) -> str:
        """Return what every form of a session has to bring."""
        return hmac.new(self._secret, f"{name}\n{person}".encode(), sha256).hexdigest()

    def is_token(self, given: str, name: str, person: str) -> bool:
        """Return whether a form has brought what it has to."""
        return hmac.compare_digest(given.encode(), self.token(name, person).encode())


def _hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()

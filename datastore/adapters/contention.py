"""How long a write keeps trying against other writers of its record, and the error when it gives up."""

from __future__ import annotations

from datastore.errors import BackendUnavailableError
from datastore.retry import Backoff

SECONDS = 30.0
"""How long a write is tried again because others came first. The call's deadline may be earlier."""
_FIRST_DELAY, _LONGEST_DELAY = 0.002, 0.25  # seconds; a competing writer needs about one round trip


def contention(seconds: float = SECONDS) -> Backoff:
    """Return the pauses between the attempts of a write that other writers keep overtaking."""
    return Backoff(seconds, _FIRST_DELAY, _LONGEST_DELAY)


def came_too_late(backend: str, seconds: float = SECONDS) -> BackendUnavailableError:
    """Return the error for a write that others overtook each time. The store does not send it again: it has waited."""
    error = BackendUnavailableError(
        f"other writers changed the record during each attempt of {seconds:g} s; nothing was written. Let fewer of "
        "them write the same record",
        backend=backend,
    )
    error.waited = True
    return error

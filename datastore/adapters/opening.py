"""Opening a database: what was opened is closed again if it turns out that it cannot be used."""

from __future__ import annotations

from typing import Protocol


class Closes(Protocol):
    """What can be closed."""

    def close(self) -> None:
        """Release everything."""


class ClosedOnFailure:
    """A context that closes something if what follows fails: who has opened it then has nothing to close.

    Args:
        opened: What to close.
    """

    def __init__(self, opened: Closes) -> None:
        self._opened = opened

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        """Close it if this is a failure, or an interrupt."""
        if failed is not None:
            self._opened.close()

"""What stands in front of a store's core for an agent that may not do everything: it owns nothing, and decides.

`datastore.guarded` refuses what an agent has no grant for, and `datastore.fencing` what a holder without its lease
writes. One can stand in front of the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datastore.backend import Backend
from datastore.core import Core


class Front(Core):
    """A core that passes on to another. A subclass overrides what it decides about.

    Args:
        inner: The core behind it: the store's own, or another front.
    """

    def __init__(self, inner: Core) -> None:
        # Not that of `Core`: it would take part in forks and in closing, which the store's own core does.
        self._inner = inner
        self.clock = inner.clock
        self.tracker = inner.tracker
        self.max_seconds = inner.max_seconds
        self.for_get = inner.for_get
        self.places = inner.places
        self.watcher = inner.watcher
        self.line = inner.line
        self.removes_ranges = inner.removes_ranges
        self._retry_seconds = inner._retry_seconds
        self._at_once = inner._at_once

    if not TYPE_CHECKING:  # in `Core` they are attributes

        @property
        def backend(self) -> Backend:
            """What the core behind reads through."""
            return self._inner.backend

        @property
        def _warns(self) -> bool:
            return self._inner._warns

    @property
    def inner(self) -> Core:
        """The core behind it."""
        return self._inner

    @property
    def root(self) -> Core:
        """The store's own core."""
        return self._inner.root

    @property
    def is_closed(self) -> bool:
        """Whether the store refuses every call."""
        return self._inner.is_closed

    def check_open(self) -> None:
        """Raise if the store was closed."""
        self._inner.check_open()

    def check_reads(self, prefix: str) -> None:
        """See `Core.check_reads`."""
        self._inner.check_reads(prefix)

    def check_writes(self, prefix: str) -> None:
        """See `Core.check_writes`."""
        self._inner.check_writes(prefix)

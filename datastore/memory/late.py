"""The vectors that this process has written in the last minute: the index of a database may not have them yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from datastore.memory.vectors import Stored

SECONDS = 60.0
"""For which a written vector is looked at besides what an index finds. An index that follows the table, as DynamoDB's
does, usually takes less than one ("Managing global secondary indexes")."""
MOST = 4_096
"""Vectors of all namespaces that are remembered. If more are written within `SECONDS`, searches are exact."""


class Late:
    """What was written lately, of all namespaces of a store."""

    def __init__(self) -> None:
        self._written = deque[tuple[float, str, Stored]](maxlen=MOST)

    def note(self, prefix: str, rows: Sequence[Stored], now: float) -> None:
        """Remember vectors that were written in an area."""
        self._written.extend((now, prefix, row) for row in rows)

    def of(self, prefix: str, now: float) -> list[Stored] | None:
        """Return the vectors that were written lately in an area; ``None`` if there are too many to remember."""
        written = list(self._written)
        if len(written) == MOST and abs(now - written[0][0]) < SECONDS:
            return None
        return [row for at, area, row in written if area == prefix and abs(now - at) < SECONDS]

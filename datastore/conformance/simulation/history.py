"""The history of a run: each call as it went, by which the run is judged, and what databases may do otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

from datastore import DataStoreError
from datastore.conformance.simulation.luck import ANSWERED, HARMLESS

BEGAN = 1_000_000_000
"""What a right clock shows when a run begins, in seconds since the epoch."""
SERVED_AGENT = "agent"
"""What every token calls its agent."""
CLEARS_UNTIL_EMPTY = "clears until empty"
"""`clear` also removes what is written while it is at work, even under a key that it has removed before."""
COUNTS_WHAT_IT_LISTED = "counts what it listed"
"""`clear` counts a record that it has listed, even if another call removes it before the request to do so arrives."""
ASKS_BEFORE_IT_COUNTS = "asks before it counts"
"""What has expired is asked for once, before all others are counted. What is written in between counts, although it has
expired by the clock of the call, if the clock of its process is behind."""
REMEMBERS_EIGHT_WRITES = "remembers eight writes"
"""A record has marks of its last eight writes: one that is sent again after eight others is done again."""
CLEARS_BY_TIME = "clears by time"
"""A request of `clear` that arrives late removes no record that was created after the call began, by the clocks."""
LEAVES_EXPIRED_PARTS = "leaves expired parts"
"""What has expired is not read if its value is in parts. In the simulation, and nowhere else, heads of blobs are so:
one that has expired by the clock of whoever removes the parts of the blob may stay, for others."""
DELETES_BLINDLY = "deletes blindly"
"""`delete` of a record of which nothing is remembered has no condition at all."""
TELLS_WHEN_CREATED = "tells when created"
"""The database says when a record was created, by its own clock."""


@dataclass(eq=False, slots=True)
class Call:
    """One call, as it went."""

    process: str
    thread: str
    user: str
    namespace: str
    name: str
    arguments: tuple[Any, ...]
    invoked: float
    """When it began: a number that grows with everything that happens."""
    began: float
    """The same in simulated seconds."""
    returned: float = inf
    """When it ended; infinity if its process was killed before."""
    ended: float = inf
    result: Any = None
    error: DataStoreError | None = None
    low: float = inf
    """The earliest time that its process's clock has shown it, in microseconds since the epoch.

    If it has a result and never looked: what the clock would have shown when it began."""
    high: float = -inf
    """The latest. If it has a result and never looked: what the clock would have shown when it ended."""
    reaped: float = -inf
    """The latest time that the clock of a database has shown it that removes expired records by itself."""
    blind: bool = False
    """Whether it wrote without a version of what it wrote over: a request that arrives late may write over anything."""
    faults: list[str] = field(default_factory=list)
    """What happened to its requests."""
    limits: frozenset[str] = frozenset()
    """See `Database.limits`."""
    clocks_differ: bool = False
    """Whether the clocks of the run's processes show different times."""
    emptied: bool = False
    """Whether the database lost records in this run that nobody had removed, and that were acknowledged."""
    restored: bool = False
    """Whether an import of this run has brought back what is kept around the records (`names.AREAS`)."""
    served: bool = False
    """Whether a server makes it."""
    strikes: list[str] = field(default_factory=list)
    """What happened between its process and the server. No write is done twice for that: only reads are."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What it has found out on its way: see `Sight.notes`."""

    @property
    def agent(self) -> str:
        """The agent's name. Threads that share a token are one agent."""
        return SERVED_AGENT if self.served else self.thread

    @property
    def over(self) -> float:
        """When nothing of it is under way any more. A server goes on with a call whose process has given it up."""
        return inf if self.served and self.error is not None else self.returned

    @property
    def is_blurred(self) -> bool:
        """Whether a fault may have kept from it what became of a request."""
        return bool(self.blurs)

    @property
    def blurs(self) -> list[str]:
        """The faults that may have kept from it what became of a request."""
        return [fault for fault in self.faults if fault not in HARMLESS]

    @property
    def is_unsettled(self) -> bool:
        """Whether what is kept around the records may not be what the calls of the run have made it."""
        return self.emptied or self.restored

    @property
    def is_unanswered(self) -> bool:
        """Whether a request of it had no answer that says what became of it, as far as its process can tell."""
        return bool(self.unanswered)

    @property
    def unanswered(self) -> list[str]:
        """The faults after which its process cannot tell what became of a request."""
        return [fault for fault in self.faults if fault not in ANSWERED]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(repr, self.arguments))})"

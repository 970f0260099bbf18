"""What a run is made of: who calls what, and what goes wrong. It is drawn from a seed, or written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from datastore.conformance.simulation.luck import Luck


class Seen(NamedTuple):
    """Stands in a plan for the revision at which the thread has last seen a key."""

    key: str


class CallPlan(NamedTuple):
    """One call, as it was drawn."""

    number: int
    """Its place in its thread."""
    name: str
    arguments: tuple[Any, ...]
    pause: float
    """How long the thread does nothing before it."""


class ThreadPlan(NamedTuple):
    """One thread: who it acts as, and its calls."""

    number: int
    user: str
    namespace: str
    calls: tuple[CallPlan, ...]


class ProcessPlan(NamedTuple):
    """One process: a store with its options, and its threads."""

    number: int
    skew: float
    """How far its clock is ahead, in seconds."""
    options: dict[str, Any]
    threads: tuple[ThreadPlan, ...]


class Plan(NamedTuple):
    """All that a run is made of."""

    seed: str
    luck: Luck
    processes: tuple[ProcessPlan, ...]
    muted: frozenset[str] = frozenset()
    """Faults that do not happen, by the request that they would have happened to."""
    faults: Mapping[str, str] | None = None
    """Which fault happens to which request, where that is written down instead of drawn."""

    @property
    def calls(self) -> int:
        """How many calls there are."""
        return sum(len(thread.calls) for process in self.processes for thread in process.threads)

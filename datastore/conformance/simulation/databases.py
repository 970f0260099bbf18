"""What the model of a database has, and may have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from datastore.backend import Backend
from datastore.conformance.simulation.network import Client

if TYPE_CHECKING:
    from datastore.conformance.simulation.plans import ProcessPlan
    from datastore.conformance.simulation.world import Process, World


class Database(Protocol):
    """A model of a database. It outlives the processes."""

    faults: frozenset[str]
    """What can happen to its requests."""
    connects: bool
    """Whether `adapter` sends requests, and so may fail."""
    limits: frozenset[str]
    """What the adapter does otherwise than others, and is no fault."""

    def adapter(self, client: Client) -> Backend:
        """Return what a new process uses it with."""


@runtime_checkable
class Replacing(Protocol):
    """A database whose adapter takes more from outside than the package does: time, threads, a connection."""

    def replaced(self, world: World) -> Iterable[tuple[Any, str, Any]]:
        """Return what to replace in a run: a module, a name in it, and the replacement."""


@runtime_checkable
class MadeAnew(Protocol):
    """A database that an administrator can remove and make again while stores are open."""

    def make_anew(self) -> bool:
        """Do so, and return ``True``: it is empty afterwards. Or leave it as it is, and return ``False``."""


@runtime_checkable
class Connected(Protocol):
    """A database that knows of the connections to it."""

    def left_open(self, process: Process) -> int:
        """Return how many connections a process has that has closed its store."""


@runtime_checkable
class Peopled(Protocol):
    """A database to which processes of a kind of their own belong, such as a server and those that speak to it."""

    def process(self, world: World, plan: ProcessPlan) -> Process:
        """Return the process of a plan."""

    def begin(self, world: World) -> None:
        """Start whatever runs besides these processes."""

    def end(self) -> None:
        """End it: all others have ended."""


@runtime_checkable
class Closing(Protocol):
    """A database that leaves something behind."""

    def close(self) -> None:
        """Remove it."""

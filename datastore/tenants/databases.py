"""What an adapter fills in, so that each tenant can have a database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from datastore.backend import Backend, Capabilities
from datastore.urls import Url, one_of


def is_wanted(url: Url) -> bool:
    """Take the parameter ``isolation`` of a URL, and return whether it asks for a database for each tenant."""
    return url.parameter("isolation", one_of("shared", "database"), "shared") == "database"


class Databases(ABC):
    """The databases of tenants in one place, as an adapter makes and drops them.

    Args:
        kind: The adapter's backend class; what it can do beyond `Backend` is there for tenants, too.
        base: What the names of the databases begin with.
        longest: The most bytes that the name of a database may take.
        capabilities: What the backends promise.
    """

    most_open = 64
    """How many databases are kept open while nobody uses them."""

    def __init__(self, kind: type[Backend], base: str, longest: int, capabilities: Capabilities) -> None:
        self.kind = kind
        self.base = base
        self.longest = longest
        self.capabilities = capabilities

    @abstractmethod
    def open(self, name: str) -> Backend:
        """Open a database, and create it if it is not there. Called by one thread at a time for one name."""

    @abstractmethod
    def drop(self, name: str) -> bool:
        """Remove a database with all that is in it, and return whether it was there. It is not open here."""

    def exists(self, name: str) -> bool:
        """Return whether there is such a database. Reading does not create one."""
        return name in self.names(name)

    @abstractmethod
    def names(self, beginning: str) -> Iterable[str]:
        """Return the names of the databases that begin so; other names among them do no harm."""

"""The class that an adapter implements so that each tenant can have a database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from datastore.backend import Backend, Capabilities
from datastore.urls import Url, one_of


def is_wanted(url: Url) -> bool:
    """Take the parameter ``isolation`` from a URL, and return whether it asks for a database for each tenant."""
    return url.parameter("isolation", one_of("shared", "database"), "shared") == "database"


class Databases(ABC):
    """The databases of tenants in one place: how an adapter creates, drops and lists them.

    Args:
        kind: The adapter's backend class.
        base: The beginning of the databases' names.
        longest: The most bytes in the name of a database.
        capabilities: The capabilities of the backends.
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
        """Open a database, and create it if it does not exist. For one name it is called by one thread at a time."""

    @abstractmethod
    def drop(self, name: str) -> bool:
        """Remove a database and everything in it, and return whether it existed. It is not open in this process."""

    def exists(self, name: str) -> bool:
        """Return whether a database exists."""
        return name in self.names(name)

    @abstractmethod
    def names(self, beginning: str) -> Iterable[str]:
        """Return the names of the databases that begin with ``beginning``; other names among them do no harm."""

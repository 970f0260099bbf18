"""The shelf in the simulator: what a third party writes to have its adapter tried with bad luck."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from datastore.backend import Backend
from datastore.conformance.simulation import FAULTS, Client, ClientError
from tests.third_party.shelf import Row, Shelf, ShelfBackend, ShelfDown

T = TypeVar("T")


class FarShelf(Shelf):
    """The database's client, on a network that is simulated."""

    def __init__(self, shelf: Shelf, client: Client) -> None:
        self._shelf = shelf
        self._client = client

    def get(self, names: Sequence[str]) -> dict[str, tuple[int, Row]]:
        """See `Shelf.get`."""
        return self._sent(f"get {', '.join(names)}", lambda: self._shelf.get(names))

    def list(self, start: str, end: str) -> list[str]:
        """See `Shelf.list`."""
        return self._sent(f"list from {start}", lambda: self._shelf.list(start, end))

    def replace(self, name: str, version: int | None, row: Row | None) -> int | None:
        """See `Shelf.replace`."""
        return self._sent(f"replace {name} at {version}", lambda: self._shelf.replace(name, version, row))

    def _sent(self, what: str, carry_out: Callable[[], T]) -> T:
        try:
            answer: T = self._client.request(what, lambda _: carry_out())
        except ClientError as error:
            raise ShelfDown(str(error)) from error
        return answer


class SimulatedShelf:
    """The database of one run."""

    faults = frozenset(FAULTS) - {"throttled"}  # a shelf has no such answer
    connects = False
    limits = frozenset[str]()

    def __init__(self) -> None:
        self._shelf = Shelf()

    def adapter(self, client: Client) -> Backend:
        """Return what a new process opens its store with."""
        return ShelfBackend(FarShelf(self._shelf, client))

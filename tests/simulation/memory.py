"""The memory adapter as a database that processes share: trivially right, so whatever the checker says is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from datastore import BackendUnavailableError, ThrottledError
from datastore.backend import Access, Backend, Document, DocumentPage, Outcome, Write
from datastore.conformance.faults import Wrapped
from datastore.conformance.simulation.luck import HARMLESS
from datastore.conformance.simulation.network import Client, ClientError, TooManyRequestsError
from datastore_memory import MemoryBackend
from tests.simulation.tokens import short


class MemoryDatabase:
    """The database. No answer of it is lost: it remembers no writes, since within one process that cannot happen."""

    # A restart loses the answers to others' requests; the last three are of Redis alone.
    faults = HARMLESS - {"restart", "made anew", "no memory", "read-only", "server clock jump"} | {"killed after"}
    connects = False
    limits = frozenset[str]()

    def __init__(self) -> None:
        self._inner = MemoryBackend()

    def adapter(self, client: Client) -> Backend:
        """See `Database.adapter`."""
        return Remote(self._inner, client)


class Remote(Wrapped):
    """Puts a request before each method."""

    def __init__(self, inner: Backend, client: Client) -> None:
        super().__init__(inner)
        self.capabilities = replace(
            self.capabilities, at_once=False, read_batch=3, write_batch=3, scan_page=2, shared=True
        )
        self._client = client

    def read(self, *args: Any, **kwargs: Any) -> dict[str, Document]:
        found: dict[str, Document] = self._request(
            lambda: f"read {', '.join(map(short, args[0]))}", lambda: self.inner.read(*args, **kwargs)
        )
        return found

    def write(self, writes: Sequence[Write]) -> list[Outcome]:
        outcomes: list[Outcome] = self._request(
            lambda: ", ".join(f"{type(write).__name__} {short(write.id)}" for write in writes),
            lambda: self.inner.write(writes),
        )
        return outcomes

    def scan(self, *args: Any, **kwargs: Any) -> DocumentPage:
        page: DocumentPage = self._request(
            lambda: f"list {args[2]} from {short(args[0].start)}", lambda: self.inner.scan(*args, **kwargs)
        )
        return page

    def record_access(self, accesses: Sequence[Access]) -> None:
        self._request(f"count {len(accesses)}", lambda: self.inner.record_access(accesses))

    def _request(self, what: str | Callable[[], str], carry_out: Callable[[], Any]) -> Any:
        try:
            return self._client.request(what, lambda _: carry_out())
        except TooManyRequestsError as error:
            raise ThrottledError(str(error), backend=self.name) from error
        except ClientError as error:
            raise BackendUnavailableError(str(error), backend=self.name) from error

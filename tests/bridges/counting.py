"""What a bridge asks of the database, counted at the client's transport: SQLite and memory at the backend's calls."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import botocore.httpsession
import httpx

import datastore
from datastore import DataStore, connect
from datastore.conformance.faults import Wrapped, backend_of
from tests.firestore.recording import Recorder


class _Calls(Wrapped):
    """Notes the calls, each of which is one statement, and how many documents they read."""

    def __init__(self, inner) -> None:
        super().__init__(inner)
        self.asked: list[str] = []
        self.documents = 0

    def read(self, *args, **kwargs):
        self.asked.append("read")
        found = super().read(*args, **kwargs)
        self.documents += len(found)
        return found

    def scan(self, *args, **kwargs):
        self.asked.append("scan")
        page = super().scan(*args, **kwargs)
        self.documents += len(page.documents)
        return page

    def write(self, writes):
        self.asked.append("write")
        return super().write(writes)


class Asked:
    """Says what each call costs."""

    def __init__(self, store: DataStore, requests: list, calls: _Calls | None = None) -> None:
        self.store = store
        self._requests, self._calls = requests, calls

    def by(self, call: Callable[[], object]) -> int:
        """Return how many requests a call makes."""
        before = len(self._requests)
        call()
        return len(self._requests) - before

    def read_by(self, call: Callable[[], object]) -> int:
        """Return how many documents a call reads; on memory and SQLite alone."""
        before = self._calls.documents
        call()
        return self._calls.documents - before


@contextmanager
def counted(place: str, url: str) -> Iterator[Asked]:
    """Open a database of `tests.bridges.places`; accesses are not counted in it."""
    with ExitStack() as stack:
        requests: list = []

        def noting(owner: type, name: str) -> None:
            real = getattr(owner, name)

            def note(self, *args, **kwargs):
                requests.append(name)
                return real(self, *args, **kwargs)

            stack.enter_context(mock.patch.object(owner, name, note))

        if place == "firestore":
            recorder = Recorder()
            store = stack.enter_context(connect(url, tracking="off", interceptors=[recorder]))
            yield Asked(store, recorder.requests)
            return
        if place in ("couchdb", "dynamodb"):
            noting(
                *{"couchdb": (httpx.Client, "send"), "dynamodb": (botocore.httpsession.URLLib3Session, "send")}[place]
            )
            yield Asked(stack.enter_context(connect(url, tracking="off")), requests)
            return
        calls = _Calls(backend_of(stack.enter_context(connect(url, tracking="off"))))
        yield Asked(datastore.DataStore(calls, tracking="off"), calls.asked, calls)

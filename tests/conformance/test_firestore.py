"""The kit on the emulator over gRPC, and on a real database if the environment names one."""

import os
import time
import uuid
from contextlib import contextmanager

import pytest

from datastore.backend import Delete, Fields, IdRange
from datastore.conformance import ConformanceSuite, Harness
from datastore.errors import BackendUnavailableError, ClosedError
from datastore_firestore.backend import FirestoreBackend
from tests.conformance.paging import smaller_pages
from tests.firestore.network import to_the_emulator
from tests.full import EXAMPLES_ON_SERVERS, MANY_ON_SERVERS
from tests.patience import PATIENCE

REAL = "AGENT_DATASTORE_TEST_FIRESTORE_URL"
"""Names a real database, such as ``firestore://my-project/agent_data_store_test``; its collection is emptied."""


@pytest.fixture(autouse=True)
def _no_other_emulator(monkeypatch):
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)


class EmulatorHarness(Harness):
    """Each test has a project of its own."""

    name = "firestore"
    examples = EXAMPLES_ON_SERVERS
    many = MANY_ON_SERVERS

    def url(self):
        return f"firestore://test-{uuid.uuid4().hex}/agent_data_store?emulator={to_the_emulator().address}"

    @contextmanager
    def outage(self, store):
        """The network is cut, and comes back; gRPC looks for it again within a second."""
        backend, network = store.backend, to_the_emulator()
        network.cut()
        try:
            yield
        finally:
            network.restore()
            until_it_answers(backend)


class RealHarness(Harness):
    """Every test has the same collection, emptied before it."""

    name = "firestore-real"

    def url(self):
        return os.environ.get(REAL) or pytest.skip(f"{REAL} is not set")

    def open(self, **options):
        fresh = self._url is None
        store = super().open(**options)
        if fresh:
            empty(store.backend)
        return store


def empty(backend):
    """Remove every document of the collection."""
    while True:
        page = backend.scan(IdRange(" ", "\U0010ffff" * 2), Fields.KEY, 500)
        if page.documents:
            backend.write([Delete(document.id, document.created_at) for document in page.documents])
        if page.after is None:
            return


def until_it_answers(backend, seconds=PATIENCE):
    """Wait until the database answers again, unless the store was closed meanwhile."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            backend.read(["u:n:a"], Fields.KEY)
        except BackendUnavailableError:
            time.sleep(0.05)
        except ClosedError:
            return
        else:
            return


@pytest.fixture(scope="class", name="smaller_pages")
def _take_smaller_pages():
    with smaller_pages(FirestoreBackend, "datastore_firestore.removing._PAGE"):
        yield


@pytest.mark.server("firestore")
@pytest.mark.usefixtures("smaller_pages")
class TestFirestore(ConformanceSuite):
    harness = EmulatorHarness


if os.environ.get(REAL):

    class TestRealFirestore(ConformanceSuite):
        harness = RealHarness

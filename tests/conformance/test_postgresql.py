"""The kit on PostgreSQL: on a server that the tests start, and on another one where the environment names it."""

import os
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from datastore import DataStore, connect
from datastore.conformance import ConformanceSuite, Harness
from datastore_postgresql.backend import PostgresBackend
from tests.conformance.paging import smaller_pages
from tests.full import EXAMPLES_ON_SERVERS, MANY_ON_SERVERS
from tests.servers import postgresql
from tests.servers.processes import Server

REAL = os.environ.get(postgresql.REAL, "")


class PostgresHarness(Harness):
    name = "postgresql"
    examples = EXAMPLES_ON_SERVERS
    many = MANY_ON_SERVERS

    @staticmethod
    def server() -> Server:
        """Return the server that stores are borrowed of, started."""
        return postgresql.server()

    def url(self) -> str:
        return postgresql.borrow(self.server())

    def outage(self, store: DataStore) -> AbstractContextManager[None]:
        return self.server().outage()

    def close(self) -> None:
        postgresql.give_back(self.server())


class RealPostgresHarness(Harness):
    """Begins a store of its own for each test, and removes it."""

    name = "postgresql-real"

    def url(self) -> str:
        return f"{REAL.rstrip('/')}/test_{uuid.uuid4().hex}"

    def close(self) -> None:
        if self._url is not None:
            with connect(self._url) as store:
                store.backend.drop()


@pytest.fixture(scope="class", name="smaller_pages")
def _take_smaller_pages() -> Iterator[None]:
    with smaller_pages(PostgresBackend, "datastore_postgresql.reading.SCAN_PAGE", "datastore_postgresql.removing.PAGE"):
        yield


@pytest.mark.server("postgresql")
@pytest.mark.usefixtures("smaller_pages")
class TestPostgres(ConformanceSuite):
    harness = PostgresHarness


if REAL:

    class TestRealPostgres(ConformanceSuite):
        harness = RealPostgresHarness

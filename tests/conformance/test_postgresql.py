"""The kit on PostgreSQL: on a server that the tests start, and on another one where the environment names it."""

import os
from collections.abc import Iterator

import pytest

from datastore.conformance import ConformanceSuite
from datastore_postgresql.backend import PostgresBackend
from tests.conformance.on_servers import NamedServerHarness, ServerHarness
from tests.conformance.paging import smaller_pages
from tests.servers import postgresql

REAL = os.environ.get(postgresql.REAL, "")


class PostgresHarness(ServerHarness):
    name = "postgresql"
    server = postgresql


class RealPostgresHarness(NamedServerHarness):
    name = "postgresql-real"
    real = REAL


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

"""The kit on CouchDB: over HTTP, through the strict proxy; and on a real CouchDB where the environment names one."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import httpx
import pytest

from datastore import DataStore
from datastore.conformance import ConformanceSuite, Harness
from datastore_couchdb.backend import CouchBackend
from tests.conformance.paging import smaller_pages
from tests.full import EXAMPLES_ON_SERVERS, MANY_ON_SERVERS
from tests.servers import couchdb

REAL = os.environ.get("AGENT_DATASTORE_TEST_COUCHDB_URL", "")


class CouchHarness(Harness):
    name = "couchdb"
    examples = EXAMPLES_ON_SERVERS
    many = MANY_ON_SERVERS
    differs: ClassVar = dict.fromkeys(
        (
            "test_a_scan_is_in_the_order_of_code_points",
            "test_the_documents_of_odd_users_can_be_restored_and_listed",
            "test_namespaces_are_in_the_order_of_ids",
            "test_records_of_several_namespaces",
        ),
        "PouchDB orders ids by UTF-16, CouchDB by UTF-8",
    )

    def url(self) -> str:
        self.database = couchdb.borrow_database()
        return f"{couchdb.url(self.database)}?timeout=600"  # a view of 12,000 documents takes a busy machine its time

    @contextmanager
    def outage(self, store: DataStore) -> Iterator[None]:
        with couchdb.proxy().outage():
            yield

    def close(self) -> None:
        couchdb.give_back_database(self.database)


class RealCouchHarness(Harness):
    """Makes a database for each test on the server that ``couchdb://user:password@host:port`` names, and drops it."""

    name = "couchdb-real"

    def url(self) -> str:
        self.database = f"test_{uuid.uuid4().hex}"
        return f"{REAL.rstrip('/')}/{self.database}"

    def close(self) -> None:
        server = REAL.rstrip("/").replace("couchdb", "http", 1)  # couchdbs:// becomes https://
        httpx.delete(f"{server}/{self.database}").raise_for_status()


@pytest.fixture(scope="class", name="smaller_pages")
def _take_smaller_pages() -> Iterator[None]:
    with smaller_pages(
        CouchBackend,
        "datastore_couchdb.reading.SCAN_PAGE",
        "datastore_couchdb.views._PAGE",
        "datastore_couchdb.expiring._PAGE",
    ):
        yield


@pytest.mark.server("couchdb")
@pytest.mark.usefixtures("smaller_pages")
class TestCouch(ConformanceSuite):
    harness = CouchHarness


if REAL:

    class TestRealCouch(ConformanceSuite):
        harness = RealCouchHarness

"""The kit on CouchDB: over HTTP, through the strict proxy; and on a real CouchDB where the environment names one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from datastore import DataStore
from datastore.conformance import ConformanceSuite, Harness
from tests.servers import couchdb


class CouchHarness(Harness):
    name = "couchdb"
    differs: ClassVar = {"test_a_scan_is_in_the_order_of_code_points": "PouchDB orders ids by UTF-16, CouchDB by UTF-8"}

    def url(self) -> str:
        self.database = couchdb.borrow_database()
        return couchdb.url(self.database)

    def close(self) -> None:
        couchdb.give_back_database(self.database)

    @contextmanager
    def outage(self, store: DataStore) -> Iterator[None]:
        with couchdb.proxy().outage():
            yield


class TestCouch(ConformanceSuite):
    harness = CouchHarness

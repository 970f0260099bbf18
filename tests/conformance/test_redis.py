"""The kit on Redis: on a server that the tests start, and on another one where the environment names it."""

import os
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from datastore import DataStore, connect
from datastore.conformance import ConformanceSuite, Harness
from datastore_redis.backend import RedisBackend
from tests.conformance.paging import smaller_pages
from tests.full import EXAMPLES_ON_SERVERS, MANY_ON_SERVERS
from tests.servers import redis
from tests.servers.processes import Server

REAL = os.environ.get(redis.REAL, "")


class RedisHarness(Harness):
    name = "redis"
    examples = EXAMPLES_ON_SERVERS
    many = MANY_ON_SERVERS

    @staticmethod
    def server() -> Server:
        """Return the server that stores are borrowed of, started."""
        return redis.server()

    def url(self) -> str:
        return redis.borrow(self.server())

    def outage(self, store: DataStore) -> AbstractContextManager[None]:
        return self.server().outage()

    def close(self) -> None:
        redis.give_back(self.server())


class RealRedisHarness(Harness):
    """Begins a store of its own for each test, and removes it."""

    name = "redis-real"

    def url(self) -> str:
        return f"{REAL.rstrip('/')}/test_{uuid.uuid4().hex}"

    def close(self) -> None:
        if self._url is not None:
            with connect(self._url) as store:
                store.backend.drop()


@pytest.fixture(scope="class", name="smaller_pages")
def _take_smaller_pages() -> Iterator[None]:
    with smaller_pages(RedisBackend, "datastore_redis.reading.SCAN_PAGE", "datastore_redis.removing._PAGE"):
        yield


@pytest.mark.server("redis")
@pytest.mark.usefixtures("smaller_pages")
class TestRedis(ConformanceSuite):
    harness = RedisHarness


if REAL:

    class TestRealRedis(ConformanceSuite):
        harness = RealRedisHarness

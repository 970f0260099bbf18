"""The kit on Redis: on a server that the tests start, and on another one where the environment names it."""

import os
from collections.abc import Iterator

import pytest

from datastore.conformance import ConformanceSuite
from datastore_redis.backend import RedisBackend
from tests.conformance.on_servers import NamedServerHarness, ServerHarness
from tests.conformance.paging import smaller_pages
from tests.servers import redis

REAL = os.environ.get(redis.REAL, "")


class RedisHarness(ServerHarness):
    name = "redis"
    server = redis


class RealRedisHarness(NamedServerHarness):
    name = "redis-real"
    real = REAL


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

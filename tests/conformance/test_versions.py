"""The kit on other versions of servers, and through a pooler: in a full run.

In each run, the adapters' own tests have a part of it: `tests.postgresql.test_versions`, `tests.redis.test_versions`.
"""

import pytest

from datastore.conformance import ConformanceSuite
from tests.conformance.test_postgresql import PostgresHarness
from tests.conformance.test_redis import RedisHarness
from tests.full import FULL
from tests.servers import postgresql, redis
from tests.servers.processes import Server


class Postgres15Harness(PostgresHarness):
    name = "postgresql-15"

    def started(self) -> Server:
        return postgresql.server_15()


class PooledHarness(PostgresHarness):
    """All of a test's processes and threads share two connections, and the outage is that of the pooler."""

    name = "postgresql-pooled"

    def started(self) -> Server:
        return postgresql.pooler()


class DebianRedisHarness(RedisHarness):
    name = "redis-debian"

    def started(self) -> Server:
        return redis.debians()


if FULL:

    @pytest.mark.server("postgresql-15")
    class TestPostgres15(ConformanceSuite):
        harness = Postgres15Harness

    @pytest.mark.server("postgresql")
    @pytest.mark.server("pgbouncer")
    class TestPgBouncer(ConformanceSuite):
        harness = PooledHarness

    @pytest.mark.server("redis-debian")
    class TestDebianRedis(ConformanceSuite):
        harness = DebianRedisHarness

"""Another version of the server; in a full run the kit has it whole (`tests.conformance.test_versions`)."""

import pytest

from tests.adapters.stores import everything
from tests.servers import redis


@pytest.mark.server("redis-debian")
class TestDebian:
    """Debian's, Redis 7."""

    @pytest.fixture
    def url(self):
        yield redis.borrow(redis.debians())
        redis.give_back(redis.debians())

    def test_every_kind_of_call(self, store, agent, ask):
        assert everything(store, agent) == []
        assert b"redis_version:7" in ask("INFO", "server")

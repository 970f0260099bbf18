"""Expiry by Redis itself: it frees the memory, a day after the store has hidden the record, and hides no live one."""

import time

import pytest

import datastore
from tests.redis.test_codec import key_of

pytestmark = pytest.mark.server("redis")

DAY = 86_400_000


def test_redis_forgets_a_record_a_day_after_it_has_expired(agent, ask):
    agent.set("k", 1)
    assert ask("PTTL", key_of(ask)) == -1
    agent.set("k", 1, ttl=60)
    assert DAY < ask("PTTL", key_of(ask)) <= DAY + 60_000
    agent.touch("k", ttl=3_600)
    assert DAY + 3_000_000 < ask("PTTL", key_of(ask)) <= DAY + 3_600_000
    agent.touch("k", ttl=None)
    assert ask("PTTL", key_of(ask)) == -1


@pytest.mark.parametrize("years", [-30, 30])
def test_the_servers_clock_does_not_matter(url, years, ask):
    """A time to live is counted from the write, so a host whose clock is wrong loses nothing to Redis."""
    clock = lambda: time.time() + years * 365 * 86_400  # noqa: E731
    with datastore.connect(url, clock=clock) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1, ttl=60)
        assert DAY < ask("PTTL", key_of(ask)) <= DAY + 60_000
        assert agent.get("k") == 1


def test_what_redis_has_forgotten_is_in_no_listing_and_its_id_goes_with_a_purge(agent, store, ask, backend):
    agent.set("stays", 1)
    agent.set("brief", 1, ttl=1e-6)
    brief = next(key for key in ask("KEYS", "*") if key.count(b":") == 3 and ask("PTTL", key) > 0)
    assert ask("PEXPIRE", brief, 1) == 1
    while ask("EXISTS", brief):
        pass
    assert agent.list_keys() == ["stays"]
    assert agent.get_all() == {"stays": 1}
    assert agent.count() == 1
    assert store.purge_expired() == 0
    assert ask("KEYS", "*:expiring") == []


def test_a_record_that_is_written_again_after_redis_has_forgotten_it_is_listed_once(agent, ask):
    agent.set("k", 1, ttl=1e-6)
    ask("DEL", key_of(ask))
    agent.set("k", 2)
    assert agent.list_keys() == ["k"]
    assert agent.count() == 1
    assert ask("KEYS", "*:expiring") == []


def test_a_stale_entry_of_the_index_makes_no_live_record_go(agent, store, ask, backend):
    """As after a restore of an older snapshot: the index says that it has expired, the record says that it has not."""
    agent.set("k", 1, ttl=3_600)
    ids = next(key for key in ask("KEYS", "*}"))
    (member,) = ask("ZRANGE", ids, 0, -1)
    ask("ZADD", ids + b":expiring", 0, b"2000-01-01T00:00:00.000000Z\0" + member.partition(b"\0")[0])
    assert store.purge_expired() == 0
    assert agent.get("k") == 1
    assert agent.list_keys() == ["k"]

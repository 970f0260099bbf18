"""What a process knows of documents saves requests, and never decides an answer."""

from __future__ import annotations

import threading

import pytest

import datastore
from datastore import (
    DataStoreError,
    KeyExistsError,
)

pytestmark = pytest.mark.server("couchdb")
OWN_DATABASES = True  # who is cut off from an answer does not know when the server is done


def test_eight_writers_of_one_key_all_succeed(url):
    stores = [datastore.connect(url, flush_interval=3_600) for _ in range(2)]
    failures = []

    def write(number):
        agent = stores[number % 2].agent("u", f"w{number}")
        try:
            for i in range(10):
                agent.set("hot", {"writer": number, "i": i})
                agent.increment("counter")
        except DataStoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert stores[0].agent("u", "a").get("counter") == 80
    for store in stores:
        store.close()


def test_memory_of_what_was_seen_is_never_trusted_against_the_server(agent, stranger):
    agent.set("k", 1, {"a": 1})
    stranger.delete("k")
    agent.set("k", 2)
    record = agent.get_record("k")
    assert (record.value, record.metadata, record.revision) == (2, {}, record.revision)
    stranger.set("k", 3, {"b": 2})
    agent.set("k", 4)
    assert agent.get_record("k").metadata == {"b": 2}
    stranger.delete("k")
    agent.add("k", 5)
    with pytest.raises(KeyExistsError):
        stranger.add("k", 6)
    assert agent.delete("k") is True


def test_what_is_remembered_here_settles_no_outcome(store, agent, stranger, proxy):
    """The metadata that was seen here would be too much; somebody has removed it since."""
    agent.set("k", 1, {"a": "x" * 900})
    stranger.set("k", 2, {"a": None})
    agent.set("k", 3, {"b": "x" * 15_900})
    assert agent.get_record("k").metadata == {"b": "x" * 15_900}

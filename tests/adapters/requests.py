"""What the toolkit's adapters ask of a server, where they ask the same.

An adapter's ``test_requests.py`` has what it takes for each of `CALLS`, and a class under `Requests`. It needs the
fixtures `store`, `agent`, `stranger`, `backend`, `url` and ``wire``.
"""

from __future__ import annotations

import datastore
from datastore.conformance.topics.moving import document, restoring
from tests.adapters import durable
from tests.adapters.blobs import calls_of

CALLS = {
    "get": lambda agent: agent.get("k0001"),
    "get that misses": lambda agent: agent.get("nothing"),
    "get_record": lambda agent: agent.get_record("k0001"),
    "exists": lambda agent: agent.exists("k0001"),
    "set, new": lambda agent: agent.set("new", 1, {"m": 1}, ttl=60),
    "set, not known here": lambda agent: agent.set("k0001", 1),
    "set, not known here, with metadata": lambda agent: agent.set("k0001", 1, {"m": 1}),
    "add": lambda agent: agent.add("new", 1),
    "delete": lambda agent: agent.delete("k0001"),
    "delete that misses": lambda agent: agent.delete("nothing"),
    "touch": lambda agent: agent.touch("k0001", ttl=60),
    "pop": lambda agent: agent.pop("k0001"),
    "increment": lambda agent: agent.increment("k0001"),
    "get_many": lambda agent: agent.get_many([f"k{number:04}" for number in range(1_200)]),
    "set_many, new": lambda agent: agent.set_many({f"n{number}": 1 for number in range(1_200)}),
    "list_keys": lambda agent: agent.list_keys(),
    "list_keys, backward": lambda agent: agent.list_keys(reverse=True, limit=5),
    "list_namespaces": lambda agent: agent.list_namespaces(),
    "namespace_stats": lambda agent: agent.namespace_stats(),
    "namespace_stats of a range": lambda agent: agent.namespace_stats(start="n1", end="n3"),
    "count": lambda agent: agent.count(),
    "count of a prefix": lambda agent: agent.count(prefix="k00"),
    "count of what matches": lambda agent: agent.count({"a.b": 5}),
    "find": lambda agent: agent.find({"a": {"$gt": 5}}, meta={"createdByAgent": "stranger"}),
    "first": lambda agent: agent.first(),
    "last": lambda agent: agent.last(),
    "scan of 50": lambda agent: agent.scan(limit=50),
    "get_all": lambda agent: agent.get_all(),
    "an empty range": lambda agent: agent.list_keys(start="b", end="a"),
    "clear": lambda agent: agent.clear(),
}
"""Calls over the records of `tests.adapters.stores.filled`."""
_TWO = ("set, not known here", "set, not known here, with metadata", "delete", "touch", "pop", "increment", "get_many")
TAKEN = dict.fromkeys(CALLS, 1) | dict.fromkeys((*_TWO, "set_many, new"), 2) | {"an empty range": 0}
"""How many requests they take, unless the adapter's file says otherwise."""


class Requests:
    """What is the same for all of them."""

    list_of_blobs = 1
    """How many requests a short list of blobs takes."""
    first_look_at_a_log = 1
    """How many requests it takes that nothing follows an entry, where nothing is known of the log's end."""

    def test_connecting_to_a_store_that_is_there_takes_1(self, url, store, wire):
        assert wire.of(lambda: datastore.connect(url).close()) == 1

    def test_a_known_record_is_set_and_deleted_in_1(self, agent, wire):
        agent.set("k", 1, {"m": 1})
        assert wire.of(lambda: agent.set("k", 2, {"n": 1}, ttl=60)) == 1
        assert wire.of(lambda: agent.touch("k", ttl=90)) == 1
        assert agent.get_record("k").metadata == {"m": 1, "n": 1}
        assert wire.of(lambda: agent.delete("k")) == 1

    def test_any_number_of_reads_is_counted_in_1_per_thousand_and_costs_a_known_write_nothing(self, store, agent, wire):
        agent.set_many({f"k{number}": 1 for number in range(1_000)})
        for _ in range(3):
            agent.get_all()
        assert wire.of(store.flush) == 1
        assert agent.get_record("k7").access_count == 3
        assert wire.of(lambda: agent.set("k7", 2)) == 1

    def test_a_blob_of_9_parts_is_put_in_6_and_a_read_takes_2(self, agent, wire):
        expected = [6, 5, 1, 2, 2, self.list_of_blobs, 3, 6]
        assert [wire.of(call) for call in calls_of(agent.blobs).values()] == expected

    def test_a_restore_of_new_records_takes_1(self, backend, wire):
        restores = [restoring(document(f"k{number}")) for number in range(100)]
        assert wire.of(lambda: backend.restore(restores)) == 1

    def test_a_log_with_nothing_new_is_read_in_1(self, agent, stranger, wire):
        stranger.log("log").append(1, 2, 3)
        looks = [wire.of(lambda: agent.log("log").read(after=3)) for _ in range(2)]
        assert looks == [self.first_look_at_a_log, 1]

    def test_listing_120_logs_takes_4(self, agent, wire):
        names = [f"log{number:03}" for number in range(120)]
        for name in names:
            agent.log(name).append(1)
            agent.log(name).append(2)
        listed = list[str]()
        assert wire.of(lambda: listed.extend(agent.list_logs())) == 4, "two pages of ids, and the ends of 100 logs each"
        assert listed == names

    def test_leases_runs_and_logs_take_what_their_docstrings_say(self, agent, stranger, wire):
        assert durable.beyond(agent, stranger, wire.of) == {}

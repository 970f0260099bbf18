"""What holds on every database that is asked over connections of the store's own: answers that are lost, accesses
that are counted once, threads that share the connections.

An adapter's tests of these names have the server, and the fixtures `store`, `agent`, `stranger`, `backend`, `url` and
``wire``, a `Wire` whose faults its ``wire.py`` makes.
"""

from __future__ import annotations

import random
import threading
from collections import deque

import pytest

import datastore
from datastore import BackendUnavailableError, ClosedError, OutcomeUnknownError
from datastore.backend import Access, Delete, Fields, Touch
from datastore.conformance.documents import at, id_of, put


class Wire:
    """What passes between the client's connections and the server, with faults to let happen.

    Attributes:
        requests: What each request asks for, in the server's words.
        faults: What happens to the next requests.
    """

    def __init__(self):
        self.requests = []
        self.faults = deque()
        self.meanwhile = lambda: None

    def meet(self, *faults, meanwhile=None):
        """Let these happen to the next requests: ``unsent``, ``unanswered`` after it was carried out, or ``None``."""
        self.faults.extend(faults)
        if meanwhile is not None:
            self.meanwhile = meanwhile

    def of(self, call):
        """Return how many requests a call takes."""
        self.requests.clear()
        call()
        return len(self.requests)


class LostAnswers:
    """Writers whose answers get lost: each write is applied once."""

    def test_each_increment_and_append_is_done_once(self, agent, stranger, wire):
        chance = random.Random(22)
        agent.set_many({"count": 0, "list": []})
        for number in range(60):
            wire.meet(*chance.choices(("unanswered", "unsent"), k=chance.randrange(3)))
            one = chance.choice((agent, stranger))
            if number % 2:
                one.increment("count")
            else:
                one.append("list", number)
        wire.faults.clear()
        assert agent.get_many(["count", "list"]) == {"count": 30, "list": list(range(0, 60, 2))}

    def test_a_delete_whose_answer_is_lost_takes_no_later_record(self, agent, stranger, wire):
        agent.set("k", 1)
        wire.meet("unanswered", "unsent", meanwhile=lambda: None)
        assert agent.delete("k")
        assert not stranger.delete("k")
        stranger.set("k", 2)
        agent.get("k")
        wire.meet("unanswered", meanwhile=lambda: stranger.set("k", 3))
        assert agent.delete("k")
        assert stranger.get("k") == 3

    def test_a_pop_whose_answer_is_lost_says_that_nobody_can_tell(self, agent, stranger, wire):
        stranger.set("k", 1)
        assert wire.of(lambda: agent.get("k")) == 1
        wire.meet(None, "unanswered")
        with pytest.raises(OutcomeUnknownError):
            agent.pop("k")
        assert stranger.get("k") is None

    def test_each_of_a_batch_is_done_once(self, backend, wire):
        wire.meet("unanswered")
        outcomes = backend.write([put(f"k{number}", number) for number in range(50)])
        assert all(outcome.done for outcome in outcomes)
        writes = [Touch(id_of("k1"), at(1), at(99)), Delete(id_of("k2"), at(1)), put("k3", "new")]
        wire.meet("unanswered", "unsent")
        with pytest.raises(BackendUnavailableError):
            backend.write(writes)
        assert [outcome.done for outcome in backend.write(writes)] == [True, True, True]


class CountedOnce:
    """Accesses: counted once whatever happens, in the server."""

    def test_an_answer_that_is_lost_counts_nothing_twice(self, backend, wire):
        backend.write([put("k0", 1), put("k1", 1)])
        some = _accesses(backend, 2)
        wire.meet("unanswered")
        backend.record_access(some)
        wire.meet("unanswered", "unanswered")
        with pytest.raises(BackendUnavailableError):
            backend.record_access(some)
        backend.record_access([one._replace(number=5) for one in some])
        found = backend.read([id_of("k0"), id_of("k1")], Fields.ALL)
        assert [one.access_count for one in found.values()] == [7, 7]

    def test_the_last_access_never_goes_back_and_a_later_record_is_not_counted(self, backend):
        backend.write([put("k0", 1), put("k1", 1)])
        some = _accesses(backend, 1, 5)
        backend.record_access(some)
        backend.record_access([one._replace(at=at(3), agent="late") for one in some])
        found = backend.read([id_of("k0")], Fields.ALL)[id_of("k0")]
        assert (found.access_count, found.last_accessed_at, found.last_accessed_by_agent) == (2, at(5), "reader")
        backend.record_access([one._replace(created_at=at(9)) for one in some])
        assert backend.read([id_of("k0")], Fields.ALL)[id_of("k0")] == found

    def test_what_is_known_of_a_record_stays_known(self, store, agent, wire):
        """So the next write needs no read before it."""
        agent.set_many({"a": 1, "b": 2}, {"by": "us"})
        agent.get_many(["a", "b"])
        store.flush()
        assert wire.of(lambda: agent.set_many({"a": 3, "b": 4}, {"more": True})) == 1
        assert [one.access_count for one in agent.get_records(["a", "b"]).values()] == [1, 1]


class SharedConnections:
    """Threads that share the connections of a store."""

    def test_a_closed_store_says_so_even_in_the_middle(self, url):
        store = datastore.connect(url)
        agent = store.agent("u", "a")
        agent.set("k", 1)
        ended = []

        def work():
            try:
                while True:
                    agent.get("k")
            except ClosedError:
                ended.append(True)

        thread = threading.Thread(target=work)
        thread.start()
        session = store.backend._session
        store.close()
        thread.join(30)
        assert ended == [True]
        assert not session._idle

    def test_more_threads_than_connections_are_kept(self, url):
        with datastore.connect(f"{url}?pool=2") as store:
            agent = store.agent("u", "a")
            threads = [threading.Thread(target=lambda: [agent.increment("k") for _ in range(20)]) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert agent.get("k") == 160
            assert len(store.backend._session._idle) <= 2


def _accesses(backend, number, moment=1):
    found = backend.read([id_of("k0"), id_of("k1")], Fields.VALUE)
    return [Access(id, one.created_at, number, "reader", at(moment)) for id, one in found.items()]

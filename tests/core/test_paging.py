"""Pages of sorted records: how much is read, what is remembered, and that they are right without what is remembered."""

from __future__ import annotations

import gc
import json
import os
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import chain

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastore import DataStore
from datastore.conformance.clock import Clock
from datastore.conformance.faults import Wrapped, backend_of
from datastore.conformance.races import race
from datastore.places import BYTES, MOST, SECONDS, Ahead, Places, size_of
from datastore.queries.ordering import Descending
from datastore_memory import MemoryBackend
from tests.sqlite.processes import in_a_child

COUNT = 300
SORTS = {
    "one path": [("n", 1)],
    "descending text": [("text", -1), ("n", 1)],
    "ties": [("kind", 1)],
    "a time": [("$createdAt", -1), ("n", 1)],
    "keys": [("$key", -1)],
}


class Counting(Wrapped):
    """Counts the documents that the backend hands over, by how they were asked for."""

    def __init__(self, inner):
        super().__init__(inner)
        self.documents = Counter()

    def read(self, *args, **kwargs):
        found = super().read(*args, **kwargs)
        self.documents["by id"] += len(found)
        return found

    def scan(self, *args, **kwargs):
        page = super().scan(*args, **kwargs)
        self.documents["scanned"] += len(page.documents)
        return page

    def handed_over(self):
        found = dict(self.documents)
        self.documents.clear()
        return found


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def backend():
    return Counting(MemoryBackend())


@pytest.fixture
def store(backend, clock):
    with DataStore(backend, flush_interval=3_600, clock=clock) as store:
        yield store


@pytest.fixture
def agent(store):
    agent = store.agent("ann", "a")
    agent.set_many({f"k{n}": {"n": n * 37 % COUNT, "text": f"t{n}", "kind": n % 3} for n in range(COUNT)})
    return agent


def forgetting(store):
    """Let a store forget what it remembers, as after a restart."""
    store._core.places = Places()


def pages(agent, limit, between=lambda page: None, **asked):
    """Yield the keys of each page."""
    cursor = None
    while True:
        page = agent.find_records(**asked, limit=limit, cursor=cursor)
        yield [record.key for record in page.records]
        cursor = page.cursor
        if cursor is None:
            return
        between(page)


@pytest.mark.parametrize("sort", SORTS.values(), ids=SORTS)
def test_the_namespace_is_read_once_for_all_pages(agent, backend, sort):
    expected = [record.key for record in agent.find_records(sort=sort).records]
    backend.handed_over()
    read = []
    found = list(pages(agent, 50, lambda page: read.append(backend.handed_over()), sort=sort))
    read.append(backend.handed_over())
    assert [len(page) for page in found] == [50] * 6
    assert list(chain(*found)) == expected
    if sort == SORTS["keys"]:
        assert read == [{"scanned": 51}] * 5 + [{"scanned": 50}], "the order of keys needs no sorting"
        return
    assert read[0] == {"scanned": COUNT}
    assert read[1:] == [{"by id": 51}] * 4 + [{"by id": 50}]


@pytest.mark.parametrize("filter", [None, {"kind": {"$ne": 1}}])
@pytest.mark.parametrize("sort", SORTS.values(), ids=SORTS)
def test_without_what_is_remembered_the_pages_are_the_same(agent, store, backend, sort, filter):
    expected = list(pages(agent, 40, filter=filter, sort=sort))
    assert list(pages(agent, 40, lambda page: forgetting(store), filter=filter, sort=sort)) == expected
    with DataStore(backend.inner, flush_interval=3_600) as another:
        elsewhere = another.agent("ann", "b")
        cursor = agent.find_records(filter, sort=sort, limit=40).cursor
        page = elsewhere.find_records(filter, sort=sort, limit=40, cursor=cursor)
        assert [record.key for record in page.records] == expected[1], "another process goes on as well"
        backend_of(another).close = lambda: None


def test_each_cursor_can_be_used_again(agent):
    cursors = [None]
    first = list(pages(agent, 45, lambda page: cursors.append(page.cursor), sort="n"))
    for number in (3, 1, 6, 0, 2, 1):
        page = agent.find_records(sort="n", limit=45, cursor=cursors[number])
        assert [record.key for record in page.records] == first[number]
    page = agent.find_records(sort="n", limit=90, cursor=cursors[1])
    assert [record.key for record in page.records] == first[1] + first[2], "with another limit"
    rest = agent.find_records(sort="n", cursor=cursors[5])
    assert [record.key for record in rest.records] == first[5] + first[6]


def test_a_record_is_looked_at_again_when_its_page_is_read(agent, clock):
    order = [record.key for record in agent.find_records(sort="n").records]
    page = agent.find_records({"n": {"$gte": 0}}, sort="n", limit=10)
    agent.delete(order[12])
    agent.set(order[13], {"n": -5})
    agent.set(order[14], {"n": 14, "new": True})
    agent.set(order[15], {"n": 10.5})
    agent.set(order[17], {"n": 200.5})
    agent.set(order[18], {"n": 2.5})
    agent.set(order[19], {"n": 19}, ttl=5)
    agent.set(order[200], {"n": 11.5})
    clock.advance(5)
    page = agent.find_records({"n": {"$gte": 0}}, sort="n", limit=6, cursor=page.cursor)
    assert [record.value["n"] for record in page.records] == [10, 10.5, 11, 14, 16, 20]
    assert page.records[3].value["new"]
    left = []
    while page.cursor is not None:
        page = agent.find_records({"n": {"$gte": 0}}, sort="n", limit=70, cursor=page.cursor)
        left += [record.value["n"] for record in page.records]
    assert left == [*range(21, 200), 200.5, *range(201, COUNT)], "the one that moved is in its new place, once"


def test_a_record_that_moves_beyond_what_is_known_takes_nobody_along(agent, monkeypatch):
    monkeypatch.setattr("datastore.calls.paging.BYTES", 5_000)
    page = agent.find_records(sort="n", limit=10)
    moved = page.records[-1].value["n"] + 2
    (key,) = agent.find({"n": moved})
    agent.set(key, {"n": COUNT - 0.5})
    left = []
    while page.cursor is not None:
        page = agent.find_records(sort="n", limit=10, cursor=page.cursor)
        left += [record.value["n"] for record in page.records]
    assert left == [n for n in range(10, COUNT) if n != moved] + [COUNT - 0.5]


@settings(max_examples=200, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.integers(0, 9), min_size=5, max_size=20),
    st.lists(st.lists(st.tuples(st.integers(0, 19), st.one_of(st.none(), st.integers(0, 9))), max_size=6), max_size=12),
    st.integers(1, 4),
    st.sampled_from([1, -1]),
    st.sampled_from([0, 400, 1_000, 2_000, 1_000_000]),
)
def test_who_is_left_alone_is_shown_once_and_nobody_twice_in_one_place(numbers, changes, limit, direction, room):
    """Whatever is written between pages, and however little of what comes next is kept."""
    patch = pytest.MonkeyPatch()
    patch.setattr("datastore.calls.paging.BYTES", room)
    with DataStore(MemoryBackend(), flush_interval=3_600) as store:
        agent = store.agent("u", "a")
        agent.set_many({f"{key}": {"n": number} for key, number in enumerate(numbers)})
        touched, shown, cursor = set(), [], None
        for turn in range(200):
            page = agent.find_records({"n": {"$gte": 1}}, sort=[("n", direction)], limit=limit, cursor=cursor)
            shown += [(record.value["n"], record.id, record.key) for record in page.records]
            cursor = page.cursor
            if cursor is None:
                break
            assert len(page.records) == limit
            for key, number in changes[turn] if turn < len(changes) else ():
                touched.add(str(key))
                if number is None:
                    agent.delete(str(key))
                else:
                    agent.set(str(key), {"n": number})
    patch.undo()
    assert cursor is None
    assert shown == sorted(shown, key=lambda one: (direction * one[0], one[1]))
    assert len(set(shown)) == len(shown)
    alone = {key for _, _, key in shown if key not in touched}
    assert alone == {f"{key}" for key, number in enumerate(numbers) if number >= 1 and f"{key}" not in touched}


def test_what_is_remembered_is_bounded(store):
    agent = store.agent("ann", "a")
    text = "x" * 20_000
    agent.set_many({f"k{n}": {"text": f"{n:04}{text}"} for n in range(500)})
    found = list(pages(agent, 10, sort="text"))
    assert list(chain(*found)) == [f"k{n}" for n in range(500)]
    for _ in range(2 * MOST):
        agent.find_records(sort=[("text", -1)], limit=10)
    kept = store._core.places._latest
    assert len(kept) == MOST
    for ahead in kept:
        assert 10 < len(ahead.places) < 100
        assert sum(map(size_of, ahead.places)) <= BYTES + size_of(ahead.places[0])


@pytest.mark.parametrize("direction", [1, -1])
def test_values_of_losers_are_not_kept(backend, direction):
    """Of all that is read for a page, a find or a find far behind the beginning, few values are alive at once."""
    alive, most = 0, 0

    class Value(dict):
        def __init__(self, *args):
            nonlocal alive, most
            super().__init__(*args)
            alive += 1
            most = max(most, alive)

        def __del__(self):
            nonlocal alive
            alive -= 1

    class Watching(Wrapped):
        """Hands over one page of 20 at a time, and knows which of its values are still there."""

        def read(self, *args):
            return {id: one._replace(value=Value(one.value)) for id, one in super().read(*args).items()}

        def scan(self, range, fields, limit, after=None, reverse=False):
            page = super().scan(range, fields, min(limit, 20), after, reverse)
            return page._replace(documents=[one._replace(value=Value(one.value)) for one in page.documents])

    with DataStore(Watching(backend.inner), flush_interval=3_600) as store:
        agent = store.agent("u", "a")
        agent.set_many({f"{n:04}": {"n": n * direction} for n in range(2_000)})
        for call in (
            lambda: agent.find(sort="n", limit=5),
            lambda: agent.find(sort="n", skip=4, limit=5),
            lambda: agent.find(sort="n", skip=1_000, limit=5),
            lambda: agent.find_records(sort="n", limit=5),
            lambda: agent.find_records({"n": {"$lt": 10_000}}, sort=[("$key", direction)], limit=5),
            lambda: agent.count({"n": {"$ne": 1}}),
        ):
            gc.collect()
            most = alive
            assert call()
            assert most <= 90, "20 of two pages, and a few for each that is asked for"


def test_far_behind_the_beginning_the_window_alone_is_read_again(agent, backend):
    backend.handed_over()
    assert [value["n"] for value in agent.find(sort="n", skip=200, limit=5).values()] == [200, 201, 202, 203, 204]
    assert backend.handed_over() == {"scanned": COUNT, "by id": 5}
    assert agent.explain(sort="n", skip=200, limit=5)["documents_read"] == COUNT + 5
    assert agent.explain(sort="n", skip=5, limit=5)["documents_read"] == COUNT


def token_of(cursor):
    return urlsafe_b64decode(cursor.rpartition(".")[0]).decode()


def test_what_is_remembered_for_one_is_of_no_use_to_another(store, agent, backend):
    """Not to another user, namespace, filter or sort, even with the same cursor's token put into a cursor of theirs."""
    page = agent.find_records({"kind": 1}, sort="n", limit=10)
    token = json.loads(token_of(page.cursor))[2]
    assert len(bytes.fromhex(token)) == 16
    for place, filter, sort in (
        (store.agent("bob", "a"), {"kind": 1}, "n"),
        (agent.use_namespace("other"), {"kind": 1}, "n"),
        (agent, {"kind": {"$in": [1]}}, "n"),
        (agent, {"kind": True}, "n"),
        (agent, {"kind": 1}, [("n", -1)]),
    ):
        place.set_many({f"theirs{n}": {"n": n, "kind": 1} for n in range(30)})
        cursor = place.find_records(filter, sort=sort, limit=3).cursor
        if cursor is None:
            continue  # nobody has a kind that is True
        expected = place.find_records(filter, sort=sort, limit=3, cursor=cursor)
        state, _, query = cursor.rpartition(".")
        keys, id, own = json.loads(urlsafe_b64decode(state))
        assert own != token
        forged = urlsafe_b64encode(json.dumps([keys, id, token]).encode()).decode() + f".{query}"
        backend.handed_over()
        found = place.find_records(filter, sort=sort, limit=3, cursor=forged)
        assert found.records == expected.records
        assert "scanned" in backend.handed_over(), "it was looked for anew"


def test_what_is_remembered_grows_old(agent, backend, clock):
    page = agent.find_records(sort="n", limit=10)
    agent.set("late", {"n": 15.5})
    clock.advance(SECONDS - 1)
    backend.handed_over()
    second = agent.find_records(sort="n", limit=10, cursor=page.cursor)
    assert [record.value["n"] for record in second.records] == [*range(10, 20)]
    assert backend.handed_over() == {"by id": 11}
    clock.advance(1)
    second = agent.find_records(sort="n", limit=10, cursor=page.cursor)
    assert [record.value["n"] for record in second.records] == [*range(10, 16), 15.5, *range(16, 19)]
    assert backend.handed_over() == {"scanned": COUNT + 1}


def test_pages_are_read_by_many_threads_at_once(agent):
    expected = {limit: list(pages(agent, limit, sort="text")) for limit in (7, 60, 111)}

    def work(limit):
        for _ in range(5):
            assert list(pages(agent, limit, sort="text")) == expected[limit]

    race(*(partial(work, limit) for limit in (7, 60, 111) * 3))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_goes_on(agent):
    first = agent.find_records(sort="n", limit=10)
    expected = [record.key for record in agent.find_records(sort="n", limit=10, cursor=first.cursor).records]

    def go_on():
        page = agent.find_records(sort="n", limit=10, cursor=first.cursor)
        assert [record.key for record in page.records] == expected

    in_a_child(go_on)


def test_an_order_is_recalled_while_others_are_remembered():
    places = Places()
    stop = threading.Event()

    def remember():
        while not stop.is_set():
            places.remember(Ahead("other", "x", 1.0, [], None))

    thread = threading.Thread(target=remember)
    thread.start()
    try:
        for number in range(2_000):
            places.remember(Ahead(f"{number}", "x", 1.0, [], None))
            found = places.recall(f"{number}", "x", 0.0)
            assert found is None or found.token == f"{number}"
    finally:
        stop.set()
        thread.join()
    assert len(places._latest) == MOST


def test_a_place_is_as_large_as_what_is_in_it():
    assert 2_000 < size_of((Descending((3, "x" * 1_000)), "id")) < 2_500
    assert size_of(((2, 10**4_000), "id")) > 1_600
    assert size_of(((4, ((3, "name", (3, "x" * 500)),)), "id")) > 1_000
    assert size_of(((2, 1.5), "id")) < 400


@pytest.mark.parametrize("direction", [1, -1])
def test_pages_can_begin_after_a_value_of_any_kind(store, direction):
    agent = store.agent("ann", "kinds")
    kinds = [None, 1, 1.5, "text", {}, {"a": 1}, {"a": {"b": "c"}, "d": None}, {"a": [1]}, [], [2], [{"a": 1}], True]
    agent.set_many({f"k{number}": {"v": kind} for number, kind in enumerate(kinds)} | {"missing": {}})
    whole = [record.key for record in agent.find_records(sort=[("v", direction)]).records]
    assert sorted(whole) == agent.list_keys()
    found, cursor = [], None
    for _ in whole:
        page = agent.find_records(sort=[("v", direction)], limit=1, cursor=cursor)
        found += [record.key for record in page.records]
        cursor = page.cursor
    assert found == whole
    assert cursor is None


LISTINGS = {
    "iter_records": lambda agent, limit, reverse: [one.key for one in agent.iter_records(limit=limit, reverse=reverse)],
    "list_keys": lambda agent, limit, reverse: agent.list_keys(limit=limit, reverse=reverse),
    "get_all": lambda agent, limit, reverse: list(agent.get_all(limit=limit, reverse=reverse)),
    "scan": lambda agent, limit, reverse: [one.key for one in agent.scan(limit=limit, reverse=reverse).records],
}


@pytest.mark.parametrize("listing", LISTINGS)
@pytest.mark.parametrize("limit", [9, 10, 11, 25])
def test_a_listing_reads_what_it_returns_over_several_pages_too(listing, limit):
    """Where nothing has expired, the last page asks for the rest. `scan` reads one more: it says that more follow."""
    backend = Counting(MemoryBackend())
    backend.capabilities = replace(backend.capabilities, scan_page=10)
    with DataStore(backend) as store:
        agent = store.agent("u", "a")
        keys = [f"k{number:02}" for number in range(60)]
        agent.set_many(dict.fromkeys(keys, 1))
        for reverse, expected in ((False, keys[:limit]), (True, keys[::-1][:limit])):
            backend.documents.clear()
            assert LISTINGS[listing](agent, limit, reverse) == expected
            assert backend.documents["scanned"] == limit + (listing == "scan")


@pytest.mark.parametrize("listing", LISTINGS)
@pytest.mark.parametrize("limit", [1, 3, 10, 25])
def test_a_listing_goes_on_behind_pages_of_what_has_expired(listing, limit, clock):
    backend = Counting(MemoryBackend())
    backend.capabilities = replace(backend.capabilities, scan_page=10)
    with DataStore(backend, clock=clock) as store:
        agent = store.agent("u", "a")
        expiring = {f"{letter}{number:02}": 1 for letter in "ac" for number in range(23)}
        agent.set_many(expiring, ttl=60)
        keys = [f"b{number:02}" for number in range(30)]
        agent.set_many(dict.fromkeys(keys, 1))
        clock.advance(61)
        assert LISTINGS[listing](agent, limit, False) == keys[:limit]
        assert LISTINGS[listing](agent, limit, True) == keys[::-1][:limit]
        assert agent.first().key == keys[0]
        assert agent.last().key == keys[-1]
        assert agent.first(end="b") is agent.last(start="c") is None

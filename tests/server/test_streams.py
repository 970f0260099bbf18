"""Long listings: the server holds a part of them only, and what it sends is what the call returns."""

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace

import pytest

import datastore
from datastore import DataStore
from datastore.calls.streams import STREAMS
from datastore.conformance.faults import Wrapped, backend_of
from datastore.errors import DeadlineExceededError, InvalidNameError, QueryError
from datastore.server import ServerLimits
from datastore.server.access import Access
from datastore.server.running import _STREAMED, Runner, _Stream
from datastore.wire.calls import CALLS

PAGE, MANY, SIZE = 40, 2_000, 4_000


class Counts(Wrapped):
    """Counts the documents that are read, in small pages."""

    def __init__(self, inner):
        super().__init__(inner)
        self.capabilities = replace(self.capabilities, scan_page=PAGE)
        self.documents = 0

    def scan(self, *args, **kwargs):
        page = super().scan(*args, **kwargs)
        self.documents += len(page.documents)
        return page


@pytest.fixture(scope="module")
def backend():
    with datastore.connect("memory://") as store:
        store.agent("ann", "a").set_many({f"{number:05}-{'k' * 400}": "x" * SIZE for number in range(MANY)})
        yield Counts(backend_of(store))


async def listed(store, call, arguments, seen=lambda some: None):
    """Return all that a call lists, as the server's application hands it on."""
    limits = ServerLimits()
    access, runner = Access(store, limits), Runner(store, limits)
    try:
        holder = await access.holder(b"Bearer " + store.tokens.mint("ann", "tester").encode())
        items = []
        async with aclosing(runner.listing(holder, CALLS[call], None, CALLS[call].bound(arguments))) as listing:
            async for some in listing:
                for line in map(json.loads, some):
                    items += line.get("items", [])
                seen(items)
        return items, line["end"]
    finally:
        runner.stop()
        access.stop()


@pytest.mark.parametrize("call", sorted({*STREAMS, "iter_records", "memory_items"}))
def test_what_is_not_sent_yet_is_a_part_whatever_there_is(backend, call):
    store, held = DataStore(backend), list[int]()
    backend.documents = 0
    items, end = asyncio.run(listed(store, call, {}, lambda items: held.append(backend.documents - len(items))))
    assert (len(items), end) == (MANY, {"items": MANY, "cursor": None})
    assert len(held) > 2
    assert max(held) <= PAGE  # read and not sent yet: none of a long answer stays


@pytest.mark.parametrize("call", sorted(STREAMS))
def test_a_stream_is_what_the_call_returns(backend, call):
    """For every way to narrow it; tests/conformance/test_served.py has the rest."""
    store = DataStore(backend)
    agent = store.agent("ann", "tester")
    middle = agent.list_keys(limit=1_000)[-1]
    windows = [{"limit": 3}, {"prefix": "0000", "limit": 50}, {"start": middle, "limit": 5}, {"end": middle[:4]}]
    if call == "find":
        windows += [{"sort": "-$key", "limit": 7, "skip": 2}, {"filter": {"none": None}, "prefix": "0001"}]
    else:
        windows += [{"reverse": True, "limit": 7}]
    for window in windows:
        items, end = asyncio.run(listed(store, call, window))
        returned = getattr(agent, call)(**window)
        if call == "scan":
            assert [one["key"] for one in items] == [one.key for one in returned.records]
            assert end["cursor"] == returned.cursor
        else:
            assert items == (returned if call == "list_keys" else list(map(list, returned.items())))


@pytest.mark.parametrize("call", sorted(STREAMS))
def test_what_is_wrong_is_refused_before_anything_is_read(backend, call):
    backend.documents = 0
    for arguments, kind in (({"prefix": "x" * 600}, InvalidNameError), ({"limit": 0}, QueryError)):
        with pytest.raises(kind):
            asyncio.run(listed(DataStore(backend), call, arguments))
    assert backend.documents == 0


@pytest.mark.parametrize("call", ["get_all", "find"])
def test_what_was_sent_is_counted_and_nothing_else(backend, call):
    store = DataStore(backend, tracking="immediate")
    keys = store.agent("ann", "other").list_keys(limit=2)
    before = [store.agent("ann", "other").get_record(key).access_count for key in keys]
    asyncio.run(listed(store, call, {"limit": 1}))
    asyncio.run(listed(store, call, {"limit": 2, "count": False}))
    after = [store.agent("ann", "other").get_record(key).access_count for key in keys]
    assert after == [before[0] + 1, before[1]]


def test_a_stream_as_a_whole_has_the_time_of_one_call(backend):
    """However many jobs it is cut into; the time between them, which is the client's, does not count."""
    agent = DataStore(backend).agent("ann", "tester")
    stream = _Stream(CALLS["get_all"], agent, {}, (), 60.0)
    stream.more()
    left = stream._seconds
    assert left < 60.0
    stream.more()
    assert stream._seconds < left
    stream._seconds = 0.0
    with pytest.raises(DeadlineExceededError):
        stream.more()


def test_only_what_has_to_be_sorted_or_is_short_is_made_whole():
    whole = {name for name, call in CALLS.items() if call.in_lines} - _STREAMED
    assert whole == {
        *("get_many", "get_records"),  # of keys that the caller names
        *("find_records", "find_in", "log_read", "blob_list"),  # pages, whose size the caller names
        *("list_namespaces", "namespace_stats", "list_logs"),  # names
        *("memory_search", "memory_search_across"),  # at most `ServerLimits.nearest`
        *("run_read", "run_ends"),  # at most 2 MiB
        "run_due",  # ids
    }

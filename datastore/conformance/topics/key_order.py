"""Keys in order: ranges of them, from either end, and no more read than is returned."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from datastore import AgentDataStore, DataStore, InvalidNameError, InvalidValueError, Page, QueryError
from datastore.conformance.topic import Topic

KEYS = [
    "\0", "\0\0", "\0a", "\x01", " ", "!", "-", "-a", "0", "00", "1", "10", "11", "2", "9", ":", "A", "AB", "Z", "_",
    "__", "a", "a\0", "a\x01", "aa", "aaa", "aaaa", "ab", "a~", "b", "z", "~", "\x7f", "\x80", "é", "éa", "\u07ff",
    "\u0800", "\ud7ff", "\ue000", "\uffee", "\uffff", "\U00010000", "🔑", "🔑a", "\U0010ffff", "k" * 511, "k" * 512,
]  # fmt: skip
"""In the order of their code points, except for the last two; some begin with others."""
BOUNDS = [None, "\0", "1", "a", "a\0", "ab", "b", "é", "\ud7ff", "\U0010ffff", "k" * 512]


class KeyOrder(Topic):
    """``start``, ``end``, ``reverse`` and ``limit``, wherever keys are listed; ``first`` and ``last``."""

    def test_keys_are_in_the_order_of_their_code_points(self, data_store: AgentDataStore) -> None:
        """In every listing, and backward in the opposite one."""
        data_store.set_many({key: key for key in reversed(KEYS)})
        expected = sorted(KEYS)
        assert data_store.list_keys() == expected
        assert list(data_store.get_all()) == expected
        assert keys_of(data_store.iter_records()) == expected
        assert keys_of(data_store.scan().records) == expected
        assert list(data_store.find({})) == expected
        assert data_store.list_keys(reverse=True) == expected[::-1]
        assert list(data_store.get_all(reverse=True)) == expected[::-1]
        assert keys_of(data_store.iter_records(reverse=True)) == expected[::-1]
        assert keys_of(data_store.scan(reverse=True).records) == expected[::-1]
        assert list(data_store.find({}, sort="-$key")) == expected[::-1]

    def test_a_range_is_that_of_a_sorted_list(self, data_store: AgentDataStore) -> None:
        """From ``start`` on, up to ``end`` and without it; neither need exist, and both may be the wrong way round."""
        data_store.set_many(dict.fromkeys(KEYS, 1))
        for start in BOUNDS:
            for end in BOUNDS:
                expected = [
                    key for key in sorted(KEYS) if (start is None or key >= start) and (end is None or key < end)
                ]
                assert data_store.list_keys(start=start, end=end) == expected, (start, end)
        for prefix in ("a", "\0", "k", "🔑"):
            expected = [key for key in sorted(KEYS) if key.startswith(prefix) and "a\x01" <= key < "k" * 512]
            assert data_store.list_keys(prefix, start="a\x01", end="k" * 512) == expected, prefix
            assert data_store.list_keys(prefix, start="a\x01", end="k" * 512, reverse=True) == expected[::-1], prefix

    @pytest.mark.parametrize("reverse", [False, True])
    def test_every_listing_takes_the_same_range(self, data_store: AgentDataStore, reverse: bool) -> None:
        """With a prefix, from one key up to another, in either direction, and only so many."""
        log = {f"log/{number:03}": number for number in range(30)}
        data_store.set_many({**log, "log": -1, "log0": -1, "lof": -1, "plan": -1})
        asked: dict[str, Any] = {"start": "log/005", "end": "log/020", "reverse": reverse, "limit": 4}
        expected = ["log/019", "log/018", "log/017", "log/016"] if reverse else sorted(log)[5:9]
        values = {key: log[key] for key in expected}
        assert data_store.list_keys("log/", **asked) == expected
        assert list(data_store.get_all("log/", **asked).items()) == list(values.items())
        assert keys_of(data_store.iter_records("log/", **asked)) == expected
        assert keys_of(data_store.scan("log/", **asked).records) == expected
        assert data_store.clear("log/", **asked) == 4
        assert data_store.list_keys("log/") == sorted(log.keys() - values.keys())
        assert data_store.count() == 30

    def test_the_first_and_the_last_record(self, data_store: AgentDataStore) -> None:
        """Of all, under a prefix, or between two keys; none where there is none. Looking is not an access."""
        assert data_store.first() is None
        assert data_store.last() is None
        data_store.set_many({f"run:{number:02}": number for number in range(12)}, {"source": "web"})
        data_store.set("z", 1)
        first, last = data_store.first(), data_store.last()
        assert (first and first.key, last and last.key) == ("run:00", "z")
        latest = data_store.last("run:")
        assert latest is not None
        assert (latest.key, latest.value, latest.metadata, latest.access_count) == ("run:11", 11, {"source": "web"}, 0)
        assert keys_of([one for one in [data_store.first(start="run:03\0")] if one]) == ["run:04"]
        assert keys_of([one for one in [data_store.last(end="run:03")] if one]) == ["run:02"]
        assert data_store.first("nothing") is None
        assert data_store.last(start="zz") is None

    def test_the_first_and_the_last_live_record(self, open_store: Any) -> None:
        """Those that have expired are passed by."""
        now = 1_000_000.0
        data_store = open_store(clock=lambda: now).agent("user_1", "agent_1")
        data_store.set_many({f"{number:02}": number for number in range(20)}, ttl=10)
        data_store.set_many({"07": 7, "11": 11})
        now += 11
        first, last = data_store.first(), data_store.last()
        assert (first and first.key, last and last.key) == ("07", "11")
        assert data_store.list_keys(reverse=True, limit=2) == ["11", "07"]

    @pytest.mark.parametrize("limit", [1, 2, 7, 30, 31])
    @pytest.mark.parametrize("reverse", [False, True])
    def test_pages_hold_everything_once(self, data_store: AgentDataStore, limit: int, reverse: bool) -> None:
        """Whichever way they go, page by page, and the cursor is ``None`` at the end."""
        keys = [f"key {number:02}" for number in range(30)]
        data_store.set_many(dict.fromkeys(keys, 1))
        assert keys_of(paged(data_store, limit, reverse=reverse)) == (keys[::-1] if reverse else keys)
        between = paged(data_store, limit, start="key 03", end="key 11", reverse=reverse)
        assert keys_of(between) == (keys[10:2:-1] if reverse else keys[3:11])

    @pytest.mark.parametrize("reverse", [False, True])
    def test_pages_go_on_while_others_write(self, data_store: AgentDataStore, reverse: bool) -> None:
        """What is there all the time is on exactly one page, also if the record at the cursor is deleted."""
        keys = [f"key {number:02}" for number in range(20)]
        data_store.set_many(dict.fromkeys(keys, 1))
        found, page = list[str](), Page([], None)
        for written in itertools.count():
            page = data_store.scan(limit=3, reverse=reverse, cursor=page.cursor)
            found += keys_of(page.records)
            if page.cursor is None:
                break
            data_store.delete(found[-1])
            data_store.set_many({f"key {written % 20:02}x{written}": 1, f"key {19 - written % 20:02}x{written}": 1})
        assert [key for key in found if "x" not in key] == (keys[::-1] if reverse else keys)
        assert found == sorted(found, reverse=reverse)
        assert len(set(found)) == len(found)

    def test_a_cursor_is_of_one_range_and_one_direction(self, data_store: AgentDataStore) -> None:
        """Another one's is refused."""
        data_store.set_many({f"key {number}": number for number in range(9)})
        cursor = data_store.scan(limit=2, start="key 1").cursor
        assert keys_of(data_store.scan(limit=2, start="key 1", cursor=cursor).records) == ["key 3", "key 4"]
        for asked in ({}, {"start": "key 2"}, {"start": "key 1", "end": "key 8"}, {"start": "key 1", "reverse": True}):
            with pytest.raises(QueryError, match="cursor"):
                data_store.scan(limit=2, cursor=cursor, **asked)

    def test_queries_look_only_at_the_keys_asked_for(self, data_store: AgentDataStore) -> None:
        """A prefix or a range narrows before values are looked at: ``explain`` shows that no other was read."""
        data_store.set_many(
            {f"{kind}/{number:02}": {"n": number % 5, "kind": kind} for kind in "abc" for number in range(20)}
        )
        assert list(data_store.find({"n": 1}, prefix="b/")) == ["b/01", "b/06", "b/11", "b/16"]
        assert list(data_store.find({"n": 1}, start="b/02", end="c/02")) == ["b/06", "b/11", "b/16", "c/01"]
        assert list(data_store.find({"n": 1}, start="b/02", end="c/02", sort="-$key", limit=2)) == ["c/01", "b/16"]
        assert data_store.count({"n": 1}, prefix="b/") == 4
        assert data_store.count(prefix="b/", start="b/15") == 5
        assert keys_of(data_store.find_records({"n": 1}, prefix="c/", limit=3).records) == ["c/01", "c/06", "c/11"]
        assert data_store.explain({"kind": {"$ne": "x"}}, prefix="b/")["documents_read"] <= 21
        assert data_store.update_where({"n": 1}, {"n": 100}, prefix="a/") == 4
        assert data_store.delete_where({"kind": "a"}, start="a/10", end="b") == 10
        assert data_store.count({"n": 100}) == 2

    def test_the_order_of_keys_costs_no_sorting(self, data_store: AgentDataStore) -> None:
        """Neither forward nor backward: no more is read than is returned."""
        data_store.set_many({f"key {number:03}": {"n": number} for number in range(200)})
        for sort in (None, "$key", "-$key", [("$key", -1), ("n", 1)]):
            explained = data_store.explain({}, sort=sort, limit=5)
            assert explained["sorted_here"] is False, sort
            assert explained["documents_read"] <= 10, sort

    @pytest.mark.parametrize("sort", ["$key", "-$key", "n", "-n", [("$updatedAt", -1)], None])
    def test_pages_of_a_query_skip_once_and_show_the_fields_asked_for(
        self, data_store: AgentDataStore, sort: Any
    ) -> None:
        """``skip`` counts before the first page, and ``fields`` leaves the rest of a record as it is."""
        data_store.set_many({f"key {number:02}": {"n": number // 2, "text": "x"} for number in range(20)}, {"a": 1})
        whole = list(data_store.find({"n": {"$gte": 2}}, sort=sort))
        found: list[Any] = []
        cursor = None
        while True:
            asked = {"sort": sort, "limit": 4, "skip": 3, "fields": ["n"], "cursor": cursor}
            page = data_store.find_records({"n": {"$gte": 2}}, **asked)
            found += page.records
            if page.cursor is None:
                break
            cursor = page.cursor
        assert keys_of(found) == whole[3:]
        assert all(record.value == {"n": int(record.key[-2:]) // 2} for record in found)
        assert all(record.metadata == {"a": 1} for record in found)

    def test_short_ways_to_say_a_sort(self, data_store: AgentDataStore) -> None:
        """``"price"`` and ``"-price"``; of equals the first key comes first."""
        data_store.set_many({"a": {"price": 2}, "b": {"price": 1}, "c": {"price": 2}, "d": {}})
        assert list(data_store.find({}, sort="price")) == ["d", "b", "a", "c"]
        assert list(data_store.find({}, sort="-price")) == ["a", "c", "b", "d"]
        assert list(data_store.find({}, sort="-$key")) == ["d", "c", "b", "a"]

    @pytest.mark.parametrize("call", ["list_keys", "scan", "iter_records", "get_all", "clear"])
    def test_what_is_no_range_is_refused(self, data_store: AgentDataStore, call: str) -> None:
        """Before anything is read or removed, naming the parameter."""
        data_store.set("key", 1)
        listing = getattr(data_store, call)
        for parameter in ("prefix", "start", "end"):
            with pytest.raises(InvalidNameError, match=parameter):
                listing(**{parameter: 1})
            with pytest.raises(InvalidNameError, match=parameter):
                listing(**{parameter: "x" * 513})
            with pytest.raises(InvalidNameError, match=parameter):
                listing(**{parameter: "\ud800"})
        with pytest.raises(InvalidValueError, match="reverse"):
            listing(reverse="yes")
        with pytest.raises(InvalidValueError, match="limit"):
            listing(limit="3")
        for limit in (0, -1):
            with pytest.raises(QueryError, match="limit"):
                listing(limit=limit)
        assert data_store.list_keys() == ["key"]

    def test_any_keys_are_listed_as_a_sorted_list_is(self, store: DataStore) -> None:
        """Generated: of all planes, with NUL, of 1 to 512 bytes, prefixes of one another."""
        hypothesis = pytest.importorskip("hypothesis")
        from datastore.conformance import strategies

        data_store = store.agent("user_1", "agent_1", "generated")

        @strategies.examples(self.harness)
        @hypothesis.given(strategies.listings)  # type: ignore[untyped-decorator]  # Hypothesis is optional
        def check(asked: strategies.Listing) -> None:
            data_store.clear()
            data_store.set_many(dict.fromkeys(asked.keys, 1))
            expected = sorted(asked.keys, reverse=asked.reverse)
            expected = [
                key
                for key in expected
                if key.startswith(asked.prefix or "")
                and (asked.start is None or key >= asked.start)
                and (asked.end is None or key < asked.end)
            ][: asked.limit]
            options: dict[str, Any] = {**asked._asdict()}
            del options["keys"]
            assert data_store.list_keys(**options) == expected
            assert keys_of(data_store.scan(**options).records) == expected

        check()


def keys_of(records: Any) -> list[str]:
    """Return the keys of records."""
    return [record.key for record in records]


def paged(data_store: AgentDataStore, limit: int, **asked: Any) -> Iterator[Any]:
    """Yield the records of a scan, read page by page."""
    page = Page([], None)
    while True:
        page = data_store.scan(limit=limit, cursor=page.cursor, **asked)
        assert len(page.records) <= limit
        yield from page.records
        if page.cursor is None:
            return

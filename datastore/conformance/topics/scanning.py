"""Scanning: records page by page, in a stable order."""

from __future__ import annotations

from typing import Any

import pytest

from datastore import AgentDataStore, DataStore, DataStoreError, QueryError, Record
from datastore.conformance.faults import Untouchable
from datastore.conformance.topic import Topic, Wrapper


def pages_of(data_store: AgentDataStore, limit: int | None, prefix: str | None = None) -> list[list[Record]]:
    """Return all pages of a scan."""
    pages: list[list[Record]] = []
    cursor = None
    while True:
        page = data_store.scan(prefix, limit=limit, cursor=cursor)
        pages.append(page.records)
        if page.cursor is None:
            return pages
        assert page.cursor != cursor, "the cursor does not move"
        cursor = page.cursor


def keys_of(pages: list[list[Record]]) -> list[str]:
    """Return the keys of all pages."""
    return [record.key for page in pages for record in page]


class Scanning(Topic):
    """``scan`` and ``iter_records``."""

    def test_a_scan_returns_whole_records(self, data_store: AgentDataStore) -> None:
        """They are the same as from ``get_record``."""
        data_store.set("key", [1], {"source": "web"}, ttl=60)
        data_store.get("key")
        page = data_store.scan()
        assert page.records == [data_store.get_record("key")]
        assert page.cursor is None

    def test_a_scan_is_no_access(self, store: DataStore, data_store: AgentDataStore) -> None:
        """Iterating over the records is not one either."""
        data_store.set("key", 1)
        data_store.scan()
        list(data_store.iter_records())
        store.flush()
        assert data_store.scan().records[0].access_count == 0

    @pytest.mark.parametrize("limit", [1, 2, 7, 24, 25, 26, 1_000, None])
    def test_the_pages_hold_every_record_once(self, data_store: AgentDataStore, limit: int | None) -> None:
        """Each page has as many records as asked for, and only the last one may have fewer."""
        data_store.set_many({f"key {number:02}": number for number in range(25)})
        pages = pages_of(data_store, limit)
        assert sorted(keys_of(pages)) == data_store.list_keys()
        sizes = [len(page) for page in pages]
        if limit is not None:
            assert all(size == limit for size in sizes[:-1])
            assert 0 < sizes[-1] <= limit

    def test_pages_longer_than_a_request_are_complete(self, data_store: AgentDataStore) -> None:
        """The caller sets the limit, however many requests it takes."""
        data_store.set_many({f"key {number:04}": number for number in range(1_150)})
        pages = pages_of(data_store, 1_050)
        assert [len(page) for page in pages] == [1_050, 100]
        assert sorted(keys_of(pages)) == data_store.list_keys()

    def test_the_order_is_stable(self, data_store: AgentDataStore) -> None:
        """It is the same for every limit, for ``iter_records``, and after values have changed."""
        keys = ["b", "ba", "a", "é", "🔑", "\uffee", "B", "a>", "a?", "aaa", "aa", ":"]
        data_store.set_many(dict.fromkeys(keys, 1))
        order = keys_of(pages_of(data_store, None))
        assert keys_of(pages_of(data_store, 1)) == order
        assert keys_of(pages_of(data_store, 5)) == order
        assert [record.key for record in data_store.iter_records()] == order
        for key in reversed(order):
            data_store.set(key, 2)
        assert keys_of(pages_of(data_store, 3)) == order

    def test_a_prefix_narrows_the_pages(self, data_store: AgentDataStore) -> None:
        """Pages stay full although the database also returns neighbours."""
        data_store.set_many({f"{letter}{number:02}": number for letter in ("a", "b", "c") for number in range(40)})
        pages = pages_of(data_store, 15, "b")
        assert [len(page) for page in pages] == [15, 15, 10]
        assert sorted(keys_of(pages)) == data_store.list_keys("b")

    def test_records_written_during_a_scan_disturb_nothing(self, data_store: AgentDataStore) -> None:
        """A record that exists during the whole scan is in it exactly once."""
        lasting = [f"key {number:02}" for number in range(30)]
        data_store.set_many(dict.fromkeys(lasting, "old"))
        data_store.set_many({f"key {number:02}.passing": 1 for number in range(30)})
        seen: list[str] = []
        cursor = None
        for step in range(100):
            page = data_store.scan(limit=4, cursor=cursor)
            seen += [record.key for record in page.records]
            data_store.set(f"key {step:02}", "new")
            data_store.set(f"key {step % 30:02}.new", 1)
            data_store.delete(f"key {29 - step % 30:02}.passing")
            cursor = page.cursor
            if cursor is None:
                break
        assert cursor is None, "the scan does not end"
        assert sorted(key for key in seen if key in lasting) == lasting

    def test_a_cursor_whose_record_is_gone_still_works(self, data_store: AgentDataStore) -> None:
        """The scan continues after the place where the record was."""
        data_store.set_many({f"key {number}": number for number in range(6)})
        order = keys_of(pages_of(data_store, None))
        page = data_store.scan(limit=3)
        data_store.delete_many(order[:4])
        rest = data_store.scan(limit=3, cursor=page.cursor)
        assert [record.key for record in rest.records] == order[4:]
        assert rest.cursor is None

    def test_a_cursor_past_the_end_gives_an_empty_page(self, data_store: AgentDataStore) -> None:
        """Everything after it was deleted meanwhile."""
        data_store.set_many({f"key {number}": number for number in range(6)})
        page = data_store.scan(limit=3)
        data_store.clear()
        assert data_store.scan(limit=3, cursor=page.cursor) == ([], None)

    def test_a_cursor_can_be_used_again(self, store: DataStore, data_store: AgentDataStore) -> None:
        """Another agent of the same user can use it too: it is a place, not a session."""
        data_store.set_many({f"key {number}": number for number in range(6)})
        cursor = data_store.scan(limit=2).cursor
        again = store.agent("user_1", "agent_2")
        assert data_store.scan(limit=2, cursor=cursor) == again.scan(limit=2, cursor=cursor)

    def test_a_cursor_of_another_listing_is_refused(self, store: DataStore, data_store: AgentDataStore) -> None:
        """The other listing is of another namespace, another user or another prefix."""
        keys = {f"key {number}": number for number in range(6)}
        other_namespace = data_store.use_namespace("other")
        other_user = store.agent("user_2", "agent_1")
        for place in (data_store, other_namespace, other_user):
            place.set_many(keys)
        cursor = data_store.scan(limit=2).cursor
        assert cursor is not None
        for place, prefix in ((other_namespace, None), (other_user, None), (data_store, "key"), (data_store, "k")):
            with pytest.raises(QueryError, match="cursor"):
                place.scan(prefix, limit=2, cursor=cursor)

    @pytest.mark.parametrize("cursor", ["", "x", "YWJj", ".", "YWJj.00000000", "🔑", "\0", "a" * 5_000])
    def test_a_made_up_cursor_is_refused(self, data_store: AgentDataStore, cursor: str) -> None:
        """It does not count as the beginning."""
        data_store.set_many({f"key {number}": number for number in range(3)})
        with pytest.raises(QueryError, match="cursor"):
            data_store.scan(limit=2, cursor=cursor)

    @pytest.mark.parametrize("limit", [0, -1, -1_000])
    def test_a_limit_below_one_is_refused(self, wrapped: Wrapper, limit: int) -> None:
        """It means neither nothing nor everything."""
        with pytest.raises(QueryError, match="limit"):
            wrapped(Untouchable).agent("user_1", "agent_1").scan(limit=limit)

    @pytest.mark.parametrize("arguments", [{"limit": "10"}, {"limit": 1.5}, {"limit": True}, {"cursor": 1}], ids=str)
    def test_arguments_of_another_type_are_refused(self, wrapped: Wrapper, arguments: dict[str, Any]) -> None:
        """They are refused before any I/O, and the error names the argument."""
        with pytest.raises(DataStoreError, match=next(iter(arguments))):
            wrapped(Untouchable).agent("user_1", "agent_1").scan(**arguments)

    def test_iter_records_reads_as_it_goes(self, data_store: AgentDataStore) -> None:
        """It can be left early and started again."""
        data_store.set_many({f"key {number:04}": number for number in range(1_050)})
        records = data_store.iter_records()
        first = [next(records).key for _ in range(3)]
        assert first == keys_of([data_store.scan(limit=3).records])
        assert sum(1 for _ in data_store.iter_records()) == 1_050

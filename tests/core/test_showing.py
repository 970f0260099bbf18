"""How stores, records and pages look in a REPL and in Jupyter."""

from __future__ import annotations

import pickle
from html.parser import HTMLParser

import pytest

import datastore
from datastore import Page
from datastore.showing import short

PASSWORD = "s3cret"


@pytest.fixture
def store():
    with datastore.connect("memory://") as store:
        yield store


@pytest.fixture
def data_store(store):
    return store.agent("ann", "planner")


class Tags(HTMLParser):
    """The tags and the text of HTML."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        assert attributes == []
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += [data.strip()] if data.strip() else []


def test_a_store_shows_its_database_and_whether_it_can_be_used(store):
    assert repr(store) == "DataStore(backend='memory')"
    store.close()
    assert repr(store) == "DataStore(backend='memory', closed)"
    with datastore.connect("memory://", mode="ro") as read_only:
        assert repr(read_only) == "DataStore(backend='memory', read only)"


def test_no_text_of_a_store_or_an_agents_store_shows_the_url(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/{PASSWORD}.db") as store:
        data_store = store.agent("ann", "planner")
        data_store.set("key", 1)
        shown = [
            store,
            data_store,
            data_store.vault,
            data_store.key_value,
            data_store.scan(),
            *data_store.iter_records(),
        ]
        for one in shown:
            html = getattr(one, "_repr_html_", str)()
            assert PASSWORD not in f"{one!r} {one} {html}"


def test_a_record_shows_what_one_looks_for_first(data_store):
    revision = data_store.set("plan", {"goal": "buy"})
    record = data_store.get_record("plan")
    assert repr(record) == (
        "Record(key='plan', value={'goal': 'buy'}, namespace='default', user_id='ann', created_by_agent='planner', "
        f"access_count=0, revision={revision!r}, updated_at={record.model_dump(mode='json')['updatedAt']!r})"
    )
    data_store.set("plan", 1, {"model": "large"}, ttl=60)
    shown = repr(data_store.get_record("plan"))
    assert "metadata={'model': 'large'}" in shown
    assert "expires_at='2" in shown


def test_a_large_value_is_shown_in_short(data_store):
    data_store.set("large", {"z": "x" * 900_000, "a": list(range(1_000)), "deep": [[[[[[1]]]]]]})
    shown = repr(data_store.get_record("large"))
    assert len(shown) < 600
    assert shown.startswith("Record(key='large', value={'z': 'xxx")
    assert len(data_store.scan()._repr_html_()) < 1_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": 2}, "{'b': 1, 'a': 2}"),
        ({}, "{}"),
        ([[[[[]]]]], "[[[[[]]]]]"),
        ({"a": {"b": {"c": {"d": {"e": 1}}}}}, "{'a': {'b': {'c': {'d': {...}}}}}"),
        (list(range(20)), "[0, 1, 2, 3, 4, 5, 6, 7, ...]"),
        (dict.fromkeys("abcdefghi"), "{" + ", ".join(f"'{key}': None" for key in "abcdefgh") + ", ...}"),
    ],
)
def test_a_value_keeps_its_order_and_its_beginning(value, expected):
    assert short(value) == expected


def test_a_page_shows_how_many_records_it_has_and_whether_there_are_more(data_store):
    assert repr(data_store.scan()) == "Page(0 records; cursor=None)"
    data_store.set_many({f"key {number}": number for number in range(9)})
    first = data_store.scan(limit=1)
    assert repr(first) == f"Page(1 record: 'key 0'; cursor={first.cursor!r})"
    assert repr(data_store.scan()) == ("Page(9 records: 'key 0', 'key 1', 'key 2', 'key 3', 'key 4', ...; cursor=None)")
    assert repr(data_store.find_records({}, limit=2)).startswith("Page(2 records: 'key 0', 'key 1'; cursor='")


def test_a_page_is_still_a_pair(data_store):
    data_store.set("key", 1)
    page = data_store.scan()
    records, cursor = page
    assert page == Page(records, cursor) == (records, None)
    assert pickle.loads(pickle.dumps(page)) == page


def test_in_jupyter_a_page_is_a_table(data_store):
    data_store.set_many({f"key {number:02}": number for number in range(60)}, {"run": 7})
    page = data_store.scan(limit=55)
    html = Tags(page._repr_html_())
    assert html.tags.count("table") == 1
    assert html.tags.count("tr") == 1 + 50
    assert html.text[:6] == ["key", "value", "metadata", "created_by_agent", "access_count", "updated_at"]
    assert html.text[6] == page.records[0].key
    assert html.text[-2:] == ["5 more records", "More records follow: see cursor."]


def test_in_jupyter_a_record_is_a_table_of_its_fields(data_store):
    data_store.set("key", "value")
    html = Tags(data_store.get_record("key")._repr_html_())
    assert html.text[:8] == ["id", "ann:default:PqKt", "user_id", "ann", "namespace", "default", "key", "key"]
    assert html.tags.count("tr") == 15


def test_whatever_is_stored_is_escaped(store):
    nasty = "<script>alert('1')</script>&amp;\"<b>"
    data_store = store.agent(nasty, nasty, nasty)
    data_store.set(nasty, {nasty: [nasty]}, {nasty: nasty})
    page = data_store.scan()
    for one in (page, page.records[0]):
        html = Tags(one._repr_html_())
        assert set(html.tags) <= {"table", "thead", "tbody", "tr", "th", "td", "p"}
        assert nasty in html.text

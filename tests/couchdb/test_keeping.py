"""Numbers: stored natively where the server keeps them, and always read back unchanged."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import datastore
from datastore.values import encode
from datastore_couchdb.codec import document_of
from datastore_couchdb.formats import FORMAT, format_of
from datastore_couchdb.keeping import KEEPS, Kept, kept
from tests.couchdb import queries
from tests.servers import couchdb

NATIVE, BESIDE, TEXT = Kept.NATIVE, Kept.BESIDE, Kept.TEXT


@pytest.mark.parametrize(
    ("value", "on_couchdb", "in_javascript"),
    [
        ("text", NATIVE, NATIVE),
        ([None, True, 5, 1.5], NATIVE, NATIVE),
        (2**53, NATIVE, NATIVE),
        (1e21, NATIVE, NATIVE),
        (1.0, NATIVE, BESIDE),
        ({"price": (1, 9.0)}, NATIVE, BESIDE),
        (-0.0, BESIDE, BESIDE),
        (2**53 + 1, NATIVE, TEXT),
        (-(10**22) - 1, NATIVE, TEXT),
        (1e20, NATIVE, TEXT),
        ([1.0, 2**60], NATIVE, TEXT),
        (10**400, TEXT, TEXT),
        (5e-324, TEXT, TEXT),
        (-2.2250738585072009e-308, TEXT, TEXT),
        (2.2250738585072014e-308, NATIVE, NATIVE),
        ({"a": [{"__proto__": 1}]}, TEXT, TEXT),
    ],
    ids=repr,
)
def test_a_value_is_as_native_as_the_server_allows(value, on_couchdb, in_javascript):
    assert kept(value, exact=True) is on_couchdb
    assert kept(value, exact=False) is in_javascript


def _through_javascript(text):
    """Return a document as a JavaScript server hands it over."""

    def as_double(number):
        number = float(number)
        return int(number) if number.is_integer() and abs(number) < 1e21 else number

    return json.loads(text, parse_int=as_double, parse_float=as_double)


def _through_couchdb(text):
    """Return a document as CouchDB hands it over, which has no subnormal numbers and but one zero."""

    def decoded(number):
        return 0.0 if abs(float(number)) < 2.0**-1022 else float(number)

    return json.loads(text, parse_float=decoded)


@given(queries.values | st.floats(allow_nan=False, allow_infinity=False) | st.integers(), st.booleans())
@example(-0.0, True)
@example([5e-324, {"a": 1.0}], True)
@example({"a": 10**22 + 1, "b": [1e20, 10**400]}, True)
def test_what_comes_back_is_what_went_in_whatever_the_server_makes_of_numbers(value, exact):
    through = _through_couchdb if exact else _through_javascript
    stored = json.dumps(queries.stored(1, value, {"of": [value]}, exact=exact))
    document = document_of(through(stored))
    assert repr(document.value) == repr(json.loads(encode(value)))
    assert repr(document.metadata) == repr({"of": [json.loads(encode(value))]})


@given(queries.values, st.booleans())
def test_text_is_beside_only_where_it_is_needed(value, exact):
    stored = queries.stored(1, value, {"of": value}, exact=exact)
    names = {name for name in stored if name.startswith("value")}
    assert names == {NATIVE: {"value"}, BESIDE: {"value", "valueExact"}, TEXT: {"valueJson"}}[kept(value, exact)]


# ------------------------------------------------------------------------------------------------------- at the server


@pytest.fixture
def names_of():
    """Return the names of the fields that hold a record's value."""

    def names_of(store, key):
        row = store.backend._session.get("_all_docs", {"include_docs": True})["rows"]
        (document,) = (one["doc"] for one in row if one["doc"].get("key") == key)
        return {name for name in document if name.startswith("value")}

    return names_of


@pytest.mark.server("couchdb")
def test_what_the_server_keeps_is_found_out_at_connect_and_without_a_request(url, store, proxy, names_of):
    """PouchDB Server is JavaScript; a database that one like CouchDB has come back from is not."""
    agent = store.agent("u", "a")
    agent.set("price", {"price": 1.0})
    assert names_of(store, "price") == {"value", "valueExact"}
    assert repr(agent.get("price")) == "{'price': 1.0}"

    def keeping_numbers(handler, request):
        code, body = handler.forward(request)
        answer = json.loads(body)
        (format,) = (row["doc"] for row in answer["rows"] if row["id"] == f"_design/{FORMAT}")
        assert repr(format["numbers"]) != repr(KEEPS)
        format["numbers"] = KEEPS
        handler.answer(code, json.dumps(answer).replace('"rows": [', '"rows":[').encode())
        return True

    proxy.requests.clear()
    proxy.fail("GET _all_docs", keeping_numbers)
    with datastore.connect(url, tracking="off") as other:
        assert proxy.requests == ["GET db", "GET _all_docs"]
        assert other.backend._documents.exact
    with datastore.connect(url, tracking="off") as other:
        assert not other.backend._documents.exact


@pytest.mark.parametrize("numbers", [None, [], [1, -25], [*KEEPS[:-1], 1e299], "text"], ids=str)
def test_a_server_keeps_numbers_only_if_all_come_back(numbers):
    assert not format_of({"numbers": numbers}).exact
    assert not format_of(None).exact
    assert format_of({"numbers": json.loads(json.dumps(KEEPS))}).exact


@pytest.mark.server("couchdb")
def test_records_with_such_numbers_are_found_by_an_index_and_not_behind_it(store, agent):
    """One 1.0 anywhere in a value made of the record a text, and of each find a reading of all of them."""
    agent.set_many({f"k{n:03}": {"n": n, "price": n + 0.0, "scores": [1.0, 0.5]} for n in range(200)})
    name = store.ensure_index(["price"])
    shown = agent.explain({"price": 7})
    assert (shown["index"], shown["documents_read"], shown["documents_returned"]) == (name, 1, 1)
    assert repr(agent.find({"price": {"$gte": 198}})) == (
        "{'k198': {'n': 198, 'price': 198.0, 'scores': [1.0, 0.5]}, "
        "'k199': {'n': 199, 'price': 199.0, 'scores': [1.0, 0.5]}}"
    )
    assert set(agent.find({"scores": 1})) == set(agent.list_keys())


@pytest.mark.server("couchdb")
def test_what_was_stored_as_text_alone_is_found_and_becomes_native_when_it_is_written(store, agent, names_of):
    session = store.backend._session
    store.ensure_index(["price"])
    agent.set("old", {"price": 1.0})
    agent.set("other", {"price": 1})
    rows = session.get("_all_docs", {"include_docs": True})["rows"]
    (document,) = (row["doc"] for row in rows if row["doc"].get("key") == "old")
    document["valueJson"] = document.pop("valueExact")
    del document["value"]
    session.post("_bulk_docs", {"docs": [document]})
    assert set(agent.find({"price": 1})) == {"old", "other"}
    assert repr(agent.get("old")) == "{'price': 1.0}"
    agent.update("old", {"$set": {"more": 1}})
    assert names_of(store, "old") == {"value", "valueExact"}
    assert set(agent.find({"price": 1})) == {"old", "other"}


@pytest.mark.server("couchdb")
def test_counting_accesses_changes_no_number(url, names_of):
    with datastore.connect(url, flush_interval=3_600) as store:
        agent = store.agent("u", "a")
        value = {"a": [1.0, -0.0, 1e20, 2**60, 5e-324, 0.1, 1e22, True]}
        agent.set("k", value, {"m": 2.0})
        agent.set("beside", {"a": 1.0})
        assert repr(agent.get_all()) == repr({"beside": {"a": 1.0}, "k": value})
        store.flush()
        assert repr(agent.get_all()) == repr({"beside": {"a": 1.0}, "k": value})
        assert repr(agent.get_record("k").metadata) == "{'m': 2.0}"
        assert agent.get_record("beside").access_count == 2


@pytest.mark.server("couchdb")
def test_values_come_back_exactly_from_a_server_without_the_proxy(name):
    url = couchdb.url(name).replace(str(couchdb.proxy().port), str(couchdb.server().port))
    with datastore.connect(url, tracking="off") as store:
        agent = store.agent("u", "a")
        values = {f"k{number}": value for number, value in enumerate(queries.ODD_VALUES) if value != 10**310}
        agent.set_many(values)
        assert {key: repr(value) for key, value in agent.get_all().items()} == {
            key: repr(value) for key, value in values.items()
        }

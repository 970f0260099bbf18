"""Finding through PouchDB Server and the strict proxy: each trap by name, pages, and requests."""

import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import datastore
from datastore.backend import Fields
from datastore.calls.planning import compile_query
from datastore.ids import encode_key, key_range
from datastore.queries.language import parse_query
from datastore_couchdb import backend as adapter
from datastore_couchdb import finding
from datastore_couchdb.schema import NAMESPACE_INDEX
from datastore_couchdb.streaming import Bookmark
from tests.couchdb import queries
from tests.servers import couchdb

pytestmark = pytest.mark.server("couchdb")


# ------------------------------------------------------------------------------------------- CouchDB == the reference


@pytest.fixture(scope="module", params=[(), (("a",), ("a", "b"), ("b", "a"))], ids=["no-index", "declared"])
def odd(request):
    """Odd values in a database, without and with declared indexes."""
    with datastore.connect(couchdb.url(f"test_{uuid.uuid4().hex}"), tracking="off") as store:
        for fields in request.param:
            store.backend.ensure_index([(field,) for field in fields], None)
        agent = store.agent("u", "a")
        agent.set_many({f"k{number:03}": value for number, value in enumerate(queries.ODD_VALUES)})
        yield agent


def _expected(filter):
    matches = compile_query(parse_query(filter))
    documents = ((f"k{number:03}", value) for number, value in enumerate(queries.ODD_VALUES))
    return {key for key, value in documents if matches(datastore.backend.Document("", "", "", None, value))}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(queries.filters, st.data())
def test_every_filter_finds_what_the_reference_finds(odd, filter, data):
    if data.draw(st.booleans(), "narrowed"):
        filter = {"$and": [{"a": data.draw(queries.conditions | queries.plain)}, filter]}
    assert set(odd.find(filter)) == _expected(filter)


@pytest.mark.parametrize("filter", queries.TRAPS.values(), ids=queries.TRAPS)
def test_a_trap_of_mango(odd, filter):
    assert set(odd.find(filter)) == _expected(filter)


@pytest.mark.parametrize("name", queries.NAMES)
def test_a_name_that_means_something_to_mango_or_javascript(odd, name):
    for path in (name, f"{name}.a", f"a.{name}"):
        for condition in (1, None, {"$exists": True}, {"$exists": False}, {"$ne": 1}, {"$gt": 0}):
            if not path.startswith("$"):
                assert set(odd.find({path: condition})) == _expected({path: condition}), (path, condition)


def test_provenance_and_times(store, agent):
    agent.set("old", 1, {"source": "mail", "n": 1.0})
    agent.set("new", 2, {"source": "web"}, ttl=1_000)
    store.agent("u", "b").set("other", 3)
    record = agent.get_record("new")
    assert set(agent.find(meta={"createdByAgent": "b"})) == {"other"}
    assert set(agent.find(meta={"metadata.source": "mail"})) == {"old"}
    assert set(agent.find(meta={"metadata.n": 1})) == {"old"}
    assert set(agent.find(meta={"createdAt": {"$gte": record.created_at}})) == {"new", "other"}
    assert set(agent.find(meta={"expiresAt": None})) == {"old", "other"}
    assert set(agent.find(meta={"expiresAt": {"$gt": record.created_at}})) == {"new"}
    assert set(agent.find(meta={"expiresAt": {"$exists": True}})) == {"old", "new", "other"}
    assert set(agent.find(meta={"key": {"$in": ["old", "new"]}})) == {"old", "new"}


def test_a_count_of_accesses_is_not_asked_of_the_database(agent, backend):
    agent.set("k", 1)
    agent.get("k")
    assert backend.plan(queries.OF_AGENT, parse_query(None, {"accessCount": 1})) is None
    assert agent.find(meta={"accessCount": 1}) == {"k": 1}


# ------------------------------------------------------------------------------------------------------------ requests


def test_a_find_takes_1_request(agent, asked):
    queries.numbered(agent, 30)
    with asked() as requests:
        assert len(agent.find({"even": True})) == 15
        assert agent.count({"n": {"$lt": 10}}) == 10
    assert requests == ["POST _find"] * 2


def test_a_page_ends_at_its_limit_and_the_next_begins_behind_its_bookmark(agent, backend, asked):
    queries.numbered(agent, 50)
    plan = backend.plan(queries.OF_AGENT, parse_query({"even": True}))
    ids, after = [], None
    with asked() as requests:
        while True:
            page = backend.find(queries.OF_AGENT, plan, Fields.KEY, 10, after)
            assert len(page.documents) <= 10
            ids += [document.id for document in page.documents]
            if page.after is None:
                break
            after = page.after
    assert len(ids) == 25
    assert ids == sorted(ids)
    assert requests == ["POST _find"] * 3


def test_a_limit_ends_the_reading(agent, asked):
    queries.numbered(agent, 200)
    with asked() as requests:
        assert len(agent.find({"even": True}, limit=5)) == 5
        assert agent.explain({"even": True}, limit=5)["documents_read"] <= 10
    assert requests == ["POST _find"] * 2


def test_large_documents_make_short_pages(agent, asked, monkeypatch):
    queries.numbered(agent, 40, text="x" * 1_000)
    monkeypatch.setattr(adapter, "PAGE_BYTES", 10_000)
    with asked() as requests:
        assert len(agent.find({"even": True})) == 20
    assert requests[:3] == ["POST _find"] * 3
    assert len(requests) <= 6


def test_deleting_what_is_found_skips_nothing(agent, monkeypatch):
    queries.numbered(agent, 60, text="x" * 1_000)
    monkeypatch.setattr(adapter, "PAGE_BYTES", 10_000)
    assert agent.delete_where({"even": True}) == 30
    assert agent.count({"even": True}) == 0
    assert agent.count() == 30


def test_a_server_without_bookmarks_hands_over_everything(name):
    """PouchDB Server itself, for which the proxy does not stand."""
    url = couchdb.url(name).replace(str(couchdb.proxy().port), str(couchdb.server().port))
    with datastore.connect(url) as store:
        agent = store.agent("u", "a")
        queries.numbered(agent, 60)
        backend = store.backend
        page = backend.find(
            queries.OF_AGENT, backend.plan(queries.OF_AGENT, parse_query({"even": True})), Fields.VALUE, 10
        )
        assert (len(page.documents), page.after) == (30, None)


def test_pages_of_records_begin_where_the_one_before_ended(agent, asked):
    queries.numbered(agent, 40)
    keys, cursor = [], None
    with asked() as requests:
        while True:
            page = agent.find_records({"even": True}, limit=8, cursor=cursor)
            keys += [record.key for record in page.records]
            cursor = page.cursor
            if cursor is None:
                break
    assert len(keys) == len(set(keys)) == 20
    assert requests == ["POST _find"] * 3


@pytest.mark.parametrize("page_bytes", [16_000_000, 3_000])
def test_the_last_that_match_come_first_page_by_page(agent, backend, asked, monkeypatch, page_bytes):
    queries.numbered(agent, 60, text="x" * 300)
    monkeypatch.setattr(adapter, "PAGE_BYTES", page_bytes)
    plan = backend.plan(queries.OF_AGENT, parse_query({"even": True}))
    assert plan.in_order
    ids, after = [], None
    with asked() as requests:
        while True:
            page = backend.find(queries.OF_AGENT, plan, Fields.VALUE, 10, after, True)
            ids += [document.id for document in page.documents]
            after = page.after
            if after is None:
                break
    assert ids == [f"u:default:{encode_key(f'k{number:04}')}" for number in range(58, -1, -2)]
    if page_bytes > 10**6:
        assert requests == ["POST _find"] * 4


def test_the_last_of_those_that_match_are_handed_over_and_no_others(agent, asked):
    queries.numbered(agent, 200)
    with asked() as requests:
        assert list(agent.find({"even": True}, sort="-$key", limit=3)) == ["k0198", "k0196", "k0194"]
        page = agent.find_records({"even": True}, sort="-$key", limit=3)
        page = agent.find_records({"even": True}, sort="-$key", limit=3, cursor=page.cursor)
        assert [record.key for record in page.records] == ["k0192", "k0190", "k0188"]
        assert agent.explain({"even": True}, sort="-$key", limit=3)["documents_read"] <= 6
    assert requests == ["POST _find"] * 4


def test_a_server_without_bookmarks_hands_over_everything_backward(name):
    """PouchDB Server itself, for which the proxy does not stand."""
    url = couchdb.url(name).replace(str(couchdb.proxy().port), str(couchdb.server().port))
    with datastore.connect(url) as store:
        agent = store.agent("u", "a")
        queries.numbered(agent, 30)
        assert list(agent.find({"even": True}, sort="-$key", limit=3)) == ["k0028", "k0026", "k0024"]
        assert list(agent.find({"even": True}, sort="-$key", end="k0011")) == [f"k{n:04}" for n in range(10, -1, -2)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("asked_for", "numbers", "how"),
    [
        ({"start": "k0050"}, range(50, 100), "POST _find"),
        ({"end": "k0050"}, range(50), "POST _find"),
        ({"start": "k0010", "end": "k0050"}, range(10, 50), "GET _all_docs"),
        ({"prefix": "k003"}, range(30, 40), "GET _all_docs"),
    ],
    ids=str,
)
@pytest.mark.parametrize("declared", [False, True])
def test_of_a_range_of_keys_no_other_is_handed_over(store, agent, asked, asked_for, numbers, how, reverse, declared):
    """With both ends given, reading the range is less than looking at the namespace, unless there is an index."""
    queries.numbered(agent, 100)
    if declared:
        store.ensure_index(["even"])
    sort = "-$key" if reverse else None
    expected = [f"k{number:04}" for number in numbers if not number % 2]
    with asked() as requests:
        assert list(agent.find({"even": True}, **asked_for, sort=sort)) == (expected[::-1] if reverse else expected)
    assert requests == (["POST _find"] * 2 if declared else [how])
    explained = agent.explain({"even": True}, **asked_for, sort=sort)
    assert explained["documents_read"] <= (len(numbers) if how == "GET _all_docs" else len(expected))


def test_ends_that_people_would_sort_the_other_way_round(store, agent):
    """Capitals come before small letters by their bytes, and between them in a dictionary."""
    store.ensure_index(["n"])
    keys = ["Zoo", "a", "abc", "\u00e9", "zebra", "\U0001f600"]
    agent.set_many({key: {"n": 1} for key in keys})
    for start in keys:
        for end in keys:
            expected = [key for key in sorted(keys) if start <= key < end]
            assert list(agent.find({"n": 1}, start=start, end=end)) == expected, (start, end)


def test_a_range_with_two_ends_is_not_one_that_couchdb_compares(backend):
    """By ICU the second end could lie before the first: then CouchDB would look at the documents of all users."""
    backend.ensure_index([("n",)], None)
    plan = backend.plan(key_range("u:default:", start="a", end="b"), parse_query({"n": 1}))
    for query in plan.native:
        assert list(query["selector"]["_id"]) == ["$gte"]
        assert {"_id": {"$lt": f"u:default:{encode_key('b')}"}} in query["selector"]["$or"]


def test_the_last_come_first_also_where_somebody_removes_the_index(store, agent, backend, asked):
    """CouchDB finds without one, and says so; to sort it needs one."""
    queries.numbered(agent, 60)
    plan = backend.plan(queries.OF_AGENT, parse_query({"even": True}))
    page = backend.find(queries.OF_AGENT, plan, Fields.VALUE, 10, None, True)
    ids = [document.id for document in page.documents]
    couchdb.remove_design(store, NAMESPACE_INDEX)
    with asked() as requests:
        while page.after is not None:
            page = backend.find(queries.OF_AGENT, plan, Fields.VALUE, 10, page.after, True)
            ids += [document.id for document in page.documents if document.value["even"]]
    assert ids == [f"u:default:{encode_key(f'k{number:04}')}" for number in range(58, -1, -2)]
    assert requests == ["POST _find", *["GET _all_docs"] * 5], "one looks whether the database was made again"
    assert backend.plan(queries.OF_AGENT, parse_query({"even": True})) is None
    assert list(agent.find({"even": True}, sort="-$key", limit=2)) == ["k0058", "k0056"]


def test_what_would_leave_out_nothing_is_not_asked_of_mango(agent, backend, asked):
    queries.numbered(agent, 3)
    for filter in ({"n": {"$regex": "a"}}, {"n": {"$gt": "a"}}, {"n": {"$ne": "a"}}, {"n": {"$mod": [2, 1]}}):
        assert backend.plan(queries.OF_AGENT, parse_query(filter)) is None
    with asked() as requests:
        agent.find({"n": {"$regex": "a"}})
    assert requests == ["GET _all_docs"]


def test_without_the_startup_index_ranges_are_read(name, proxy):
    with datastore.connect(couchdb.url(name)) as store:
        store.agent("u", "a").set("k", {"n": 1})
        store.backend._schema.indexes = frozenset()
        assert store.agent("u", "a").find({"n": 1}) == {"k": {"n": 1}}
        assert proxy.requests[-1] == "GET _all_docs"


def test_a_partitioned_database_is_asked_by_partition(name, monkeypatch):
    with datastore.connect(couchdb.url(name) + "?partitioned=true") as store:
        backend, paths = store.backend, []
        monkeypatch.setattr(backend._session, "find", lambda path, *rest: (paths.append(path), ([], Bookmark("")))[1])
        store.agent("u:1", "a").find({"n": 1})
    assert paths == ["_partition/u%253A1/_find"]


def test_the_documents_of_a_page_are_those_of_the_range(backend, agent):
    """ICU takes some namespaces for the same; ids do not."""
    agent.set("k", {"n": 1})
    agent.use_namespace("default\u200d").set("k", {"n": 1})
    plan = backend.plan(queries.OF_AGENT, parse_query({"n": 1}))
    page = finding.find(backend._session, "_find", queries.OF_AGENT, plan, Fields.KEY, 10, None, 1_000)
    assert [document.id[: document.id.rindex(":")] for document in page.documents] == ["u:default"]

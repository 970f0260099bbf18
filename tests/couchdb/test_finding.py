"""Finding through PouchDB Server and the strict proxy: each trap by name, pages, and requests."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import datastore
from datastore.backend import Fields
from datastore.calls.planning import compile_query
from datastore.errors import BackendUnavailableError, UnsupportedError
from datastore.ids import key_range
from datastore.queries.language import parse_query
from datastore_couchdb import backend as adapter
from datastore_couchdb import finding
from datastore_couchdb.indexes import declare
from datastore_couchdb.schema import NAMESPACE_INDEX
from datastore_couchdb.streaming import Bookmark
from tests.couchdb import queries
from tests.servers import couchdb
from tests.servers.strict_couchdb import stall, status

pytestmark = pytest.mark.server("couchdb")
RANGE = key_range("u:default:", None)


@pytest.fixture
def backend(store):
    return store.backend


def _numbered(agent, count, **more):
    agent.set_many({f"k{n:04}": {"n": n, "even": n % 2 == 0, **more} for n in range(count)})


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
    assert backend.plan(RANGE, parse_query(None, {"accessCount": 1})) is None
    assert agent.find(meta={"accessCount": 1}) == {"k": 1}


# ------------------------------------------------------------------------------------------------------------ requests


def test_a_find_takes_1_request(agent, asked):
    _numbered(agent, 30)
    with asked() as requests:
        assert len(agent.find({"even": True})) == 15
        assert agent.count({"n": {"$lt": 10}}) == 10
    assert requests == ["POST _find"] * 2


def test_a_page_ends_at_its_limit_and_the_next_begins_behind_its_bookmark(agent, backend, asked):
    _numbered(agent, 50)
    plan = backend.plan(RANGE, parse_query({"even": True}))
    ids, after = [], None
    with asked() as requests:
        while True:
            page = backend.find(RANGE, plan, Fields.KEY, 10, after)
            assert len(page.documents) <= 10
            ids += [document.id for document in page.documents]
            if page.after is None:
                break
            after = page.after
    assert len(ids) == 25
    assert ids == sorted(ids)
    assert requests == ["POST _find"] * 3


def test_a_limit_ends_the_reading(agent, asked):
    _numbered(agent, 200)
    with asked() as requests:
        assert len(agent.find({"even": True}, limit=5)) == 5
        assert agent.explain({"even": True}, limit=5)["documents_read"] <= 10
    assert requests == ["POST _find"] * 2


def test_large_documents_make_short_pages(agent, asked, monkeypatch):
    _numbered(agent, 40, text="x" * 1_000)
    monkeypatch.setattr(adapter, "PAGE_BYTES", 10_000)
    with asked() as requests:
        assert len(agent.find({"even": True})) == 20
    assert requests[:3] == ["POST _find"] * 3
    assert len(requests) <= 6


def test_deleting_what_is_found_skips_nothing(agent, monkeypatch):
    _numbered(agent, 60, text="x" * 1_000)
    monkeypatch.setattr(adapter, "PAGE_BYTES", 10_000)
    assert agent.delete_where({"even": True}) == 30
    assert agent.count({"even": True}) == 0
    assert agent.count() == 30


def test_a_server_without_bookmarks_hands_over_everything(name):
    """PouchDB Server itself, for which the proxy does not stand."""
    url = couchdb.url(name).replace(str(couchdb.proxy().port), str(couchdb.server().port))
    with datastore.connect(url) as store:
        agent = store.agent("u", "a")
        _numbered(agent, 60)
        backend = store.backend
        page = backend.find(RANGE, backend.plan(RANGE, parse_query({"even": True})), Fields.VALUE, 10)
        assert (len(page.documents), page.after) == (30, None)


def test_pages_of_records_begin_where_the_one_before_ended(agent, asked):
    _numbered(agent, 40)
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


def test_what_would_leave_out_nothing_is_not_asked_of_mango(agent, backend, asked):
    _numbered(agent, 3)
    for filter in ({"n": {"$regex": "a"}}, {"n": {"$gt": "a"}}, {"n": {"$ne": "a"}}, {"n": {"$mod": [2, 1]}}):
        assert backend.plan(RANGE, parse_query(filter)) is None
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


# ------------------------------------------------------------------------------------------------------------- indexes


def test_a_declared_index_is_used_and_shown(agent, backend, asked):
    _numbered(agent, 50)
    agent.set_many({"float": {"n": 7.0}, "list": {"n": [7, 100]}, "none": {"n": None}, "missing": {}})
    name = backend.ensure_index([("n",)], None)
    with asked() as requests:
        assert set(agent.find({"n": {"$gte": 7, "$lt": 9}})) == {"k0007", "k0008", "float", "list"}
    assert requests == ["POST _find"] * 2, "the index, and the rest that it cannot hold"
    shown = agent.explain({"n": {"$gte": 7, "$lt": 9}})
    assert shown["index"] == name
    assert shown["documents_read"] == 4
    assert shown["native"][0]["selector"]["value.n"] == {"$gte": 7, "$lt": 9}
    assert set(agent.find({"n": {"$in": [3, 4]}})) == {"k0003", "k0004"}
    assert set(agent.find({"n": None})) == {"none", "missing"}
    assert agent.explain({"n": None})["index"] != name


def test_declaring_an_index_again_costs_nothing_and_others_see_it(url, backend, asked):
    with asked() as requests:
        name = backend.ensure_index([("a", "b"), ("c",)], "n%3A1")
    assert requests == ["POST _index", "POST _index", "POST _find", "POST _find"]
    with asked() as requests:
        assert backend.ensure_index([("a", "b"), ("c",)], "n%3A1") == name
    assert requests == []
    with datastore.connect(url) as other, asked() as requests:
        assert other.backend.ensure_index([("a", "b"), ("c",)], "n%3A1") == name
        query = parse_query({"a.b": 1, "c": {"$gt": 2}})
        assert other.backend.plan(key_range("u:n%3A1:", None), query).index == name
        assert other.backend.plan(key_range("u:n:", None), query).index != name
    assert requests == []


def test_an_index_needs_a_condition_on_each_of_its_fields(backend):
    name = backend.ensure_index([("a",), ("b",)], None)
    for filter, used in (
        ({"a": 1, "b": 2}, True),
        ({"a": {"$gt": 1}, "b": {"$in": [True, "x"]}}, True),
        ({"a": 1}, False),
        ({"a": 1, "b": "x", "c": 3}, True),
        ({"a": 1, "b": {"$gt": "x"}}, False),
        ({"a": 1, "b": {"$in": list(range(9))}}, False),
        ({"a": 1, "b": {"$in": ["é", "e\u0301"]}}, False),
        ({"a": 1, "b": {"$exists": True}}, False),
        ({"$or": [{"a": 1, "b": 1}]}, True),
        ({"$or": [{"a": 1, "b": 1}, {"a": 2, "b": 1}]}, False),
    ):
        assert (backend.plan(RANGE, parse_query(filter)).index == name) is used, filter


@pytest.mark.parametrize("path", [("0",), ("a", "12"), ("back\\slash",), ("constructor",), ("__proto__",)])
def test_what_mango_cannot_tell_from_other_things_cannot_be_indexed(backend, path):
    with pytest.raises(UnsupportedError):
        backend.ensure_index([path], None)


def _remove_index(backend, name):
    rev = backend._session.get(f"_design/{name}")["_rev"]
    backend._session.post("_bulk_docs", {"docs": [{"_id": f"_design/{name}", "_rev": rev, "_deleted": True}]})


@pytest.mark.parametrize("part", ["", "_rest"])
def test_an_index_that_was_removed_is_not_asked_again_and_explain_says_so(agent, backend, asked, part):
    _numbered(agent, 20)
    agent.set_many({"list": {"n": [7, 100]}, "float": {"n": 7.0}, "text": {"n": 7, "m": 2**60}})
    filter, found = {"n": 7}, {"k0007", "list", "float", "text"}
    name = backend.ensure_index([("n",)], None)
    assert agent.explain(filter)["index"] == name
    _remove_index(backend, name + part)
    shown = agent.explain(filter)
    assert (shown["index"], shown["documents_returned"]) == (None, len(found))
    with asked() as requests:
        assert set(agent.find(filter)) == found
    assert requests == ["POST _find"]
    assert agent.explain(filter)["index"] == NAMESPACE_INDEX
    _remove_index(backend, NAMESPACE_INDEX)
    assert set(agent.find(filter)) == found
    with asked() as requests:
        assert set(agent.find(filter)) == found
    assert requests == ["GET _all_docs"]
    assert agent.explain(filter)["index"] is None
    assert backend.ensure_index([("n",)], None) == name
    assert agent.explain(filter)["index"] == name


def test_that_an_index_leaves_much_to_look_at_is_no_reason_not_to_use_it(agent, backend, proxy):
    """CouchDB warns of that as well."""
    _numbered(agent, 20)
    name = backend.ensure_index([("n",)], None)

    def warning(handler, request):
        code, body = handler.forward(request)
        text = "The number of documents examined is high in proportion to the number of results returned."
        answer = json.loads(body) | {"warning": text}
        handler.answer(code, json.dumps(answer).replace('"docs": [', '"docs":[').encode())
        return True

    proxy.fail("POST _find", warning, warning)
    assert agent.explain({"n": 7})["index"] == name
    assert agent.explain({"n": 7})["index"] == name


def test_names_of_indexes_differ_where_the_indexes_do():
    made = [
        declare([("a", "b")], None),
        declare([("a",), ("b",)], None),
        declare([("a", "b")], "n"),
        declare([("a_b",)], None),
        declare([("b",), ("a",)], None),
    ]
    assert len({index.name for index in made}) == len(made)


def test_the_documents_of_a_page_are_those_of_the_range(backend, agent):
    """ICU takes some namespaces for the same; ids do not."""
    agent.set("k", {"n": 1})
    agent.use_namespace("default\u200d").set("k", {"n": 1})
    plan = backend.plan(RANGE, parse_query({"n": 1}))
    page = finding.find(backend._session, "_find", RANGE, plan, Fields.KEY, 10, None, 1_000)
    assert [document.id[: document.id.rindex(":")] for document in page.documents] == ["u:default"]


def test_creators_at_the_same_time_do_not_disturb_each_other(url, store, proxy):
    """CouchDB answers the one that comes second with an error of its own."""
    proxy.fail("POST _index", status(500, "error_saving_ddoc", "conflict"))
    with datastore.connect(url) as other, ThreadPoolExecutor(2) as threads:
        names = set(threads.map(lambda one: one.ensure_index(["a.b"], namespace="n"), (store, other)))
    assert len(names) == 1


def test_an_index_is_waited_for_as_long_as_building_it_takes(url, proxy, asked):
    datastore.connect(url).close()  # making the database takes its time
    with datastore.connect(url + "?timeout=2", retry_seconds=0) as store:
        proxy.fail("POST _find", stall(4.0), stall(4.0))
        with asked() as requests:
            store.ensure_index(["a"])
    assert requests == ["POST _index"] * 2 + ["POST _find", "GET _design"] * 2 + ["POST _find"] * 2


def test_a_server_that_is_down_is_not_waited_for(store, proxy):
    backend = store.backend
    proxy.fail("POST _find", status(503))
    proxy.fail("GET _design", status(503))
    with pytest.raises(BackendUnavailableError):
        backend.ensure_index([("a",)], None)

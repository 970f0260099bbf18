"""Names that people, and so ICU, consider equal: no count and no listing includes another name's records."""

import json

import pytest

import datastore
from datastore import BackendUnusableError
from datastore_couchdb.schema import RECORD_VIEWS
from tests.couchdb.test_faults import proxy_request

pytestmark = pytest.mark.server("couchdb")

ALIKE = {
    "a letter composed and decomposed": ("café", "cafe\u0301"),
    "a zero width joiner": ("ab", "a\u200db"),
    "a soft hyphen": ("ab", "a\u00adb"),
    "the letter and the unit": ("Å", "\u212b"),
}
MERGING = "agent_data_store_namespaces"


@pytest.fixture(params=ALIKE.values(), ids=ALIKE)
def alike(request):
    return request.param


def test_namespaces_that_look_alike_are_counted_and_listed_each_for_itself(agent, alike):
    for number, name in enumerate(alike, 1):
        agent.use_namespace(name).set_many({f"k{i}": i for i in range(number)})
    assert [agent.use_namespace(name).count() for name in alike] == [1, 2]
    assert agent.list_namespaces() == sorted(alike)


def test_users_who_look_alike_see_nothing_of_each_other(store, alike):
    agents = [store.agent(user, "a") for user in alike]
    for number, agent in enumerate(agents, 1):
        agent.set_many({f"k{i}": i for i in range(number)})
        agent.use_namespace(f"of {number}").set_many({f"k{i}": i for i in range(5)}, ttl=0.001)
        agent.use_namespace(f"with {number}").set("k", 1)
    assert [agent.count() for agent in agents] == [1, 2]
    assert [agent.list_namespaces() for agent in agents] == [["default", "with 1"], ["default", "with 2"]]
    assert store.forget(alike[0]) == (2, 5)
    assert [agent.count() for agent in agents] == [0, 2]
    assert agents[1].list_namespaces() == ["default", "with 2"]


@pytest.fixture
def filled_before(name, proxy, url):
    """The URL of a database as it was made before names were compared by their bytes."""
    with datastore.connect(url) as store:
        store.agent("café", "a").set_many({"a": 1, "b": 2})
        store.agent("cafe\u0301", "a").set("a", 1)
        store.backend._session.remove(f"_design/{RECORD_VIEWS}")
        views = {
            "namespaces": {"map": "function (doc) { emit([doc.userId, doc.namespace], null); }", "reduce": "_count"}
        }
        store.backend._session.make("PUT", f"_design/{MERGING}", {"views": views})
    return url


def building(pending):
    """The server says how many writes the views have not seen yet."""

    def fault(handler, request):
        handler.answer(200, json.dumps({"view_index": {"updates_pending": {"minimum": pending}}}).encode())
        return True

    return fault


def designs(store):
    rows, _ = store.backend._session.rows("_all_docs", {"startkey": "_design/", "endkey": "_design0"}, 10**6)
    return {row["id"].removeprefix("_design/") for row in rows}


def test_while_the_new_view_is_being_built_nobody_waits_for_it_and_the_old_one_is_not_asked(filled_before, proxy):
    with datastore.connect(filled_before) as store:
        assert {MERGING, RECORD_VIEWS} <= designs(store)
        proxy.fail("GET _design", *[building(100_000)] * 2)
        proxy.requests.clear()
        assert store.agent("café", "a").count() == 2
        assert store.agent("cafe\u0301", "a").list_namespaces() == ["default"]
        assert proxy.requests.count("GET _design") == 2
        assert MERGING in designs(store)


def test_once_the_new_view_is_built_the_old_one_is_removed(filled_before, proxy):
    with datastore.connect(filled_before) as store:
        proxy.fail("GET _design", building(3))
        assert store.agent("café", "a").count() == 2
        assert MERGING not in designs(store)
        proxy.requests.clear()
        assert store.agent("cafe\u0301", "a").count() == 1
        assert proxy.requests == ["GET _design"] * 2
    with datastore.connect(filled_before) as store:
        proxy.requests.clear()
        assert store.agent("café", "a").count() == 2
        assert proxy.requests == ["GET _design"] * 2


def test_who_may_not_make_the_new_view_goes_on_without(filled_before, proxy):
    def forbidden(handler, request):
        handler.answer(403, b'{"error":"forbidden","reason":"You are not a db or server admin."}')
        return True

    proxy.fail("PUT _design", forbidden)
    with datastore.connect(filled_before) as store:
        assert store.agent("café", "a").count() == 2
        assert store.agent("cafe\u0301", "a").list_namespaces() == ["default"]
        assert store.agent("café", "a").clear() == 2
        assert store.forget("cafe\u0301") == (1, 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.agent("u", "a").count() == 2,
        lambda store: store.agent("u", "a").list_namespaces() == ["default"],
        lambda store: store.agent("u", "a").clear() == 2,
        lambda store: store.forget("u") == (2, 1),
        lambda store: store.backend.document_count() >= 3,
    ],
    ids=["count", "list_namespaces", "clear", "forget", "document_count"],
)
def test_a_view_that_is_removed_under_an_open_store_is_done_without(store, agent, call):
    agent.set_many({"a": 1, "b": 2})
    agent.set("gone", 1, ttl=0.001)
    store.backend._session.remove(f"_design/{RECORD_VIEWS}")
    assert call(store)


def test_a_database_of_a_newer_version_is_not_opened(store, url):
    session = store.backend._session
    design = session.get(f"_design/{RECORD_VIEWS}")
    session.post("_bulk_docs", {"docs": [{**design, "format": 2}]})
    with pytest.raises(BackendUnusableError, match="was written by a newer agent-datastore; install that version"):
        datastore.connect(url)


def test_a_database_made_by_the_store_keeps_few_revisions(name, url, proxy):
    """PouchDB Server has no such setting; what is sent is what counts here."""
    said = []

    def noting(handler, request):
        said.append(request.body)
        handler.answer(200, b'{"ok":true}')
        return True

    proxy.fail("PUT _revs_limit", noting)
    datastore.connect(url).close()
    assert said == [b"20"]
    proxy.requests.clear()
    datastore.connect(url).close()
    assert "PUT _revs_limit" not in proxy.requests
    proxy_request(proxy, "DELETE", f"/{name}")


@pytest.mark.parametrize(("kept", "reported"), [(b"1000", True), (b"20", False), (b"5", False)])
def test_the_doctor_says_where_more_are_kept(store, proxy, kept, reported):
    def limit(handler, request):
        handler.answer(200, kept)
        return True

    proxy.fail("GET _revs_limit", limit)
    proxy.requests.clear()
    findings = store.backend.examine(0.0)
    assert len(proxy.requests) == 3
    assert (
        any("1,000 revisions" in finding.text and "_revs_limit" in finding.remedy for finding in findings) == reported
    )
    assert any("revisions" in finding.text for finding in store.backend.examine(0.0)) is False

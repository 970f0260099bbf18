"""Names that people, and so ICU, consider equal: no count and no listing includes another name's records."""

import json

import pytest

import datastore
from datastore_couchdb.schema import RECORD_VIEWS
from tests.couchdb.test_faults import proxy_request
from tests.servers import couchdb

pytestmark = pytest.mark.server("couchdb")

ALIKE = {
    "a letter composed and decomposed": ("café", "cafe\u0301"),
    "a zero width joiner": ("ab", "a\u200db"),
    "a soft hyphen": ("ab", "a\u00adb"),
    "the letter and the unit": ("Å", "\u212b"),
}


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
def without_views(url):
    """The URL of a database with records, whose views somebody has removed."""
    with datastore.connect(url) as store:
        store.agent("café", "a").set_many({"a": 1, "b": 2})
        store.agent("cafe\u0301", "a").set("a", 1)
        couchdb.remove_design(store, RECORD_VIEWS)
    return url


def building(pending):
    """The server says how many writes the views have not seen yet."""

    def fault(handler, request):
        handler.answer(200, json.dumps({"view_index": {"updates_pending": {"minimum": pending}}}).encode())
        return True

    return fault


def test_while_the_views_are_being_built_nobody_waits_for_them(without_views, proxy):
    with datastore.connect(without_views) as store:
        proxy.fail("GET _design", *[building(100_000)] * 2)
        proxy.requests.clear()
        assert store.agent("café", "a").count() == 2
        assert store.agent("cafe\u0301", "a").list_namespaces() == ["default"]
        assert proxy.requests.count("GET _design") == 2


def test_once_the_views_are_built_they_are_asked(without_views, proxy):
    with datastore.connect(without_views) as store:
        proxy.fail("GET _design", building(3))
        assert store.agent("café", "a").count() == 2
        proxy.requests.clear()
        assert store.agent("cafe\u0301", "a").count() == 1
        assert proxy.requests == ["GET _design"] * 2
    with datastore.connect(without_views) as store:
        proxy.requests.clear()
        assert store.agent("café", "a").count() == 2
        assert proxy.requests == ["GET _design"] * 2


def test_who_may_not_make_the_views_goes_on_without(without_views):
    with datastore.connect(without_views + "?create=false") as store:
        agent = store.agent("café", "a")
        assert (agent.count(), agent.count(prefix="b"), agent.count(start="a", end="b")) == (2, 1, 1)
        assert store.agent("cafe\u0301", "a").list_namespaces() == ["default"]
        assert agent.clear("b") == 1
        assert agent.clear() == 1
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
    couchdb.remove_design(store, RECORD_VIEWS)
    assert call(store)


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

"""The database, its indexes and its views: made once, brought up to date, and done without where they are missing."""

from __future__ import annotations

import json

import pytest

import datastore
from datastore import (
    ConfigurationError,
    PermissionDeniedError,
)
from datastore_couchdb.schema import RECORD_VIEWS
from tests.couchdb.faults import NOT_ADMIN
from tests.couchdb.server import proxy_request, send
from tests.servers import couchdb
from tests.servers.strict_couchdb import (
    status,
)

pytestmark = pytest.mark.server("couchdb")


def test_a_member_who_may_make_no_index_is_told_so_at_once(name, url, proxy):
    """CouchDB says it with a 500."""
    proxy_request(proxy, "PUT", f"/{name}")
    proxy.fail("POST _index", NOT_ADMIN)
    with pytest.raises(PermissionDeniedError, match=r"may not create .*let an administrator connect once"):
        datastore.connect(url)


def test_who_may_not_make_the_database_is_told_so(url, proxy):
    """A real server says that it is not there before it asks who wants to know."""
    proxy.fail("GET db", status(404, "not_found", "Database does not exist."))
    proxy.fail("PUT db", status(401, "unauthorized", "You are not a server admin."))
    with pytest.raises(PermissionDeniedError, match="may not create"):
        datastore.connect(url)


@pytest.mark.parametrize("made", ["", "?partitioned=true"])
def test_a_database_of_the_other_kind_is_refused_at_connect(url, proxy, made):
    datastore.connect(url + made).close()
    other, words = ("", "partitioned; connect with") if made else ("?partitioned=true", "leave out .partitioned=true")
    proxy.requests.clear()
    with pytest.raises(ConfigurationError, match=words):
        datastore.connect(url + other)
    assert proxy.requests == ["GET db"]


def test_create_false_makes_nothing(url, proxy):
    proxy.requests.clear()
    with pytest.raises(ConfigurationError, match="does not exist; create it, or connect with create=true"):
        datastore.connect(url + "?create=false")
    assert not [request for request in proxy.requests if not request.startswith("GET")]


def test_without_indexes_everything_works_in_more_requests(name, url, proxy):
    proxy_request(proxy, "PUT", f"/{name}")
    with datastore.connect(url + "?create=false") as store:
        agent = store.agent("u", "a")
        for number in range(3):
            agent.use_namespace(f"n{number}").set_many({"a": 1, "b": 2})
        agent.set("short", 1, ttl=0.001)
        assert agent.list_namespaces() == ["n0", "n1", "n2"]
        assert agent.use_namespace("n1").count() == 2
        assert agent.list_keys() == []
        assert agent.use_namespace("n1").list_keys() == ["a", "b"]


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


@pytest.fixture
def made_again(name, proxy):
    """Lets an administrator delete the database, and make one that is empty."""

    def make():
        for method in ("DELETE", "PUT"):
            proxy_request(proxy, method, f"/{name}")

    return make


def designs(store):
    """The names of the store's design documents."""
    rows = store.backend._session.get("_all_docs", {"startkey": "_design/", "endkey": "_design0"})["rows"]
    return {row["id"].removeprefix("_design/") for row in rows}


NOTICES = {
    "a view is not there": lambda agent: agent.count(),
    "an index is not there": lambda agent: agent.find({"n": 1}),
    "nothing is known of a record that was read": lambda agent: agent.get("known"),
    "nor of one that is written": lambda agent: agent.set("known", 2),
    "nor of one of several": lambda agent: agent.get_many(["known", "other"]),
}


@pytest.mark.parametrize("call", NOTICES.values(), ids=NOTICES)
def test_a_database_that_is_made_again_under_an_open_store_is_prepared_again(store, agent, made_again, asked, call):
    """It would have no format, no views and no indexes, and would be filled all the same."""
    agent.set("known", {"n": 1})
    agent.get("known")
    made = designs(store)
    made_again()
    agent.set("new", {"n": 2})
    call(agent)
    agent.set("newer", {"n": 3}, ttl=3_600)
    assert designs(store) == made
    assert set(agent.find({"n": {"$gt": 1}})) == {"new", "newer"}
    assert agent.count() == len(agent.list_keys())
    for number in (4, 5):  # what was known of the records before was forgotten
        with asked() as requests:
            agent.set("new", {"n": number})
            agent.get("missing")
    assert requests == ["POST _bulk_docs", "GET db/doc"]


def test_a_call_that_finds_no_database_is_told_so_and_the_next_prepares_it(store, agent, name, proxy):
    agent.set("k", 1)
    made = designs(store)
    proxy_request(proxy, "DELETE", f"/{name}")
    with pytest.raises(ConfigurationError, match="does not exist"):
        agent.set("new", 1)
    with pytest.raises(ConfigurationError, match="does not exist"):
        agent.set("new", 1)
    proxy_request(proxy, "PUT", f"/{name}")
    agent.set("new", 1)
    assert designs(store) == made
    assert agent.list_keys() == ["new"]


def test_a_store_that_may_make_nothing_goes_on_without(url, store, made_again):
    with datastore.connect(url + "?create=false") as other:
        agent = other.agent("u", "a")
        agent.set("k", 1)
        made_again()
        agent.set("new", 1)
        assert (agent.get("k"), agent.count(), agent.list_keys()) == (None, 1, ["new"])
        assert designs(other) == set()


def test_another_programs_database_in_its_place_is_refused(store, agent, name, made_again, proxy):
    agent.set("k", 1)
    made_again()
    send(proxy, name, [{"_id": "theirs", "a": 1}])
    agent.get("k")
    with pytest.raises(ConfigurationError, match="another program has written"):
        agent.get("k")


def test_what_an_open_store_has_written_into_a_new_database_tells_others_whose_it_is(url, agent, made_again):
    """Also if nothing but flags is left of it."""
    agent.set("expires", 1, ttl=3_600)
    made_again()
    agent.set("new", 1, ttl=3_600)
    with datastore.connect(url) as other:
        assert other.agent("u", "a").list_keys() == ["new"]
    made_again()
    agent.set("newer", 1, ttl=3_600)
    agent.delete("newer")
    with datastore.connect(url) as other:
        assert other.agent("u", "a").list_keys() == []
        assert other.agent("u", "a").count() == 0

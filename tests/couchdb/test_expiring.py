"""Expiry without an index of everybody's writes: what listings ask, and that they are right whatever the index says."""

import json
import random
from itertools import product

import pytest

import datastore
from datastore.backend import Delete, Fields, IdRange
from datastore.ids import encode_key, key_range
from datastore_couchdb import expiring, reading
from datastore_couchdb.expiring import EXPIRY_INDEX
from datastore_couchdb.flags import flag_of, is_flag
from datastore_couchdb.formats import FORMAT
from tests.servers import couchdb
from tests.servers.strict_couchdb import meanwhile, reset_after, status

pytestmark = pytest.mark.server("couchdb")
RANGE = key_range("u:default:", None)


@pytest.fixture
def clock():
    """The time of all stores of a test; a test sets it."""

    class Clock:
        now = 1_800_000_000.0

        def __call__(self):
            return self.now

    return Clock()


@pytest.fixture
def connect(url, clock):
    """Connects as another process would; its store knows of nothing that was written before."""
    opened = []

    def connect():
        store = datastore.connect(url, flush_interval=3_600, retry_seconds=5, tracking="off")
        store._core.clock = clock
        opened.append(store)
        return store

    yield connect
    for store in opened:
        store.close()


@pytest.fixture
def agent(connect):
    return connect().agent("u", "a")


def raw(store):
    """Return the ids of all documents but design documents."""
    rows = backend_of(store)._session.get("_all_docs")["rows"]
    return [row["id"] for row in rows if not row["id"].startswith("_")]


def backend_of(store):
    return store.backend


def id_of(key):
    return f"u:default:{encode_key(key)}"


# ------------------------------------------------------------------------------------------------------------ requests


def test_listings_of_what_never_expires_ask_no_index_and_no_view(agent, connect, asked):
    agent.set_many({f"k{number}": number for number in range(30)})
    stranger = connect().agent("u", "b")
    calls = [agent.list_keys, agent.get_all, lambda: agent.scan(limit=7)]
    calls += [stranger.list_keys, stranger.get_all, lambda: stranger.list_keys("k1")]
    for call in calls:
        with asked() as requests:
            call()
        assert set(requests) == {"GET _all_docs"}


def test_nor_do_listings_of_what_this_process_has_written_or_listed(agent, connect, clock, asked):
    agent.set_many({f"k{number}": number for number in range(30)}, ttl=60)
    stranger = connect().agent("u", "b")
    assert len(stranger.list_keys()) == 30
    for one, number in ((agent, 30), (stranger, 30)):
        with asked() as requests:
            assert len(one.list_keys()) == number
        assert requests == ["GET _all_docs"]
    clock.now += 61
    for one in (agent, stranger):
        with asked() as requests:
            assert one.list_keys() == []
        assert requests == ["GET _all_docs"]


@pytest.mark.parametrize(("number", "asks"), [(1, "GET db/doc"), (5, "POST _bulk_get"), (50, "POST _find")])
def test_what_expires_and_is_not_known_here_takes_1_more(agent, connect, asked, number, asks):
    agent.set_many({f"k{number}": number for number in range(number)}, ttl=60)
    with asked() as requests:
        assert len(connect().agent("u", "b").list_keys()) == number
    assert requests[2:] == ["GET _all_docs", asks]


def test_a_write_with_an_expiry_takes_as_many_requests_as_one_without(agent, asked):
    for call in (lambda: agent.set("k", 1, ttl=5), lambda: agent.set("k", 2, ttl=9), lambda: agent.set("k", 3)):
        with asked() as requests:
            call()
        assert requests == ["POST _bulk_docs"]


# ------------------------------------------------------------------------------------------------------------- answers


def test_a_record_is_listed_as_long_as_it_lives_whatever_was_before(agent, connect, clock):
    agent.set("shortened", 1, ttl=1_000)
    agent.set("shortened", 1, ttl=10)
    agent.set("renewed", 1, ttl=10)
    agent.set("renewed", 2, ttl=1_000)
    agent.set("kept", 1, ttl=10)
    agent.set("kept", 1)
    agent.set("again", 1, ttl=10)
    agent.delete("again")
    agent.set("again", 1)
    agent.set("sooner", 1, ttl=1_000)
    agent.delete("sooner")
    agent.set("sooner", 1, ttl=10)
    agent.set("late", 1)
    agent.set("late", 1, ttl=10)
    agent.set("gone", 1, ttl=10)
    agent.delete("gone")
    names = ["again", "kept", "late", "renewed", "shortened", "sooner"]
    for one in (agent, connect().agent("u", "b")):
        assert one.list_keys() == names
        assert one.count() == len(names)
    clock.now += 11
    for one in (agent, connect().agent("u", "b")):
        assert one.list_keys() == ["again", "kept", "renewed"]
        assert sorted(one.get_all()) == ["again", "kept", "renewed"]
        assert one.count() == 3


def test_an_expiry_that_the_index_has_not_seen_yet_counts(agent, connect, clock, proxy):
    """The index is asked as it is: what it leaves out is looked at."""
    agent.set_many({f"k{number:02}": number for number in range(30)}, ttl=10)
    agent.set_many({f"l{number:02}": number for number in range(30)}, ttl=1_000)
    clock.now += 11

    def has_seen_some(handler, request):
        assert request.json()["update"] is False
        code, body = handler.forward(request)
        answer = json.loads(body)
        answer["docs"] = [document for document in answer["docs"] if document["_id"] < id_of("k20")]
        handler.answer(code, json.dumps(answer).replace('"docs": [', '"docs":[').encode())
        return True

    stranger = connect().agent("u", "b")
    proxy.fail("POST _find", has_seen_some)
    assert stranger.list_keys() == [f"l{number:02}" for number in range(30)]
    assert stranger.list_keys() == [f"l{number:02}" for number in range(30)]


def test_an_expiry_index_that_was_removed_is_not_asked_again(agent, connect, clock, asked):
    agent.set_many({f"k{number:02}": number for number in range(30)}, ttl=10)
    agent.set_many({f"l{number:02}": number for number in range(30)}, ttl=1_000)
    store = connect()
    session, index = backend_of(store)._session, f"_design/{EXPIRY_INDEX}"
    rev = session.get(index)["_rev"]
    session.post("_bulk_docs", {"docs": [{"_id": index, "_rev": rev, "_deleted": True}]})
    clock.now += 11
    assert store.agent("u", "b").list_keys() == [f"l{number:02}" for number in range(30)]
    agent.set_many({f"m{number:02}": number for number in range(30)}, ttl=1_000)
    with asked() as requests:
        assert len(store.agent("u", "b").list_keys()) == 60
    assert requests == ["GET _all_docs", "POST _bulk_get"]


def test_many_records_that_expire_are_found_page_by_page(agent, connect, clock, asked, monkeypatch):
    monkeypatch.setattr(expiring, "_PAGE", 7)
    monkeypatch.setattr(expiring, "_BATCH", 4)
    agent.set_many({f"k{number:02}": number for number in range(30)}, ttl=10)
    agent.set_many({f"l{number:02}": number for number in range(30)}, ttl=1_000)
    clock.now += 11
    store = connect()
    with asked() as requests:
        assert len(store.agent("u", "b").list_keys()) == 30
    assert requests == ["GET _all_docs", *["POST _find"] * 9]
    as_before(store)
    assert len(connect().agent("u", "b").list_keys()) == 30
    assert sum(map(is_flag, raw(store))) == 60
    assert store.purge_expired() == 30
    assert sum(map(is_flag, raw(store))) == 30


def test_what_another_process_changes_is_seen_though_it_was_listed_here(agent, connect, clock):
    stranger = connect().agent("u", "b")
    agent.set_many({"a": 1, "b": 1, "c": 1}, ttl=10)
    assert stranger.list_keys() == ["a", "b", "c"]
    agent.set("a", 2, ttl=1_000)
    agent.set("b", 2)
    clock.now += 11
    assert stranger.list_keys() == ["a", "b"]


def test_an_expired_record_that_is_removed_while_its_expiry_is_looked_up_is_not_listed(agent, connect, clock, proxy):
    other = connect().agent("u", "other")
    other.set("k", 1, ttl=1)
    clock.now += 2
    proxy.fail("GET db/doc", meanwhile(other.clear))
    assert agent.list_keys() == []
    assert not proxy._faults, "the expiry was looked up"


@pytest.mark.parametrize("views", ["views", "no views"])
def test_expired_records_that_are_removed_while_others_are_counted_are_counted_by_nobody(
    connect, clock, proxy, views, monkeypatch
):
    agent = connect().agent("u", "a")
    agent.set_many({"expired 1": 1, "expired 2": 1, "expired 3": 1}, ttl=1)
    agent.set_many({"live 1": 1, "live 2": 1})
    clock.now += 2
    for call, expected in ((agent.count, 2), (agent.list_namespaces, ["default"])):
        agent.set_many({"expired 1": 1, "expired 2": 1, "expired 3": 1}, ttl=1)
        clock.now += 2
        other, reader = connect(), connect()
        again = getattr(reader.agent("u", "b"), call.__name__)
        label = "GET _design"
        if views == "no views":
            monkeypatch.setattr(backend_of(reader)._reader._views, "are_there", lambda: False)
            label = "GET _all_docs"
        proxy.fail(label, *[meanwhile(lambda: None)] * (views == "views"), meanwhile(other.purge_expired))
        assert again() == expected
        assert not proxy._faults, "they were removed"


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 7, 40])
def test_pages_of_every_size_know_what_expires(agent, connect, limit):
    chance = random.Random(limit)
    expiring = {f"k{number:02}": chance.random() < 0.5 for number in range(30)}
    agent.set_many({key: 1 for key, expires in expiring.items() if expires}, ttl=10)
    agent.set_many({key: 1 for key, expires in expiring.items() if not expires})
    agent.set("k05!", 1, ttl=10)
    agent.delete("k05!")
    expected = [(id_of(key), expires) for key, expires in expiring.items()]
    for fields, reverse in product((Fields.KEY, Fields.ALL), (False, True)):
        found, after = [], None
        backend = backend_of(connect())
        while True:
            page = backend.scan(RANGE, fields, limit, after, reverse)
            assert len(page.documents) <= limit
            assert not page.damaged
            found += [(document.id, document.expires_at is not None) for document in page.documents]
            after = page.after
            if after is None:
                break
        assert found == (expected[::-1] if reverse else expected)


@pytest.mark.parametrize("reverse", [False, True])
def test_pages_that_end_for_their_size_lose_nothing(agent, connect, monkeypatch, reverse):
    """Wherever they are cut: after a record, or between a flag and its record."""
    monkeypatch.setattr(reading, "PAGE_BYTES", 2_000)
    keys = [f"k{number:02}" for number in range(30)]
    agent.set_many({key: "x" * (50 * number) for number, key in enumerate(keys)}, ttl=10)
    records = connect().agent("u", "b").iter_records(reverse=reverse)
    assert [record.key for record in records] == (keys[::-1] if reverse else keys)


# --------------------------------------------------------------------------------------------------------------- flags


def test_a_flag_is_nobodys_record(agent, connect, clock):
    agent.set("a", 1, ttl=10)
    agent.delete("a")
    agent.set("b", {"n": 1}, ttl=10)
    store = connect()
    assert raw(store) == [flag_of(id_of("a")), id_of("b"), flag_of(id_of("b"))]
    backend = backend_of(store)
    assert [document.id for document in backend.all_documents(Fields.KEY, 10).documents] == [id_of("b")]
    assert [document.id for document in backend.all_documents(Fields.ALL, 10).documents] == [id_of("b")]
    assert backend.document_count() == 1
    user = IdRange("u:", "u;")
    assert [document.id for document in backend.scan(user, Fields.ALL, 10).documents] == [id_of("b")]
    other = store.agent("u", "b")
    assert (other.count(), other.list_namespaces(), other.list_keys()) == (1, ["default"], ["b"])
    assert other.find({"n": {"$exists": False}}) == {}
    assert set(other.find({"$or": [{"n": 1}, {"m": None}]})) == {"b"}
    assert other.clear() == 1
    assert raw(store) == []


def test_forgetting_a_user_removes_the_flags_and_counts_none(agent, connect, clock):
    agent.set_many({"a": 1, "b": 1, "gone": 1}, ttl=10)
    agent.set("c", 1)
    agent.delete("gone")
    store = connect()
    store.agent("v", "b").set("k", 1, ttl=100)
    clock.now += 11
    assert store.forget("u") == (1, 2)
    left = f"v:default:{encode_key('k')}"
    assert raw(store) == [left, flag_of(left)]


def test_names_that_nobody_sees_do_not_meet_flags(connect):
    """To CouchDB such a name is equal to the empty one, which flags have for a namespace."""
    agent = connect().agent("u", "a").use_namespace("\u200d")
    agent.set("k", {"n": 1}, ttl=100)
    assert agent.find({"n": 1}) == {"k": {"n": 1}}
    assert agent.find({"m": {"$exists": False}}) == {"k": {"n": 1}}
    assert agent.list_namespaces() == ["\u200d"]


def test_a_purge_removes_the_flags_of_what_is_gone_and_no_other(agent, connect, clock):
    agent.set_many({"live": 1, "renewed": 1, "expired": 1, "deleted": 1, "overwritten": 1}, ttl=10)
    agent.set("renewed", 2, ttl=1_000)
    agent.set("overwritten", 2)
    agent.delete("deleted")
    agent.set("live", 1, ttl=1_000)
    clock.now += 11
    store = connect()
    assert store.purge_expired() == 1
    kept = ["live", "overwritten", "renewed"]
    assert raw(store) == sorted([*map(id_of, kept), *(flag_of(id_of(key)) for key in kept)])
    assert store.purge_expired() == 0
    clock.now += 1_000
    assert store.agent("u", "b").list_keys() == ["overwritten"]


def test_a_record_that_is_made_again_during_a_purge_keeps_its_flag(agent, connect, clock, proxy):
    """It found the old flag there, which the purge is about to remove."""
    agent.set("k", 1, ttl=10)
    agent.delete("k")
    writer = connect().agent("u", "b")

    def made_again_before_the_flag_is_removed(handler, request):
        assert [document["_id"] for document in request.json()["docs"]] == [flag_of(id_of("k"))]
        writer.set("k", 2, ttl=10)
        return False

    store = connect()
    proxy.fail("POST _bulk_docs", made_again_before_the_flag_is_removed, meanwhile(lambda: None))
    store.purge_expired()
    assert raw(store) == [id_of("k"), flag_of(id_of("k"))]
    clock.now += 11
    assert connect().agent("u", "c").list_keys() == []


@pytest.mark.parametrize("fault", [reset_after, status(500)], ids=["answer lost", "500"])
def test_a_purge_counts_what_it_removed_and_leaves_no_record_without_its_flag(agent, connect, clock, proxy, fault):
    agent.set_many({"a": 1, "b": 1}, ttl=10)
    agent.delete("b")
    clock.now += 11
    writer = connect().agent("u", "b")

    def made_again(handler, request):
        writer.set("b", 2, ttl=10)
        return fault(handler, request)

    store = connect()
    proxy.fail("POST _bulk_docs", meanwhile(lambda: None), made_again, meanwhile(lambda: None), fault)
    assert store.purge_expired() == 1
    proxy.clear_faults()
    assert store.purge_expired() == 0
    assert raw(store) == [id_of("b"), flag_of(id_of("b"))]


def test_a_clear_that_fails_leaves_no_record_without_its_flag(agent, connect, clock, proxy):
    """What was written since the listing has the flag that the listing shows."""
    agent.set("k", 1, ttl=10)
    writer = connect().agent("u", "b")
    writer.get("k")

    def written_since_the_listing(handler, request):
        writer.set("k", 2, ttl=10)
        return False

    clearing = connect().agent("u", "c")
    proxy.fail("POST _bulk_docs", written_since_the_listing)
    proxy.fail("GET _all_docs", meanwhile(lambda: None), status(403))
    with pytest.raises(datastore.PermissionDeniedError):
        clearing.clear()
    assert raw(connect()) == [id_of("k"), flag_of(id_of("k"))]
    clock.now += 11
    assert connect().agent("u", "d").list_keys() == []


def test_a_flag_whose_answer_was_lost_is_written_again(agent, connect, clock, proxy):
    """A server that goes down in the middle may have stored the record and not the flag."""

    def without_flags(handler, request):
        documents = [one for one in request.json()["docs"] if not is_flag(one["_id"])]
        request.body = json.dumps({"docs": documents}).encode()
        handler.forward(request)
        handler.cut()
        return True

    proxy.fail("POST _bulk_docs", without_flags)
    agent.set("k", 1, ttl=10)
    proxy.fail("POST _bulk_docs", without_flags)
    agent.set("k", 2, ttl=10, if_revision=agent.get_record("k").revision)
    clock.now += 11
    assert connect().agent("u", "b").list_keys() == []


def test_a_flag_that_the_server_refuses_is_not_passed_over(agent, proxy):
    def refusing(handler, request):
        documents = request.json()["docs"]
        request.body = json.dumps({"docs": documents[1:]}).encode()
        code, body = handler.forward(request)
        refusal = {"id": documents[0]["_id"], "error": "forbidden", "reason": "validation says no"}
        handler.answer(code, json.dumps([refusal, *json.loads(body)]).encode())
        return True

    proxy.fail("POST _bulk_docs", refusing)
    with pytest.raises(datastore.PermissionDeniedError, match="refused the document: validation says no"):
        agent.set("k", 1, ttl=10)


# --------------------------------------------------------------------------------------------- databases without flags


def as_before(store):
    """Make of a database one that nobody has used who may make design documents, and so has no flags."""
    backend = backend_of(store)
    rows = backend._session.get("_all_docs")["rows"]
    gone = [row for row in rows if is_flag(row["id"]) or row["id"] == f"_design/{FORMAT}"]
    dead = [{"_id": row["id"], "_rev": row["value"]["rev"], "_deleted": True} for row in gone]
    backend._session.post("_bulk_docs", {"docs": dead})


@pytest.fixture
def old(agent, connect):
    agent.set_many({f"k{number:02}": 1 for number in range(30)}, ttl=10)
    agent.set("live", 1, ttl=1_000)
    agent.set("always", 1)
    as_before(connect())


def test_records_that_expire_are_flagged_by_who_connects_first(old, connect, clock, asked):
    clock.now += 11
    store = connect()
    assert store.agent("u", "b").list_keys() == ["always", "live"]
    assert sum(map(is_flag, raw(store))) == 31
    with asked() as requests:
        assert connect().agent("u", "b").list_keys() == ["always", "live"]
    assert requests[:3] == ["GET db", "GET _all_docs", "GET _all_docs"]


@pytest.mark.parametrize("with_index", [True, False])
def test_who_may_not_flag_them_asks_the_index(old, url, clock, asked, connect, with_index):
    clock.now += 11
    if not with_index:
        with datastore.connect(url + "?create=false") as store:
            session, index = backend_of(store)._session, f"_design/{EXPIRY_INDEX}"
            rev = session.get(index)["_rev"]
            session.post("_bulk_docs", {"docs": [{"_id": index, "_rev": rev, "_deleted": True}]})
    with datastore.connect(url + "?create=false", tracking="off") as store:
        store._core.clock = clock
        agent = store.agent("u", "b")
        with asked() as requests:
            assert agent.list_keys() == ["always", "live"]
        assert requests == ["GET _all_docs", "POST _find"]
        assert sum(map(is_flag, raw(store))) == 0
        assert agent.count() == 2
        agent.set("new", 1, ttl=10)
        assert sum(map(is_flag, raw(store))) == 1, "for the day when somebody flags the others"


def test_a_user_who_may_make_nothing_connects_all_the_same(old, connect, proxy, clock):
    clock.now += 11
    proxy.fail("PUT _design", status(403, "forbidden"))
    assert connect().agent("u", "b").list_keys() == ["always", "live"]


def test_flagging_that_was_interrupted_is_done_again(old, connect, proxy, clock):
    clock.now += 11
    proxy.fail("POST _bulk_docs", reset_after)
    with pytest.raises(datastore.BackendUnavailableError):
        connect()
    store = connect()
    assert store.agent("u", "b").list_keys() == ["always", "live"]
    assert sum(map(is_flag, raw(store))) == 31


def test_deletes_do_not_need_the_flag(agent, connect):
    agent.set("k", 1, ttl=10)
    (outcome,) = backend_of(connect()).write([Delete(id_of("k"), "2020-01-01T00:00:00.000000Z")])
    assert outcome.done


def test_a_partitioned_database_has_the_flags_in_the_partitions_of_their_users(name, monkeypatch):
    with datastore.connect(couchdb.url(name) + "?partitioned=true") as store:
        store.agent("u:1", "a").set("k", 1, ttl=10)
        assert {id.partition(":")[0] for id in raw(store)} == {"u%3A1"}

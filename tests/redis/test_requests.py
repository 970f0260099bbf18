"""Requests: what each call asks of Redis, counted at the client's connection."""

import time

import pytest

from datastore.backend import Delete, Fields, IdRange, Touch
from datastore.conformance.documents import at, id_of, put
from datastore.ids import EVERYTHING
from datastore.times import format_time
from datastore_redis import client
from datastore_redis.scripts import LEAVE, SWAP
from tests.adapters import durable
from tests.adapters.blobs import purge_beside
from tests.adapters.requests import CALLS, TAKEN, Requests

pytestmark = pytest.mark.server("redis")


TAKES = TAKEN | dict.fromkeys(("first", "last", "scan of 50", "namespace_stats of a range"), 2)
TAKES |= dict.fromkeys(("get_all", "find", "count of what matches", "namespace_stats"), 3) | {"clear": 4}


NAMESPACE = IdRange("user:ns:", "user:ns;")


@pytest.mark.parametrize("call", TAKES)
def test_a_call_takes_these_requests(filled, agent, wire, call):
    assert wire.of(lambda: CALLS[call](agent)) == TAKES[call]


class TestRequests(Requests):
    list_of_blobs = 2
    first_look_at_a_log = 2

    def test_leases_runs_and_logs_take_what_their_docstrings_say(self, agent, stranger, wire):
        """A page is a request for ids and one for what they hold."""
        pages = {"log.read", "log.last", "list", "list of a status", "history", "resume", "result", "retry"}
        found = durable.beyond(agent, stranger, wire.of)
        assert found.keys() == pages
        assert all(counted == most + 1 for counted, most in found.values())


def test_a_listing_of_keys_that_expire_reads_no_record(agent, wire):
    for number in range(20):
        agent.set(f"k{number:02}", "x" * 1_000, ttl=60 if number % 2 else None)
    wire.requests.clear()
    assert len(agent.list_keys()) == 20
    assert wire.requests == [["ZRANGEBYLEX"]]


def test_what_is_read_is_what_is_returned(filled, agent, wire):
    wire.requests.clear()
    assert [record.key for record in agent.scan(start="k0100", limit=4).records] == [f"k010{n}" for n in range(4)]
    assert wire.requests == [["ZRANGEBYLEX"], ["HMGET"] * 5]


def test_a_page_of_large_values_ends_early_and_goes_on(backend, agent, monkeypatch):
    monkeypatch.setattr("datastore_redis.reading.PAGE_BYTES", 10_000)
    monkeypatch.setattr("datastore_redis.reading._FIRST", 4)
    wanted = {f"k{number:02}": "x" * 1_500 for number in range(30)}
    agent.set_many(wanted)
    page = backend.scan(IdRange("u:default:", "u:default;"), Fields.VALUE, 1_000)
    assert len(page.documents) < 10
    assert page.after == page.documents[-1].id
    assert agent.get_all() == wanted


def test_forgetting_a_user_takes_2_per_thousand_and_takes_the_user_off_the_list(store, agent, backend, ask, wire):
    agent.set_many({f"k{number:04}": number for number in range(1_500)})
    assert ask("ZCARD", backend._session.names.users) == 1
    wire.requests.clear()
    assert backend.forget(IdRange("u:", "u;"), format_time(time.time())).records == 1_500
    assert len(wire.requests) == 6
    assert ask("KEYS", "*") == [backend._session.names.format.encode()]


def test_what_a_clock_that_is_ahead_has_created_is_cleared_by_its_token(backend, wire):
    """Two requests more. The last time it is asked for, nobody has written it since."""
    backend.write([put(key, at=at(9), expires_at=expiry) for key, expiry in (("a", None), ("b", at(99)), ("c", at(1)))])
    backend.write([put("old", at=at(0))])
    wire.requests.clear()
    assert backend.clear(NAMESPACE, at(1)) == 3
    assert wire.requests == [["ZRANGEBYLEX"], ["EVALSHA"], ["EVALSHA"] * 3, ["EVALSHA"] * 3]
    assert not backend.scan(NAMESPACE, Fields.KEY, 10).documents


def test_what_others_write_meanwhile_is_cleared_as_what_it_is_then(backend, monkeypatch):
    backend.write([put("k", at=at(9))])
    ask, written = backend._session.ask, iter((put("k", 2, at=at(10)), Delete(id_of("k"), at(10)), put("k", at=at(11))))

    def asked(*commands):
        if SWAP.digest in commands[0] and (write := next(written, None)) is not None:
            monkeypatch.setattr(backend._session, "ask", ask)
            backend.write([write])
            monkeypatch.setattr(backend._session, "ask", asked)
        return ask(*commands)

    monkeypatch.setattr(backend._session, "ask", asked)
    assert backend.clear(NAMESPACE, at(1)) in (0, 1)
    assert next(written, None) is None
    assert backend.read([id_of("k")], Fields.KEY) == {}


def test_a_request_of_clear_that_arrives_late_leaves_what_was_created_since(backend, monkeypatch):
    ask, sent = backend._session.ask, []
    monkeypatch.setattr(backend._session, "ask", lambda *commands: sent.append(commands) or ask(*commands))
    backend.write([put("k", at=at(0)), put("l", at=at(0))])
    assert backend.clear(NAMESPACE, at(1)) == 2
    backend.write([put("k", 2, at=at(2))])
    for commands in sent:
        ask(*commands)
    assert backend.read([id_of("k")], Fields.VALUE)[id_of("k")].value == 2


@pytest.fixture
def forgotten_meanwhile(backend, stranger, monkeypatch):
    """Forgets a user who writes just before being taken off the list; then, if asked to, the process is killed."""
    ask = backend._session.ask

    def forget(*, killed):
        def asked(*commands):
            if LEAVE.digest not in commands[0]:
                return ask(*commands)
            stranger.set("late", 1)
            answers = ask(*commands)
            if killed:
                raise KeyboardInterrupt
            return answers

        with monkeypatch.context() as patch:
            patch.setattr(backend._session, "ask", asked)
            backend.forget(IdRange("u:", "u;"), at(1))

    return forget


def test_a_user_who_writes_while_being_forgotten_stays_on_the_list(backend, agent, ask, forgotten_meanwhile):
    agent.set("k", 1)
    forgotten_meanwhile(killed=False)
    assert backend.users(10) == ["u"]
    assert ask("EXISTS", backend._session.names.leaving) == 0


def test_so_does_one_whose_forgetting_was_killed(backend, store, agent, ask, forgotten_meanwhile, monkeypatch):
    names = backend._session.names
    for user in "tvwx":
        store.agent(user, "w").set("k", 1)
    agent.set("k", 1)
    with pytest.raises(KeyboardInterrupt):
        forgotten_meanwhile(killed=True)
    assert ask("ZSCORE", names.users, "u") is None
    for page in (1, 2, 3, 4, 1_000):
        monkeypatch.setattr("datastore_redis.reading.USERS_PAGE", page)
        assert backend.users(10) == [*"tuvwx"]
        assert backend.users(10, "t") == [*"uvwx"]
        assert backend.users(10, "u") == [*"vwx"]
        assert [one.id[0] for one in backend.all_documents(Fields.KEY, 10).documents] == [*"tuvwx"]
    assert backend.purge(at(0), EVERYTHING) == 0
    assert ask("ZSCORE", names.users, "u") is not None
    assert ask("EXISTS", names.leaving) == 0


def test_purging_takes_2_per_thousand_expired_ones_of_a_user(agent, backend, wire):
    agent.set_many({f"k{number:04}": 1 for number in range(1_200)}, ttl=1e-6)
    agent.set("stays", 1, ttl=60)
    wire.requests.clear()
    assert backend.purge(at(10**10)[:4] + "-12-31T00:00:00.000000Z", IdRange("u:", "u;")) >= 1_200
    assert len(wire.requests) <= 5


def test_who_has_nothing_but_blobs_is_not_listed(store, backend):
    store.agent("both", "w").set("k", 1)
    for user in ("both", "solo"):
        store.agent(user, "w").blobs.put("blob", b"content")
        store.agent(user, "w").blobs.delete("blob", grace=3_600)
    assert backend.users(10) == ["both"]


def test_all_users_are_listed_in_order_and_purged(store, backend):
    for user in ("b", "a}c", "{", "ä", "_x"):
        store.agent(user, "w").set("k", 1)
        store.agent(user, "w").set("brief", 1, ttl=1e-6)
    assert len(backend.users(10)) == 5
    assert backend.users(2) + backend.users(10, backend.users(2)[-1]) == backend.users(10)
    assert store.purge_expired() == 5
    documents = backend.all_documents(Fields.ALL, 3)
    rest = backend.all_documents(Fields.ALL, 10, documents.after)
    assert len({one.id for one in (*documents.documents, *rest.documents)}) == 5
    assert backend.purge(at(0), EVERYTHING) == 0


def test_a_touch_does_not_send_the_value_again(agent, backend, wire):
    agent.set("key", "x" * 100_000)
    backend.write([Touch(id_of("nothing"), at(1), None)])
    sent = []
    packed = client.packed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "packed", lambda commands: sent.append(packed(commands)) or sent[-1])
        assert agent.touch("key", ttl=60)
    assert 0 < sum(map(len, sent)) < 10_000


def test_a_purge_of_all_users_takes_what_is_due(store, wire):
    """However many others have something, since what is due is looked for of many users at once."""

    def asked(others):
        purge = purge_beside(store, others)
        return wire.of(purge)

    first = asked(1)
    assert asked(30) == first


def test_a_page_of_all_records_takes_5_however_many_users_have_them(store, backend, wire, monkeypatch):
    for number in range(30):
        store.agent(f"u{number:02}", "w").set_many({"a": 1, "b": 2})
    everything = [one.id for one in backend.all_documents(Fields.KEY, 100).documents]
    assert len(everything) == 60
    assert wire.of(lambda: backend.all_documents(Fields.KEY, 100)) == 4
    assert wire.of(lambda: backend.all_documents(Fields.KEY, 31, everything[20])) == 5
    monkeypatch.setattr("datastore_redis.reading.USERS_PAGE", 7)
    for limit in (1, 2, 13, 14, 15, 59, 60, 61):
        found, after = list[str](), None
        while True:
            page = backend.all_documents(Fields.KEY, limit, after)
            found += [one.id for one in page.documents]
            if (after := page.after) is None:
                break
            assert len(page.documents) == limit
        assert found == everything

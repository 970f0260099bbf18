"""Requests per call, counted at the transport: the table of docs/backends/couchdb.md, row by row."""

import asyncio
import dataclasses
from contextlib import contextmanager

import pytest
from blockbuster import blockbuster_ctx

import datastore
from datastore.ids import EVERYTHING, IdRange, system_range
from tests.adapters import durable, memories
from tests.adapters.blobs import calls_of, purge_beside
from tests.servers import couchdb

pytestmark = pytest.mark.server("couchdb")


@pytest.fixture
def requests(asked):
    """What the server is asked in the block: ``with requests() as asked``."""
    return asked


def test_connecting_to_a_database_that_is_ready_takes_2(store, url, requests):
    with requests() as asked, datastore.connect(url):
        pass
    assert asked == ["GET db", "GET _all_docs"]


def test_a_get_takes_1_hit_or_miss(agent, stranger, requests):
    stranger.set("k", 1)
    for key in ("k", "missing"):
        with requests() as asked:
            agent.get(key)
        assert asked == ["GET db/doc"]


def test_a_hundred_awaited_gets_at_once_take_1(agent, requests):
    async def read():
        with blockbuster_ctx():
            return await asyncio.gather(*(agent.asynchronous.get(f"k{number}") for number in range(100)))

    agent.set_many({f"k{number}": number for number in range(100)})
    with requests() as asked:
        assert asyncio.run(read()) == list(range(100))
    assert asked == ["POST _bulk_get"]


def test_a_set_of_a_new_key_takes_1(agent, requests):
    with requests() as asked:
        agent.set("k", 1, {"source": "mail"}, ttl=60)
    assert asked == ["POST _bulk_docs"]


def test_a_set_of_a_key_known_here_takes_1_even_after_its_accesses_were_counted(store, agent, requests):
    agent.set("k", 1)
    agent.get("k")
    store.flush()
    with requests() as asked:
        agent.set("k", 2, {"source": "mail"})
        agent.set("k", 3)
    assert asked == ["POST _bulk_docs"] * 2


def test_a_set_of_an_existing_key_not_known_here_takes_3(agent, stranger, requests):
    stranger.set("k", 1)
    with requests() as asked:
        agent.set("k", 2)
    assert asked == ["POST _bulk_docs", "GET db/doc", "POST _bulk_docs"]
    assert agent.get_record("k").created_by_agent == "stranger"


def test_a_conditional_set_takes_1_of_what_was_read_here_and_2_of_what_was_not(agent, stranger, requests):
    revision = stranger.set("k", 1)
    with requests() as asked:
        revision = agent.set("k", 2, if_revision=revision)
    assert asked == ["GET db/doc", "POST _bulk_docs"]
    with requests() as asked:
        agent.set("k", 3, if_revision=revision)
    assert asked == ["POST _bulk_docs"]


def test_a_log_takes_these(agent, stranger, requests):
    def takes(*operations, call):
        with requests() as asked:
            call()
        assert asked == list(operations)

    log = agent.log("events")
    takes("GET _all_docs", "POST _bulk_docs", call=lambda: log.append(1))
    takes("POST _bulk_docs", call=lambda: log.append(2))
    takes("POST _bulk_docs", call=lambda: log.append(*range(100)))
    takes(*["POST _bulk_docs"] * 3, call=lambda: log.append(*range(201)))
    takes("GET _all_docs", call=log.read)
    takes("GET _all_docs", call=log.last)
    takes("GET _all_docs", call=lambda: log.read(after=303))
    takes("GET _all_docs", call=lambda: agent.log("unknown").read(after=3))
    stranger.log("events").append("other")
    takes("POST _bulk_docs", "GET db/doc", "GET _all_docs", "POST _bulk_docs", call=lambda: log.append("beaten"))
    takes("GET _all_docs", "GET db/doc", call=agent.list_logs)
    for number in range(20):
        agent.log(f"log{number:02}").append(1)
    takes("GET _all_docs", "POST _bulk_get", call=agent.list_logs)


def test_a_delete_takes_2_at_most(agent, stranger, requests):
    stranger.set("k", 1)
    with requests() as asked:
        assert agent.delete("k") is True
    assert asked == ["GET db/doc", "POST _bulk_docs"]
    with requests() as asked:
        assert agent.delete("k") is False
    assert asked == ["GET db/doc"]


@pytest.mark.parametrize("known", [True, False])
def test_a_touch_takes_2_since_the_value_is_written_again(agent, stranger, requests, known):
    (agent if known else stranger).set("k", 1)
    for ttl in (60, 90, None):
        with requests() as asked:
            assert agent.touch("k", ttl=ttl) is True
        assert asked == ["GET db/doc", "POST _bulk_docs"]


def test_a_touch_of_nothing_and_one_that_changes_nothing_take_1(agent, requests):
    agent.set("k", 1)
    for key, there in (("missing", False), ("k", True)):
        with requests() as asked:
            assert agent.touch(key, ttl=None) is there
        assert asked == ["GET db/doc"]


def test_a_get_that_touches_takes_3_and_of_nothing_1(agent, stranger, requests):
    stranger.set("k", 1)
    with requests() as asked:
        assert agent.get("k", touch=60) == 1
    assert asked == ["GET db/doc", "GET db/doc", "POST _bulk_docs"]
    with requests() as asked:
        assert agent.get("missing", touch=60) is None
    assert asked == ["GET db/doc"]


def test_a_pop_takes_2_and_of_nothing_1(agent, stranger, requests):
    stranger.set("k", 1)
    with requests() as asked:
        assert agent.pop("k") == 1
    assert asked == ["GET db/doc", "POST _bulk_docs"]
    with requests() as asked:
        assert agent.pop("k") is None
    assert asked == ["GET db/doc"]


def test_users_take_1_each_and_2_more(store, agent, requests):
    """One of the two finds nothing but design documents, which lie between users; the other one finds nothing more."""
    for user in ("ALICE", "alice", "bob:1", "zoe"):
        store.agent(user, "a").set_many({f"k{number}": number for number in range(5)})
    with requests() as asked:
        assert sorted(store.users()) == ["ALICE", "alice", "bob:1", "zoe"]
    assert asked == ["GET _all_docs"] * 6


def test_the_records_of_all_users_take_1_per_page(store, agent, requests):
    for user in ("ALICE", "alice", "zoe"):
        store.agent(user, "a").set("k", 1, ttl=60)
    with requests() as asked:
        assert sorted(record.user_id for record in store.records()) == ["ALICE", "alice", "zoe"]
    assert asked == ["GET _all_docs"]


def test_a_purge_of_one_user_reads_what_that_user_has(store, agent, requests, rows):
    for user in ("u", "another"):
        store.agent(user, "a").set_many({f"k{number}": number for number in range(20)}, ttl=0.001)
        store.agent(user, "a").set_many({f"l{number}": number for number in range(20)}, ttl=3_600)
        store.agent(user, "a").set_many({f"m{number}": number for number in range(20)})
    with requests() as asked, rows() as handed:
        assert store.purge_expired("u") == 20
    assert handed == [0, 0, 60, 20]  # no areas of blobs or vectors; 20 expired records, 40 flags; the 20 that are left
    records, flags = ["POST _bulk_get", "POST _bulk_docs"], ["POST _all_docs", "POST _bulk_docs", "POST _all_docs"]
    assert asked == ["GET _all_docs", "GET _all_docs", "POST _find", *records, *flags, "POST _find"]
    assert store.purge_expired() == 20


@pytest.mark.parametrize(("number", "requests_"), [(0, 0), (1, 1), (1_000, 1), (1_001, 2)])
def test_get_many_takes_1_per_thousand(agent, requests, number, requests_):
    with requests() as asked:
        agent.get_many([f"k{i}" for i in range(number)])
    assert len(asked) == requests_


def test_set_many_of_new_and_of_known_keys_takes_1_per_thousand(agent, requests):
    for value in (1, 2):
        with requests() as asked:
            agent.set_many({f"k{i}": value for i in range(1_001)})
        assert asked == ["POST _bulk_docs"] * 2


def test_set_many_of_keys_not_known_here_takes_3_per_thousand(agent, stranger, requests):
    stranger.set_many({f"k{i}": i for i in range(500)})
    with requests() as asked:
        agent.set_many({f"k{i}": 0 for i in range(500)})
    assert asked == ["POST _bulk_docs", "POST _bulk_get", "POST _bulk_docs"]


def test_listings_take_1_per_page_of_10_000(store, agent, requests):
    """Shown on pages of 500, which are quicker filled; that 12,000 records are complete is for the kit."""
    backend = store.backend
    assert backend.capabilities.scan_page == 10_000
    backend.capabilities = dataclasses.replace(backend.capabilities, scan_page=500)
    agent.set_many({f"k{i}": i for i in range(1_050)})
    for listing in (agent.list_keys, agent.get_all):
        with requests() as asked:
            assert len(listing()) == 1_050
        assert asked == ["GET _all_docs"] * 3
    with requests() as asked:
        assert agent.clear() == 1_050
    assert asked == ["GET _design", *["GET _all_docs", "POST _bulk_docs"] * 2, "GET _all_docs"]


@pytest.fixture
def rows(store, monkeypatch):
    """How many rows or documents the server hands over in the block: ``with rows() as handed``."""
    session, sizes = store.backend._session, []
    for name in ("rows", "find"):
        ask = getattr(session, name)

        def counting(*arguments, ask=ask):
            answer = ask(*arguments)
            sizes.append(len(answer[0]))
            return answer

        monkeypatch.setattr(session, name, counting)

    @contextmanager
    def watching():
        sizes.clear()
        yield sizes

    return watching


@pytest.fixture
def thousand(agent):
    """An agent of a namespace of 1,000 keys, and of 20 more under a prefix in the middle of them."""
    values = {f"{letter}{number:03}": {"n": number} for letter in "ac" for number in range(500)}
    agent.set_many({**values, **{f"b/{number:02}": {"n": number} for number in range(20)}})
    return agent


@pytest.mark.parametrize(
    ("call", "most"),
    [
        pytest.param(lambda agent: agent.list_keys(limit=5), 6, id="the first keys"),
        pytest.param(lambda agent: agent.list_keys(limit=5, reverse=True), 6, id="the last keys"),
        pytest.param(lambda agent: agent.list_keys("b/", limit=5), 6, id="the first keys of a prefix"),
        pytest.param(lambda agent: agent.list_keys("b/", limit=5, reverse=True), 6, id="the last keys of a prefix"),
        pytest.param(lambda agent: agent.list_keys(end="b/05", limit=5, reverse=True), 6, id="the keys before one"),
        pytest.param(lambda agent: agent.list_keys("b/"), 20, id="a prefix"),
        pytest.param(lambda agent: agent.list_keys("b/", reverse=True), 20, id="a prefix backward"),
        pytest.param(lambda agent: agent.get_all("b/"), 20, id="values"),
        pytest.param(lambda agent: agent.get_all("b/", reverse=True), 20, id="values backward"),
        pytest.param(lambda agent: agent.scan(start="b/03", limit=5), 6, id="a page"),
        pytest.param(lambda agent: agent.scan(end="b/13", limit=5, reverse=True), 7, id="a page backward"),
        pytest.param(lambda agent: list(agent.iter_records("b/", limit=5, reverse=True)), 6, id="an iterator"),
        pytest.param(lambda agent: agent.first(), 1, id="first"),
        pytest.param(lambda agent: agent.first("b/"), 1, id="first of a prefix"),
        pytest.param(lambda agent: agent.last(), 2, id="last"),
        pytest.param(lambda agent: agent.last("b/"), 2, id="last of a prefix"),
        pytest.param(lambda agent: agent.last(end="b/07"), 2, id="last before a key"),
        pytest.param(lambda agent: agent.find({"n": 3}, prefix="b/"), 20, id="a filter under a prefix"),
        pytest.param(lambda agent: agent.find({}, sort="-$key", limit=5), 6, id="the last values"),
    ],
)
def test_a_listing_takes_1_and_hands_over_what_it_returns(thousand, requests, rows, call, most):
    with requests() as asked, rows() as handed:
        call(thousand)
    assert asked == ["GET _all_docs"]
    assert handed[0] <= most


def test_pages_backward_take_1_each(thousand, requests, rows):
    cursor, found = None, []
    with requests() as asked, rows() as handed:
        for _ in range(4):
            page = thousand.scan("b/", limit=5, reverse=True, cursor=cursor)
            found += [record.key for record in page.records]
            cursor = page.cursor
    assert (found, cursor) == ([f"b/{number:02}" for number in range(19, -1, -1)], None)
    assert asked == ["GET _all_docs"] * 4
    assert max(handed) <= 7


@pytest.mark.parametrize("reverse", [False, True])
def test_of_records_that_expire_the_first_and_the_last_take_1(agent, requests, rows, reverse):
    agent.set_many({f"k{number:02}": number for number in range(30)}, ttl=60)
    with requests() as asked, rows() as handed:
        record = agent.last() if reverse else agent.first()
    assert record.value == (29 if reverse else 0)
    assert asked == ["GET _all_docs"]
    assert handed[0] <= 2


@pytest.mark.parametrize(
    "asked_for",
    [{"start": "c", "end": "b"}, {"prefix": "a", "start": "b"}, {"prefix": "b", "end": "b"}],
    ids=str,
)
def test_an_empty_range_takes_none(thousand, requests, asked_for):
    with requests() as asked:
        assert thousand.list_keys(**asked_for) == thousand.list_keys(**asked_for, reverse=True) == []
        assert thousand.scan(**asked_for, reverse=True).records == []
        assert (thousand.first(**asked_for), thousand.last(**asked_for)) == (None, None)
        assert thousand.find({"n": 1}, **asked_for) == thousand.find({"n": 1}, **asked_for, sort="-$key") == {}
        assert (thousand.count(**asked_for), thousand.clear(**asked_for)) == (0, 0)
    assert asked == []


def test_a_count_of_any_range_of_keys_takes_2_and_1_more_where_something_has_expired(thousand, requests):
    thousand.set_many({"b/90": 1, "b/91": 1}, ttl=0.001)
    for asked_for, number, times in (
        ({"prefix": "b/"}, 20, 3),
        ({"start": "a490", "end": "b/05"}, 15, 2),
        ({"start": "c"}, 500, 2),
        ({"end": "a001"}, 1, 2),
        ({}, 1_020, 3),
    ):
        with requests() as asked:
            assert thousand.count(**asked_for) == number
        assert asked == ["GET _design"] * times


def test_clearing_a_range_of_keys_touches_no_other(thousand, requests):
    with requests() as asked:
        assert thousand.clear("b/", start="b/05") == 15
    assert asked == ["GET _design", "GET _all_docs", "POST _bulk_docs", "GET _all_docs"]
    assert thousand.count() == 1_005
    assert thousand.list_keys("b/") == [f"b/{number:02}" for number in range(5)]


def test_clearing_what_can_expire_takes_1_more_for_the_flags(agent, requests):
    agent.set("a", 1)
    agent.set_many({f"k{number}": number for number in range(20)}, ttl=3_600)
    with requests() as asked:
        assert agent.clear() == 21
    assert asked == ["GET _design", "GET _all_docs", "POST _bulk_docs", "POST _bulk_docs", "GET _all_docs"]


def test_namespaces_and_counts_take_2_however_many_there_are(agent, requests):
    for number in range(20):
        agent.use_namespace(f"n{number:02}").set("k", 1)
    with requests() as asked:
        assert len(agent.list_namespaces()) == 20
    assert asked == ["GET _design"] * 2
    with requests() as asked:
        assert agent.use_namespace("n05").count() == 1
    assert asked == ["GET _design"] * 2


def test_the_sums_of_some_namespaces_take_1_and_read_no_others(agent, requests):
    for number in range(20):
        agent.use_namespace(f"n{number:02}").set("k", 1)
    with requests() as asked:
        found = agent.namespace_stats(start="n05", end="n08")
    assert [(one.namespace, one.records) for one in found] == [("n05", 1), ("n06", 1), ("n07", 1)]
    assert asked == ["GET _all_docs"]


def test_the_counting_of_any_number_of_reads_takes_2_per_thousand_records(store, agent, requests):
    agent.set_many({f"k{i}": i for i in range(1_200)})
    for _ in range(3):
        agent.get_all()
    with requests() as asked:
        store.flush()
    assert asked == ["POST _bulk_get", "POST _bulk_docs"] * 2


def test_a_modification_takes_2_without_competition(agent, requests):
    agent.set("n", 1)
    with requests() as asked:
        agent.increment("n")
    assert asked == ["GET db/doc", "POST _bulk_docs"]


def test_a_partitioned_database_is_asked_by_partition(name, proxy):
    """PouchDB Server has no partitions; what is sent is what counts here."""
    with datastore.connect(couchdb.url(name) + "?partitioned=true") as store:
        backend = store.backend
        for range in (IdRange("u%3A1:n:", "u%3A1:n;"), IdRange("u%3A1:", "u%3A1;"), IdRange("u%3A1:a:", "u%3A1:c:")):
            assert backend._session.path_in(range, "_all_docs") == "_partition/u%253A1/_all_docs"
        assert backend._session.path_in(system_range("u"), "_all_docs") == "_partition/u%25./_all_docs"
        for range in (EVERYTHING, IdRange("u;", EVERYTHING.end), IdRange("u:n:", "v:n:")):
            assert backend._session.path_in(range, "_all_docs") == "_all_docs"


@pytest.mark.parametrize(
    "call",
    [
        lambda agent: agent.set("new", 1),
        lambda agent: agent.set("known", 2, {"a": 1}),
        lambda agent: agent.set("strange", 2),
        lambda agent: agent.add("new", 2),
        lambda agent: agent.set_many({"known": 1, "strange": 2, "new": 3}),
    ],
)
def test_a_write_under_a_quota_reads_what_it_replaces_and_the_account_first(store, agent, stranger, requests, call):
    limited = store.agent(agent.user_id, "limited", quota=datastore.Quota(records=10))
    limited.set("known", 1)
    stranger.set("strange", 1)
    with requests() as asked:
        call(limited)
    assert asked == ["POST _bulk_get", "POST _bulk_docs"]


def test_a_delete_under_a_quota_reads_what_it_removes_first(store, agent, requests):
    limited = store.agent(agent.user_id, "limited", quota=datastore.Quota(records=10))
    limited.set_many({"a": 1, "b": 1, "c": 1})
    with requests() as without:
        agent.delete("a")
    with requests() as asked:
        limited.delete("b")
    assert len(asked) <= len(without) + 1


def test_a_step_of_a_run_takes_1(agent, requests):
    run = agent.runs.start("run")
    run.step("first", int)
    with requests() as asked:
        for number in range(3):
            run.state["n"] = number
            run.step("step", int)
    assert asked == ["POST _bulk_docs"] * 3
    with requests() as asked:
        agent.runs.due()
    assert len(asked) == 1
    with requests() as asked:
        run.finish()
    assert len(asked) <= 6, "entry, head with what follows, hint, lease"
    with requests() as asked:
        agent.runs.history("run", limit=3, reverse=True)
    assert len(asked) == 2


def test_blobs(agent, requests):
    """A put of N bytes takes 5, and 1 more for each 2 MiB after the first 2."""

    def asked(call):
        with requests() as asked:
            call()
        return asked[:]

    assert {name: asked(call) for name, call in calls_of(agent.blobs).items()} == {
        "put 9 parts": ["GET db/doc"] + ["POST _bulk_docs"] * 5,
        "put over it": ["GET db/doc"] + ["POST _bulk_docs"] * 4,
        "stat": ["GET db/doc"],
        "get": ["GET db/doc"] * 2,
        "open and read": ["GET db/doc"] * 2,
        "list": ["GET _all_docs"],
        "delete": ["GET db/doc"] + ["POST _bulk_docs"] * 2,
        "put 9 parts that expire": ["GET db/doc"] + ["POST _bulk_docs"] * 5,
    }


def test_memory(agent, requests):
    """A search asks for what it returns, and with it whether that is all."""

    def asked(call):
        with requests() as asked:
            call()
        return asked[:]

    assert {name: asked(call) for name, call in memories.calls_of(agent).items()} == {
        "add": ["POST _bulk_docs", "POST _bulk_docs", "POST _bulk_docs"],
        "search": ["POST _bulk_get"],
        "search again": ["POST _bulk_get"],
        "add 20": ["POST _bulk_docs", "POST _bulk_docs", "POST _bulk_docs", "POST _bulk_docs"],
        "search with a filter": ["POST _bulk_get", "POST _bulk_get"],
        "edit of the vector": [
            "GET db/doc",
            "POST _bulk_docs",
            "POST _bulk_docs",
            "POST _bulk_docs",
            "POST _bulk_docs",
        ],
        "edit of metadata": [
            "GET db/doc",
            "GET db/doc",
            "POST _bulk_docs",
            "POST _bulk_docs",
            "POST _bulk_docs",
            "POST _bulk_docs",
        ],
        "get": ["GET db/doc"],
        "delete": ["GET db/doc", "POST _bulk_docs", "POST _bulk_docs"],
        "embed": ["GET db/doc", "GET db/doc", "POST _bulk_docs", "POST _bulk_docs"],
        "embed again": ["GET db/doc", "GET db/doc", "POST _bulk_docs"],
        "add to a vault": ["POST _bulk_docs", "POST _bulk_docs"],
        "get the vectors of a vault": [
            *["GET _all_docs", "GET _all_docs", "POST _bulk_get", "POST _bulk_get"],
            *[
                "POST _bulk_docs",
                "POST _bulk_docs",
                "POST _bulk_docs",
            ],  # vectors, the first reminder, the change
            *["GET _all_docs", "GET _all_docs", "POST _bulk_docs"],
        ],
        "get no vectors of a vault": ["GET _all_docs", "GET _all_docs"],
        "add in parts": ["POST _bulk_docs", "POST _bulk_docs", "POST _bulk_docs"],
        "search of parts": ["GET _all_docs", *["POST _bulk_get"] * 2],  # the namespace has a model and parts since then
        "edit in parts": ["GET db/doc", "GET db/doc", *["POST _bulk_docs"] * 4],
        "search by words": ["GET _all_docs", "POST _bulk_get", "POST _bulk_get"],
        "search by words again": ["GET _all_docs", "POST _bulk_get"],
        "delete of parts": ["GET db/doc", "POST _bulk_docs", "POST _bulk_docs"],
    }


def test_a_purge_of_all_users_takes_what_is_due(store, requests):
    """However many users have something: the reminders, the marks and the heads of the one, its part, its mark."""

    def asked(others):
        purge = purge_beside(store, others)
        with requests() as made:
            purge()
        return made[:]

    looks = ["GET _all_docs"] * 2 + ["GET db/doc"] * 2
    assert asked(1) == asked(30) == [*looks, *["POST _bulk_docs"] * 3, "POST _find"]


def test_leases_runs_and_logs_take_what_their_docstrings_say(agent, stranger, requests):
    def count(call):
        with requests() as asked:
            call()
        return len(asked)

    assert durable.beyond(agent, stranger, count) == {}

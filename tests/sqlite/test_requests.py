"""Requests: each call is one statement, whatever the number of records; and each is answered by the primary key."""

import asyncio
import sys

import pytest
from blockbuster import blockbuster_ctx

import datastore
from datastore.blobs.heads import PART
from datastore.ids import IdRange
from datastore_sqlite import statements as sql
from tests.adapters import durable
from tests.adapters.blobs import purge_beside


@pytest.fixture
def store(tmp_path):
    with datastore.connect(f"sqlite:///{tmp_path}/a.db", flush_interval=3_600, max_pending=1_000_000) as store:
        yield store


@pytest.fixture
def agent(store):
    agent = store.agent("u", "a")
    agent.set_many({f"k{i:03}": i for i in range(100)})
    agent.use_namespace("other").set("k", 1)
    agent.use_namespace("jobs").set("job", {"a": 1})
    return agent


@pytest.fixture
def statements(store, agent):
    """What SQLite was asked since the list was last cleared, without the brackets of transactions."""
    asked = []
    backend = store.backend
    backend._opened.look_at = float("inf")
    reading = backend._opened.connections.take(sys._getframe())

    def note(statement):
        if statement not in ("BEGIN IMMEDIATE", "COMMIT") and not statement.startswith("-- "):  # a part of another one
            asked.append(statement)

    reading.set_trace_callback(note)
    backend._opened.connections.give_back(reading)
    return asked


def test_a_hundred_awaited_gets_at_once_are_one(agent, statements):
    async def read():
        with blockbuster_ctx():
            return await asyncio.gather(*(agent.asynchronous.get(f"k{number:03}") for number in range(100)))

    assert asyncio.run(read()) == list(range(100))
    assert len(statements) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda agent: agent.get("k001"),
        lambda agent: agent.get("missing"),
        lambda agent: agent.get_record("k001"),
        lambda agent: agent.exists("k001"),
        lambda agent: agent.set("k001", 1),
        lambda agent: agent.set("new", 1, ttl=3),
        lambda agent: agent.add("new", 1),
        lambda agent: agent.create(1),
        lambda agent: agent.delete("k001"),
        lambda agent: agent.delete("missing"),
        lambda agent: agent.get_many([f"k{i:03}" for i in range(100)]),
        lambda agent: agent.list_keys(),
        lambda agent: agent.list_keys("k00"),
        lambda agent: agent.get_all(),
        lambda agent: agent.count(),
        lambda agent: agent.list_namespaces(),
        lambda agent: agent.list_namespaces(start="o", reverse=True),
        lambda agent: agent.get_records([f"k{i:03}" for i in range(100)]),
        lambda agent: agent.touch("k001", ttl=60),
        lambda agent: agent.touch("missing", ttl=60),
        lambda agent: agent.get_record("k001", count=True),
        lambda agent: agent.get_or_set("k001", int),
        lambda agent: agent.namespace_stats(),
        lambda agent: agent.namespace_stats(start="default", end="other"),
        lambda agent: list(agent.iter_records(namespace_prefix="")),
        lambda agent: agent.find_in("", {"a": 1}),
        lambda agent: agent.scan(),
        lambda agent: list(agent.iter_records()),
    ],
)
def test_a_call_is_one_statement(agent, statements, call):
    call(agent)
    assert len(statements) == 1, statements


@pytest.mark.parametrize(
    ("call", "number"),
    [
        (lambda agent: agent.set_many({f"k{i}": i for i in range(100)}), 100),
        (lambda agent: agent.delete_many([f"k{i:03}" for i in range(100)]), 100),
        (lambda agent: agent.purge_expired(), 4),
        (lambda agent: agent.blobs.put("blob", bytes(9 * PART)), 15),
        (lambda agent: agent.blobs.get("blob"), 1),
        (lambda agent: agent.memory.add("text", vector=[1.0, 2.0]), 6),
        (lambda agent: agent.memory.search([1.0, 2.0]), 1),
        (lambda agent: agent.clear(), 2),
        (lambda agent: agent.clear("k00"), 2),
        (lambda agent: agent.increment("n"), 2),
        (lambda agent: agent.pop("k001"), 2),
        (lambda agent: agent.pop("missing"), 1),
        (lambda agent: agent.get("k001", touch=60), 2),
        (lambda agent: agent.add_many({f"n{i}": i for i in range(100)}), 100),
        (lambda agent: agent.use_namespace("jobs").find_one_and_update({"a": 1}, {"a": 2}), 3),
        (lambda agent: agent.use_namespace("jobs").claim(ttl=60), 2),
        (lambda agent: agent.get_or_set("new", int), 5),
        (lambda agent: agent.list_namespaces(limit=1), 1),
    ],
    ids=[
        "set_many: one statement, run for each row",
        "delete_many: the same",
        "purge_expired: the expired records, those of areas, the areas of blobs, those of vectors",
        "put of a blob: head, the two records of a reminder, mark, each part, head, end of the mark",
        "get of a blob: head, and no parts if there is none",
        "first add to a memory: the end of the changes, vector, the two records of a reminder, change, record",
        "search where there are no vectors: the end of the changes",
        "clear: count, delete",
        "clear of a prefix that is a range of ids: the same",
        "increment",
        "pop: read, delete",
        "pop of what is not there",
        "get with touch: read, touch",
        "add_many: one statement, run for each row",
        "find_one_and_update: the declared indexes, find, write",
        "claim: find, write",
        "get_or_set of what is not there: read, lease, read, write, end of the lease",
        "list_namespaces with a limit: one for each",
    ],
)
def test_some_take_more(agent, statements, call, number):
    call(agent)
    assert len(statements) == number, statements


def test_the_counting_of_any_number_of_reads_is_one_statement_per_thousand_records(store, agent, statements):
    agent.set_many({f"more{i}": i for i in range(1_400)})
    for _ in range(3):
        agent.get_all()
    statements.clear()
    store.flush()
    assert len(statements) == 2


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        *((statement, ("u:default:a",)) for statement in sql.READ_ONE),
        *((sql.read_many(fields, 3), ("a", "b", "c")) for fields in range(3)),
        *((statement, ("u:", "u;", 10)) for statement in [*sql.SCAN, *sql.SCAN_AFTER]),
        (sql.COUNT, ("u:", "u;", "now")),
        (sql.CLEAR, ("u:", "u;")),
        (sql.DELETE, ("u:default:a", "now")),
        (sql.DELETE_IF_REVISION, ("u:default:a", "r", "now")),
        (sql.REVISION, ("u:default:a", "now")),
        (sql.NAMESPACES, ("u:", "u;", 2, "now")),
        *((sql.record_access(size), [None] * 5 * size) for size in (1, 10)),
        (sql.PURGE, ("now",)),
    ],
)
def test_no_statement_reads_through_the_table(store, agent, statement, parameters):
    connection = store.backend._opened.connections.take(sys._getframe())
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    store.backend._opened.connections.give_back(connection)
    assert any("agent_data_store USING" in step and "INDEX" in step for step in plan), plan
    assert not any(step.startswith("SCAN agent_data_store") or "TEMP B-TREE" in step for step in plan), plan


def test_large_values_come_in_short_pages_and_none_is_left_out(store):
    agent = store.agent("u", "a", "large")
    agent.set_many({f"k{i:02}": "x" * 900_000 for i in range(30)})
    page = store.backend.scan(IdRange("u:large:", "u:large;"), 1, 1_000)
    assert 0 < len(page.documents) < 30
    assert page.after == page.documents[-1].id
    assert len(agent.get_all()) == 30
    assert sum(1 for _ in agent.iter_records()) == 30


@pytest.mark.parametrize(
    ("call", "number"),
    [
        (lambda agent: agent.set("new", 1), 3),
        (lambda agent: agent.set("k001", 22), 3),
        (lambda agent: agent.set("known", 2), 2),  # the account does not change
        (lambda agent: agent.set("known", 2, {"a": 1}), 4),  # metadata and a condition take two
        (lambda agent: agent.add("new", 2), 3),
        (lambda agent: agent.set_many({"known": 1, "k001": 2, "new": 3}), 5),
        (lambda agent: agent.delete("known"), 2),
    ],
)
def test_a_write_under_a_quota_reads_once_and_writes_the_account_in_the_same_transaction(
    store, agent, statements, call, number
):
    limited = store.agent("u", "limited", quota=datastore.Quota(records=10))
    limited.set("known", 1)
    statements.clear()
    call(limited)
    assert statements[0].startswith("SELECT")
    assert len(statements) == number


def test_a_write_under_a_lease_is_one_statement_as_without(agent, statements):
    lease = agent.lease("work", renew=False)
    for store in (agent, lease.data_store):
        for call in (
            lambda one: one.set("k000", 1),
            lambda one: one.set("new", 1, ttl=60),
            lambda one: one.touch("new", ttl=90),
            lambda one: one.delete("new"),
        ):
            statements.clear()
            call(store)
            assert len(statements) == 1
    for call, number in ((lease.renew, 1), (lease.release, 1), (lambda: agent.lease("work", renew=False), 2)):
        statements.clear()
        call()
        assert len(statements) == number


def test_a_write_under_no_lease_does_not_ask_what_is_remembered(agent, statements):
    agent.lease("work", renew=False).data_store.set("k000", 1)
    statements.clear()
    agent.set("k000", 2)
    assert not any("fences" in statement for statement in statements)


def test_a_log_takes_these(agent, statements):
    """An append is one statement, with the one that looks what is there; what is read is what is returned."""
    log = agent.log("events")
    log.append(1)
    single = None
    for number, call in (
        (1, lambda: log.append(2)),
        (1, lambda: log.append(*range(100))),
        (3, lambda: log.append(*range(201))),
    ):
        statements.clear()
        call()
        single = single or len(statements)
        assert len(statements) == number * single <= number * 2
    unknown = agent.log("unknown")
    for call in (
        *(log.read, log.last, lambda: log.read(after=303), lambda: log.read(limit=3, reverse=True)),
        lambda: unknown.read(after=3),
    ):
        statements.clear()
        call()
        assert len(statements) == 1


def test_a_purge_of_all_users_takes_what_is_due(store, statements):
    """However many users have something: the reminders, the marks and the heads of the one, its part, its mark."""

    def asked(others):
        purge = purge_beside(store, others)
        statements.clear()
        purge()
        return [text.split()[0] for text in statements]

    looks, end = ["SELECT"] * 4, ["DELETE", "DELETE", *["DELETE"] * 4]  # part, mark, two reminders of two records
    first = asked(1)
    assert first == asked(30)
    assert first[: len(looks) + len(end)] == looks + end


def test_leases_runs_and_logs_take_a_statement_for_each_record_and_each_read(agent, statements):
    """Docstrings count requests; a batch of several records is as many statements, in one transaction."""

    def count(call):
        statements.clear()
        call()
        return len(statements)

    found = durable.beyond(agent, agent, count)
    assert {name: counted - most for name, (counted, most) in found.items()} == {
        "start": 3,
        "checkpoint": 1,
        "fork": 4,
        "branch": 9,
        "wait_for, no answer": 2,
        "signal": 1,
        "resume": 1,
        "finish": 3,
        "fork from outside": 4,
        "cancel": 3,
        "retry": 1,
        "join, to wait": 2,
    }

"""Requests per call, counted where the client sends them: the DynamoDB column of the design, row by row."""

import asyncio
import math
import os

import pytest
from blockbuster import blockbuster_ctx
from botocore.loaders import JSONFileLoader

import datastore
from datastore.backend import Delete, Touch
from datastore.conformance.documents import at, id_of, put, stored
from datastore.scope import scope_of
from tests.adapters import durable, memories
from tests.adapters.blobs import calls_of, purge_beside
from tests.dynamodb.wire import Wire
from tests.servers import dynamodb

pytestmark = pytest.mark.server("dynamodb")


@pytest.fixture
def records(agent, store, wire):
    agent.set_many({f"k{i:03}": i for i in range(100)})
    agent.use_namespace("other").set("k", 1)
    agent.set("described", 1, {"a": 1})
    store.flush()
    wire.requests.clear()


@pytest.fixture
def many(agent, records, wire):
    agent.set_many({f"k{i:03}": i for i in range(100, 250)})
    wire.requests.clear()


def test_a_hundred_awaited_gets_at_once_take_1(agent, records, wire):
    async def read():
        with blockbuster_ctx():
            return await asyncio.gather(*(agent.asynchronous.get(f"k{number:03}") for number in range(100)))

    assert asyncio.run(read()) == list(range(100))
    assert [operation for operation, _ in wire.requests] == ["BatchGetItem"]


@pytest.mark.parametrize(
    ("call", "operations"),
    [
        (lambda agent: agent.get("k001"), ["GetItem"]),
        (lambda agent: agent.get("missing"), ["GetItem"]),
        (lambda agent: agent.get_record("k001"), ["GetItem"]),
        (lambda agent: agent.exists("k001"), ["GetItem"]),
        (lambda agent: agent.set("new", 1), ["UpdateItem"]),
        (lambda agent: agent.set("new", 1, {"a": 1}, ttl=60), ["PutItem"]),
        (lambda agent: agent.set("k001", 1), ["UpdateItem"]),
        (lambda agent: agent.set("described", 2, {"b": 1}), ["UpdateItem"]),
        (lambda agent: agent.add("new", 1), ["PutItem"]),
        (lambda agent: agent.create(1), ["PutItem"]),
        (lambda agent: agent.delete("k001"), ["DeleteItem"]),
        (lambda agent: agent.delete("missing"), ["DeleteItem"]),
        (lambda agent: agent.increment("k001"), ["GetItem", "UpdateItem"]),
        (lambda agent: agent.get_many(["k001", "k002"]), ["BatchGetItem"]),
        (lambda agent: agent.set_many({f"n{i}": i for i in range(100)}), ["TransactWriteItems"]),
        (lambda agent: agent.set_many({f"n{i}": i for i in range(100)}, {"a": 1}), ["TransactWriteItems"]),
        (lambda agent: agent.set_many({f"k{i:03}": 0 for i in range(100)}), ["TransactWriteItems"]),
        (lambda agent: agent.set_many({f"k{i:03}": 0 for i in range(100)}, {"a": 1}), ["TransactWriteItems"] * 2),
        (lambda agent: agent.delete_many(["k001", "k002"]), ["BatchGetItem", "TransactWriteItems"]),
        (lambda agent: agent.list_keys(), ["Query"]),
        (lambda agent: agent.list_keys("k00"), ["Query"]),
        (lambda agent: agent.get_all(), ["Query"]),
        (lambda agent: agent.count(), ["Query"]),
        (lambda agent: agent.scan(), ["Query"]),
        (lambda agent: agent.list_namespaces(), ["Query"] * 3),
        (lambda agent: agent.namespace_stats(start="default", end="other"), ["Query"]),
        (lambda agent: agent.clear(), ["Query"] + ["BatchWriteItem"] * math.ceil(101 / 25)),
        (lambda agent: agent.use_namespace("empty").clear(), ["Query"]),
    ],
)
def test_a_call_sends_these_requests(agent, records, wire, call, operations):
    call(agent)
    assert wire.operations == operations


def test_a_log_takes_these(agent, stranger, store, wire):
    def takes(*operations, call):
        wire.requests.clear()
        call()
        assert wire.operations == list(operations)

    log = agent.log("events")
    takes("Query", "PutItem", call=lambda: log.append(1))
    takes("PutItem", call=lambda: log.append(2))
    takes("PutItem", call=lambda: log.append(*range(100)))
    takes(*["PutItem"] * 3, call=lambda: log.append(*range(201)))
    takes("Query", call=log.read)
    takes("Query", call=log.last)
    takes("Query", call=lambda: log.read(after=303))
    takes("Query", call=lambda: agent.log("unknown").read(after=3))
    stranger.log("events").append("other")
    takes("PutItem", "Query", "PutItem", call=lambda: log.append("beaten"))
    takes("Query", "Query", "GetItem", call=agent.list_logs)
    for number in range(20):
        agent.log(f"log{number:02}").append(1)
    takes("Query", "Query", "Query", "BatchGetItem", call=agent.list_logs)


def test_setting_with_metadata_what_was_not_seen_here_takes_two(stranger, records, wire, agent):
    agent.set("strange", 1)
    other = stranger
    connection = other_client(other)
    second = Wire(connection)
    other.set("strange", 2, {"b": 1})
    assert second.operations == ["PutItem", "UpdateItem"]
    assert agent.get_record("strange").metadata == {"b": 1}


def touch(key, seconds=60):
    return Touch(id_of(key), at(0), None if seconds is None else at(seconds))


PARTS = os.urandom(495_000).hex()


@pytest.mark.parametrize(
    ("writes", "operations"),
    [
        ([touch("k1")], ["UpdateItem"]),
        ([touch("missing")], ["UpdateItem", "GetItem"]),
        ([touch("expired", 90)], ["UpdateItem"]),
        ([touch(f"k{number}") for number in range(100)], ["TransactWriteItems"]),
        ([touch("k1"), put("k2", 2), put("new", 3)], ["TransactWriteItems"]),
        ([touch("k1"), Delete(id_of("k2"), at(0))], ["GetItem", "TransactWriteItems"]),
        ([touch("large")], ["UpdateItem"] * 4),  # refused; the two parts; the record
        ([touch("large", None)], ["UpdateItem"] * 4),
        ([touch("large", 20)], ["UpdateItem"] * 6),  # and the parts again
        ([put("new", 1, expires_at=at(60), keep_expiry=True)], ["UpdateItem"]),
        ([put("expiring", 1, expires_at=at(90), keep_expiry=True)], ["UpdateItem"]),
        ([put("k1", 1, keep_expiry=True)], ["UpdateItem"]),
        ([put("k1", 1, keep_expiry=True, expires_at=at(60), if_revision="first")], ["UpdateItem"]),
        ([put("k1", 1, keep_expiry=True, expires_at=at(60))], ["UpdateItem"] * 2),  # it expires never, and shall not
    ],
)  # fmt: skip
def test_expiries_of_what_was_not_seen_here_take_these(backend, url, wire, writes, operations):
    """Also in a process that knows nothing of the records."""
    with datastore.connect(url) as other:
        seeds = [put(f"k{number}", 1, revision="first") for number in range(100)]
        other.backend.write([*seeds, put("expired", 1, expires_at=at(-1)), put("expiring", 1, expires_at=at(60))])
        other.backend.write([put("large", PARTS, expires_at=at(30))])
    backend.write(writes)
    assert wire.operations == operations


def test_what_is_remembered_of_a_record_survives_a_touch(backend, wire):
    backend.write([put("key", 1, metadata={"a": 1})])
    backend.write([touch("key")])
    backend.write([put("key", 2, metadata={"b": 1}, keep_expiry=True)])
    assert wire.operations[-2:] == ["UpdateItem", "UpdateItem"]
    document = stored(backend, "key")
    assert (document.metadata, document.expires_at) == ({"a": 1, "b": 1}, at(60))


@pytest.mark.parametrize(("number", "requests"), [(100, 1), (101, 2), (250, 3)])
def test_many_are_read_a_hundred_at_a_time(agent, many, wire, number, requests):
    assert len(agent.get_many([f"k{i:03}" for i in range(number)])) == number
    assert wire.operations == ["BatchGetItem"] * requests


@pytest.mark.parametrize(("number", "requests"), [(2, 1), (100, 1), (250, 3)])
def test_reads_are_counted_a_hundred_records_at_a_time(agent, store, many, wire, number, requests):
    keys = [f"k{i:03}" for i in range(number)]
    agent.get_many(keys)
    agent.get_many(keys)
    wire.requests.clear()
    store.flush()
    assert wire.operations == ["TransactWriteItems"] * requests
    assert agent.get_record("k001").access_count == 2


def test_the_counting_of_one_record_is_one_update(agent, store, records, wire):
    agent.get("k001")
    wire.requests.clear()
    store.flush()
    assert wire.operations == ["UpdateItem"]


def test_connecting_to_a_table_that_is_there_is_one_request(url, store, monkeypatch):
    from botocore.httpsession import URLLib3Session

    sent = []
    send = URLLib3Session.send
    monkeypatch.setattr(URLLib3Session, "send", lambda self, request: sent.append(request) or send(self, request))
    with datastore.connect(url):
        assert [request.headers["X-Amz-Target"] for request in sent] == [b"DynamoDB_20120810.GetItem"]


def test_another_store_does_not_read_the_descriptions_of_the_service_again(url, store, monkeypatch):
    monkeypatch.setattr(JSONFileLoader, "load_file", None)  # takes ten times as long as all else in a client
    for _ in range(3):
        with datastore.connect(url) as another:
            another.agent("u", "a").set("key", 1)
    loader = store.backend._connection.client._loader
    assert len(loader.search_paths) == len(set(loader.search_paths))


def test_every_read_is_strongly_consistent(agent, records, wire):
    agent.get("k001")
    agent.get_many(["k001", "k002"])
    agent.list_keys()
    agent.count()
    for operation, body in wire.requests:
        reads = body["RequestItems"].values() if operation == "BatchGetItem" else [body]
        assert all(read["ConsistentRead"] is True for read in reads), operation


def test_a_listing_of_keys_fetches_no_values(agent, records, wire):
    agent.list_keys()
    ((_, body),) = wire.requests
    names = {body["ExpressionAttributeNames"][alias.strip()] for alias in body["ProjectionExpression"].split(",")}
    assert names == {"pk", "sk", "createdAt", "revision", "expiresAt"}


class Thousand:
    """Ten keys among a thousand others, the last of which has a value in parts: the namespace has a marker of them."""

    def __init__(self, store):
        client = store.backend._connection.client
        self.agent, self.wire, self.looked_at = store.agent("u", "a"), Wire(client), []
        client.meta.events.register("after-call.dynamodb.Query", self._note)
        self.agent.set_many({f"a{number:03}": number for number in range(500)})
        self.agent.set_many({f"log/{number}": number for number in range(10)})
        self.agent.set_many({f"z{number:03}": number for number in range(499)})
        self.agent.set("log0", "comes after all that begins with log/")
        self.agent.set("z499", os.urandom(495_000).hex())

    def _note(self, parsed, **_):
        self.looked_at.append(parsed["ScannedCount"])


@pytest.fixture(scope="module")
def one_thousand():
    with datastore.connect(dynamodb.MINISTACK.url(), tracking="off") as store:
        yield Thousand(store)


@pytest.fixture
def thousand(one_thousand):
    """What no test here changes; ``looked_at`` is how many items each query has looked at, which is what it costs."""
    one_thousand.wire.requests.clear()
    one_thousand.looked_at.clear()
    return one_thousand


LOG = [f"log/{number}" for number in range(10)]


@pytest.mark.parametrize(
    ("call", "found", "items"),
    [
        (lambda agent: agent.list_keys(limit=5), [f"a00{number}" for number in range(5)], 5),
        (lambda agent: agent.list_keys(limit=5, reverse=True), [f"z49{number}" for number in range(9, 4, -1)], 5),
        (lambda agent: [agent.first().key], ["a000"], 1),
        (lambda agent: [agent.last(end="z499").key], ["z498"], 1),
        (lambda agent: [agent.last("log/").key], ["log/9"], 1),
        (lambda agent: [agent.first(start="log/3\0").key], ["log/4"], 1),
        (lambda agent: [agent.first(start="log/3").key], ["log/3"], 1),
        (lambda agent: agent.list_keys("log/"), LOG, 11),
        (lambda agent: agent.list_keys("log/", reverse=True), LOG[::-1], 10),
        (lambda agent: list(agent.get_all("log/", limit=3, reverse=True)), LOG[:6:-1], 3),
        (lambda agent: agent.list_keys(start="log/2", end="log/5"), LOG[2:5], 4),
        (lambda agent: agent.list_keys(start="log/2", end="log/5", reverse=True), LOG[4:1:-1], 3),
        (lambda agent: [record.key for record in agent.scan("log/", limit=3, reverse=True).records], LOG[:6:-1], 4),
        (lambda agent: list(agent.find({}, prefix="log/", sort="-$key", limit=2)), LOG[:7:-1], 4),
        (lambda agent: list(agent.find({}, prefix="log/")), LOG, 11),
        (lambda agent: LOG[: agent.count(prefix="log/")], LOG, 10),
        (lambda agent: [agent.count()], [1_011], 1_011),
    ],
)
def test_a_listing_looks_at_what_it_returns_and_an_item_more(thousand, call, found, items):
    """In one request, from whichever end: neither the rest of the namespace nor its marker of parts costs anything."""
    assert call(thousand.agent) == found
    assert thousand.wire.operations == ["Query"]
    assert sum(thousand.looked_at) <= items


def test_the_last_record_is_found_where_its_value_is_in_parts(thousand):
    assert thousand.agent.last().key == "z499"
    assert thousand.wire.operations == ["Query", "BatchGetItem"]
    assert thousand.looked_at == [1]


@pytest.mark.parametrize("reverse", [False, True])
def test_an_empty_range_sends_nothing(thousand, reverse):
    agent = thousand.agent
    for asked in ({"start": "b", "end": "b"}, {"start": "c", "end": "b"}, {"prefix": "a", "start": "b"}):
        assert agent.list_keys(**asked, reverse=reverse) == []
        assert agent.clear(**asked) == 0
        assert agent.count(**asked) == 0
        assert list(agent.find({"n": 1}, **asked, sort="-$key" if reverse else None)) == []
    assert thousand.wire.operations == []


@pytest.mark.parametrize("reverse", [False, True])
def test_pages_of_a_listing_are_one_request_each(thousand, reverse):
    agent = thousand.agent
    page = agent.scan("log/", limit=4, reverse=reverse)
    keys = [record.key for record in page.records]
    while page.cursor is not None:
        page = agent.scan("log/", limit=4, reverse=reverse, cursor=page.cursor)
        keys += [record.key for record in page.records]
    assert keys == (LOG[::-1] if reverse else LOG)
    assert thousand.wire.operations == ["Query"] * 3
    assert sum(thousand.looked_at) <= 5 + 5 + 3


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(dynamodb.MINISTACK, id="ministack"),
        pytest.param(dynamodb.DYNALITE, id="dynalite", marks=pytest.mark.server("dynamodb-dynalite")),
    ],
)
def test_a_page_boundary_of_one_megabyte_is_crossed(server):
    with datastore.connect(server.url(), tracking="off") as store:
        agent, wire = store.agent("u", "a"), Wire(store.backend._connection.client)
        agent.set_many({f"k{i:02}": "x" * 90_000 for i in range(30)})
        wire.requests.clear()
        assert agent.get_all() == {f"k{i:02}": "x" * 90_000 for i in range(30)}
        assert len(wire.operations) >= 3
        assert set(wire.operations) == {"Query"}
        wire.requests.clear()
        assert len(agent.list_keys()) == 30
        assert len(wire.operations) >= 3
        wire.requests.clear()
        assert list(agent.get_all(reverse=True)) == [f"k{i:02}" for i in reversed(range(30))]
        assert len(wire.operations) >= 3
        assert agent.count() == 30
        assert agent.clear() == 30
        assert agent.count() == 0


def test_more_than_a_thousand_records_are_pages_of_one_megabyte(url):
    items = {f"k{i:05}": f"{i} " + "x" * 1_000 for i in range(1_400)}  # nearly two pages; the kit has 12,000
    with datastore.connect(url, tracking="off") as store:
        agent, wire = store.agent("u", "a"), Wire(store.backend._connection.client)
        agent.set_many(items)
        for listing in (agent.list_keys, agent.get_all):
            wire.requests.clear()
            assert list(listing()) == list(items)
            assert wire.operations == ["Query"] * len(wire.operations)
            assert 2 <= len(wire.operations) <= 3
        wire.requests.clear()
        assert agent.clear() == len(items)
        assert wire.operations.count("BatchWriteItem") <= math.ceil(len(items) / 25) + 3
        assert agent.list_keys() == []


def other_client(agent):
    return scope_of(agent).core.backend._connection.client


@pytest.mark.parametrize(
    ("call", "operations"),
    [
        (lambda agent: agent.set("new", 1), ["BatchGetItem", "TransactWriteItems"]),
        (lambda agent: agent.set("known", 2, {"a": 1}), ["BatchGetItem", "TransactWriteItems"]),
        (lambda agent: agent.set("k001", 2), ["BatchGetItem", "TransactWriteItems"]),
        (lambda agent: agent.add("new", 2), ["BatchGetItem", "TransactWriteItems"]),
        (lambda agent: agent.set_many({"known": 1, "k001": 2, "new": 3}), ["BatchGetItem", "TransactWriteItems"]),
        (lambda agent: agent.delete("known"), ["BatchGetItem", "DeleteItem"]),
        (lambda agent: agent.increment("known"), ["GetItem", "BatchGetItem", "UpdateItem"]),  # it gets no larger
        (lambda agent: agent.increment("known", 99), ["GetItem", "BatchGetItem", "TransactWriteItems"]),
    ],
)
def test_a_write_under_a_quota_makes_one_request_more(store, records, wire, call, operations):
    agent = store.agent("u", "limited", quota=datastore.Quota(records=10))
    agent.set("known", 1)
    wire.requests.clear()
    call(agent)
    assert wire.operations == operations


def test_a_step_of_a_run_takes_1(agent, wire):
    run = agent.runs.start("run")
    run.step("first", int)
    wire.requests.clear()
    for number in range(3):
        run.state["n"] = number
        run.step("step", int)
    assert [operation for operation, _ in wire.requests] == ["PutItem"] * 3
    wire.requests.clear()
    agent.runs.due()
    assert [operation for operation, _ in wire.requests] == ["Query"]
    wire.requests.clear()
    run.finish()
    assert len(wire.requests) <= 5, "entry, head with what follows, hint, lease"
    wire.requests.clear()
    agent.runs.history("run", limit=3, reverse=True)
    assert [operation for operation, _ in wire.requests] == ["GetItem", "Query"]


def test_blobs(agent, wire):
    """A put of N bytes takes 5, and 1 more for each 2 MiB after the first 2."""

    def asked(call):
        wire.requests.clear()
        call()
        return [operation for operation, _ in wire.requests]

    assert {name: asked(call) for name, call in calls_of(agent.blobs).items()} == {
        "put 9 parts": ["GetItem", "UpdateItem", "TransactWriteItems", "UpdateItem", "PutItem", "DeleteItem"],
        "put over it": ["GetItem", "UpdateItem", "TransactWriteItems", "UpdateItem", "DeleteItem"],
        "stat": ["GetItem"],
        "get": ["GetItem"] * 2,
        "open and read": ["GetItem"] * 2,
        "list": ["Query"],
        "delete": ["GetItem", "UpdateItem", "DeleteItem"],
        "put 9 parts that expire": [
            "GetItem",
            "UpdateItem",
            "TransactWriteItems",
            "UpdateItem",
            "PutItem",
            "UpdateItem",
        ],
    }


def test_memory(agent, wire):
    """A search asks for what it returns, and with it whether that is all."""

    def asked(call):
        wire.requests.clear()
        call()
        return [operation for operation, _ in wire.requests]

    assert {name: asked(call) for name, call in memories.calls_of(agent).items()} == {
        "add": ["UpdateItem", "PutItem", "PutItem"],
        "search": ["BatchGetItem"],
        "search again": ["BatchGetItem"],
        "add 20": ["TransactWriteItems", "PutItem", "PutItem", "TransactWriteItems"],
        "search with a filter": ["BatchGetItem", "BatchGetItem"],
        "edit of the vector": ["GetItem", "UpdateItem", "PutItem", "UpdateItem", "DeleteItem"],
        "edit of metadata": ["GetItem", "GetItem", "UpdateItem", "PutItem", "UpdateItem", "DeleteItem"],
        "get": ["GetItem"],
        "delete": ["GetItem", "DeleteItem", "DeleteItem"],
        "embed": ["GetItem", "GetItem", "UpdateItem", "PutItem"],
        "embed again": ["GetItem", "GetItem", "PutItem"],
        "add to a vault": ["PutItem", "PutItem"],
        "get the vectors of a vault": [
            *["Query", "Query", "BatchGetItem", "BatchGetItem"],
            *["TransactWriteItems", "TransactWriteItems", "PutItem"],  # vectors, the first reminder, the change
            *["Query", "Query", "TransactWriteItems"],
        ],
        "get no vectors of a vault": ["Query", "Query"],
        "add in parts": ["UpdateItem", "PutItem", "PutItem"],
        "search of parts": ["Query", "BatchGetItem", "BatchGetItem"],  # the namespace has a model and parts since then
        "edit in parts": ["GetItem", "GetItem", "UpdateItem", "PutItem", "UpdateItem", "DeleteItem"],
        "search by words": ["Query", "BatchGetItem", "BatchGetItem"],
        "search by words again": ["Query", "BatchGetItem"],
        "delete of parts": ["GetItem", "DeleteItem", "DeleteItem"],
    }


def test_a_purge_of_all_users_takes_what_is_due(store, wire):
    """However many users have something: the reminders, the marks and the heads of the one, its part, its mark."""

    def asked(others):
        purge = purge_beside(store, others)
        wire.requests.clear()
        purge()
        return [operation for operation, _ in wire.requests]

    looks = ["Query"] * 2 + ["GetItem"] * 2
    assert asked(1) == asked(30) == [*looks, "DeleteItem", "DeleteItem", "BatchGetItem", "TransactWriteItems"]


def test_leases_runs_and_logs_take_what_their_docstrings_say(agent, stranger, wire):
    def count(call):
        wire.requests.clear()
        call()
        return len(wire.requests)

    found = durable.beyond(agent, stranger, count)
    assert found.keys() == {"wait_for, no answer", "join, to wait", "finish", "cancel"}, (
        "each removes two records at once"
    )
    assert all(counted == most + 1 for counted, most in found.values())

"""Requests: what each call asks of Firestore, counted at the client's channel."""

import asyncio

import pytest
from blockbuster import blockbuster_ctx

import datastore
from datastore.backend import Fields, IdRange, Touch
from datastore.conformance.documents import at
from datastore.ids import EVERYTHING, encode_id
from datastore.times import format_time
from tests.adapters import durable, memories
from tests.adapters.blobs import calls_of, purge_beside

pytestmark = pytest.mark.server("firestore")


@pytest.fixture(name="filled")
def fill(agent, store, recorder):
    """A store that holds records it has not seen in this process."""
    agent.set_many({f"k{number:04}": number for number in range(1_200)})
    for name in ("n1", "n2", "n3"):
        agent.use_namespace(name).set("k", 1)
    forget(store)
    recorder.clear()
    return agent


def forget(store):
    """Make the process one that has just begun."""
    store.backend._assemble()


def test_connecting_asks_for_the_format_of_the_collection(url, recorder, store):
    datastore.connect(url, interceptors=[recorder]).close()
    assert recorder.requests == ["BatchGetDocuments"]
    (message,) = recorder.messages
    assert [name.rpartition("/")[2] for name in message.documents] == ["_format"]


def test_a_hundred_awaited_gets_at_once_take_1(filled, recorder):
    async def read():
        with blockbuster_ctx():
            return await asyncio.gather(*(filled.asynchronous.get(f"k{number:04}") for number in range(100)))

    assert asyncio.run(read()) == list(range(100))
    assert recorder.requests == ["BatchGetDocuments"]


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda agent: agent.list_keys(limit=5), [f"k{i:04}" for i in range(5)]),
        (lambda agent: agent.list_keys(limit=5, reverse=True), [f"k{i:04}" for i in range(1_199, 1_194, -1)]),
        (lambda agent: list(agent.get_all(limit=2, reverse=True)), ["k1199", "k1198"]),
        (lambda agent: [agent.first().key], ["k0000"]),
        (lambda agent: [agent.last().key], ["k1199"]),
        (lambda agent: [agent.last("k05").key], ["k0599"]),
        (lambda agent: [agent.last(end="k0500").key], ["k0499"]),
        (lambda agent: agent.list_keys("k050"), [f"k{i:04}" for i in range(500, 510)]),
        (lambda agent: agent.list_keys("k050", reverse=True), [f"k{i:04}" for i in range(509, 499, -1)]),
        (lambda agent: agent.list_keys(start="k0500", end="k0503"), ["k0500", "k0501", "k0502"]),
        (lambda agent: agent.list_keys(start="k0500", end="k0503", reverse=True), ["k0502", "k0501", "k0500"]),
        (lambda agent: list(agent.find({}, sort="-$key", limit=3)), ["k1199", "k1198", "k1197"]),
        (lambda agent: list(agent.find({}, prefix="k050", sort="-$key")), [f"k{i:04}" for i in range(509, 499, -1)]),
        (lambda agent: agent.list_keys("nothing"), []),
        (lambda agent: agent.list_keys("nothing", reverse=True), []),
    ],
)
def test_what_is_read_is_what_is_returned(filled, recorder, call, found):
    assert call(filled) == found
    assert recorder.requests == ["RunQuery"]
    assert recorder.handed_over <= len(found) + 1


@pytest.mark.parametrize("reverse", [False, True])
def test_pages_are_one_request_each_and_read_one_document_more(filled, recorder, reverse):
    cursor, keys = None, []
    for _ in range(3):
        page = filled.scan(start="k0100", end="k0110", limit=4, reverse=reverse, cursor=cursor)
        keys += [record.key for record in page.records]
        cursor = page.cursor
    assert cursor is None
    assert keys == sorted((f"k{i:04}" for i in range(100, 110)), reverse=reverse)
    assert recorder.requests == ["RunQuery"] * 3
    assert recorder.handed_over <= 10 + 2


@pytest.mark.parametrize("reverse", [False, True])
def test_a_range_that_holds_no_id_asks_nothing(filled, recorder, reverse):
    assert filled.list_keys(start="k0500", end="k0500", reverse=reverse) == []
    assert filled.list_keys("k05", start="k07", reverse=reverse) == []
    assert filled.find({"a": 1}, start="b", end="a", sort="-$key" if reverse else None) == {}
    assert filled.count(start="b", end="a") == 0
    assert filled.clear(start="b", end="a", reverse=reverse) == 0
    assert recorder.requests == []


def test_calls_on_a_few_keys_cost_what_these_do(filled, recorder):
    assert filled.count(prefix="k050") == 10
    assert recorder.requests == ["RunAggregationQuery", "RunQuery"]
    recorder.clear()
    assert filled.clear("k050") == 10
    assert recorder.requests == ["RunQuery", "BatchWrite"]
    assert recorder.handed_over == 10
    recorder.clear()
    assert filled.clear(limit=2, reverse=True) == 2
    assert recorder.requests == ["RunQuery", "BatchWrite"]
    assert recorder.handed_over == 2
    assert filled.last().key == "k1197"


@pytest.mark.parametrize(
    ("call", "requests"),
    [
        (lambda agent: agent.get("k0001"), ["BatchGetDocuments"]),
        (lambda agent: agent.get("missing"), ["BatchGetDocuments"]),
        (lambda agent: agent.get_record("k0001"), ["BatchGetDocuments"]),
        (lambda agent: agent.exists("k0001"), ["BatchGetDocuments"]),
        (lambda agent: agent.set("new", 1, {"a": 1}, ttl=60), ["Commit"]),
        (lambda agent: agent.set("k0001", 1), ["Commit", "BatchGetDocuments", "Commit"]),
        (lambda agent: agent.add("new", 1), ["Commit"]),
        (lambda agent: agent.create(1), ["Commit"]),
        (lambda agent: agent.touch("k0001", ttl=60), ["BatchGetDocuments", "Commit"]),
        (lambda agent: agent.touch("missing", ttl=60), ["BatchGetDocuments"]),
        (lambda agent: agent.get("k0001", touch=60), ["BatchGetDocuments", "Commit"]),
        (lambda agent: agent.pop("k0001"), ["BatchGetDocuments", "Commit"]),
        (lambda agent: agent.pop("missing"), ["BatchGetDocuments"]),
        (lambda agent: agent.purge_expired(), ["RunQuery"] * 4),
        (lambda agent: agent.delete("k0001"), ["Commit"]),
        (lambda agent: agent.delete("missing"), ["Commit"]),
        (lambda agent: agent.get_many([f"k{i:04}" for i in range(500)]), ["BatchGetDocuments"]),
        (lambda agent: agent.get_many([f"k{i:04}" for i in range(1_001)]), ["BatchGetDocuments"] * 3),
        (lambda agent: agent.set_many({f"new{i}": i for i in range(500)}), ["BatchWrite"]),
        (lambda agent: agent.set_many({f"new{i}": i for i in range(1_001)}), ["BatchWrite"] * 2 + ["Commit"]),
        (lambda agent: agent.delete_many([f"k{i:04}" for i in range(500)]), ["BatchGetDocuments", "BatchWrite"]),
        (lambda agent: agent.list_keys(), ["RunQuery"]),
        (lambda agent: agent.list_keys("k00"), ["RunQuery"]),
        (lambda agent: agent.get_all(), ["RunQuery"]),
        (lambda agent: agent.scan(limit=10), ["RunQuery"]),
        (lambda agent: list(agent.iter_records()), ["RunQuery"]),
        (lambda agent: agent.list_namespaces(), ["RunQuery"] * 5),
        (lambda agent: agent.namespace_stats(start="default", end="n1"), ["RunQuery"]),
        (lambda agent: agent.count(), ["RunAggregationQuery", "RunQuery"]),
        (lambda agent: agent.clear(), ["RunQuery"] + ["BatchWrite"] * 3),
        (lambda agent: agent.increment("k0001"), ["BatchGetDocuments", "Commit"]),
        (lambda agent: agent.increment("new"), ["BatchGetDocuments", "Commit"]),
    ],
    ids=lambda value: "+".join(value[:3]) if isinstance(value, list) else "",
)
def test_a_call_asks_no_more_than_it_must(filled, recorder, call, requests):
    call(filled)
    assert recorder.requests == requests


def test_an_existing_key_that_is_known_here_takes_one_request(filled, recorder):
    filled.get("k0001")
    filled.set("k0002", 1)
    recorder.clear()
    for number in range(5):
        filled.set("k0001", number, {"a": number} if number else None)
        filled.set("k0002", number)
    assert recorder.requests == ["Commit"] * 2 + ["BatchGetDocuments"] + ["Commit"] * 8


def test_existing_keys_that_are_not_known_here_take_two_requests(filled, recorder):
    filled.set("k0000", 1)  # the first one is taken for a new one, which costs a request once in a namespace
    recorder.clear()
    for number in range(1, 6):
        filled.set(f"k{number:04}", 1)
    assert recorder.requests == ["BatchGetDocuments", "Commit"] * 5
    recorder.clear()
    filled.set_many({f"k{number:04}": 1 for number in range(100, 600)})
    assert recorder.requests == ["BatchGetDocuments", "BatchWrite"]


def test_new_keys_take_one_request_again_after_one_that_was_taken_for_an_existing_one(filled, recorder):
    filled.set("k0000", 1)
    recorder.clear()
    filled.set("new1", 1)
    filled.set("new2", 1)
    filled.set("new3", 1)
    assert recorder.requests == ["BatchGetDocuments", "Commit", "Commit", "Commit"]


def test_a_delete_of_a_known_key_takes_one_request(filled, recorder):
    filled.set("known", 1)
    recorder.clear()
    assert filled.delete("known")
    assert recorder.requests == ["Commit"]
    (write,) = recorder.messages[0].writes
    assert write.current_document.HasField("update_time")


def touch(*keys, expires_at):
    return [Touch(encode_id("u", "default", key), at(0), expires_at) for key in keys]


def test_moving_the_expiry_of_a_known_document_takes_one_request(filled, store, recorder):
    filled.get("k0001")
    filled.set("new", 1)
    recorder.clear()
    for seconds in (60, 90, 30):
        assert store.backend.write(touch("k0001", expires_at=at(seconds)))[0].done
        assert store.backend.write(touch("new", expires_at=at(seconds)))[0].done
    filled.set("k0001", 2)
    store.backend.write(touch("k0001", expires_at=at(60)))
    store.flush()
    assert recorder.requests == ["Commit"] * 8 + ["BatchWrite"]
    (write,) = recorder.messages[0].writes
    assert write.current_document.HasField("update_time")
    assert set(write.update_mask.field_paths) == {"expiresAt", "expiryMicros", "expires"}


def test_moving_the_expiry_of_a_document_that_is_not_known_takes_a_look_before(filled, store, recorder):
    assert store.backend.write(touch("k0001", expires_at=at(60)))[0].done
    assert recorder.requests == ["BatchGetDocuments", "Commit"]
    recorder.clear()
    assert not store.backend.write(touch("missing", expires_at=at(60)))[0].done
    assert recorder.requests == ["BatchGetDocuments"]
    recorder.clear()
    keys = [f"k{number:04}" for number in range(500)]
    for expires_at in (at(70), at(80)):
        assert all(outcome.done for outcome in store.backend.write(touch(*keys, expires_at=expires_at)))
    assert recorder.requests == ["BatchGetDocuments", "BatchWrite", "BatchWrite"]


def test_moving_an_expiry_to_where_it_is_writes_nothing(filled, store, recorder):
    store.backend.write(touch("k0001", expires_at=at(60)))
    recorder.clear()
    assert store.backend.write(touch("k0001", expires_at=at(60)))[0].done
    assert recorder.requests == ["BatchGetDocuments"]


def test_moving_an_expiry_over_what_another_process_has_written_takes_a_look(filled, store, other, recorder):
    filled.get("k0001")
    other.set("k0001", "theirs")
    recorder.clear()
    assert store.backend.write(touch("k0001", expires_at=at(60)))[0].done
    assert recorder.requests == ["Commit", "BatchGetDocuments", "Commit"]
    assert other.get("k0001") == "theirs"


def test_users_are_listed_with_one_request_and_one_document_each(url, store, recorder):
    """Their names lie on both sides of the document with the format, which is one more."""
    users = ["_x", "10", "Bob", "ann", "anna", "é", "\U0010fffd"]
    for user in users:
        store.agent(user, "a").set_many({f"k{number}": number for number in range(5)})
    recorder.clear()
    assert list(store.users()) == users
    assert recorder.requests == ["RunQuery"] * (len(users) + 2)
    assert recorder.handed_over == len(users) + 1
    page = store.backend.scan(IdRange("Bob;", EVERYTHING.end), Fields.KEY, 1)
    assert [document.id.partition(":")[0] for document in page.documents] == ["ann"], "no page is empty because of it"


def test_counting_any_number_of_reads_takes_one_request_per_500_records(filled, store, recorder):
    for _ in range(3):
        filled.get_all()
    filled.get("k0001")
    recorder.clear()
    store.flush()
    assert recorder.requests == ["BatchWrite"] * 3
    record = filled.get_record("k0001")
    assert record.access_count == 4


def test_a_set_after_a_flush_takes_one_request(filled, store, recorder):
    filled.get("k0001")
    store.flush()
    recorder.clear()
    filled.set("k0001", 2)
    assert recorder.requests == ["Commit"]


def test_counting_what_has_changed_meanwhile_takes_a_look(filled, store, url, recorder):
    filled.get("k0001")
    with datastore.connect(url) as other:
        other.agent("u", "b").set("k0001", 2)
    recorder.clear()
    store.flush()
    assert recorder.requests == ["BatchWrite", "BatchGetDocuments", "BatchWrite"]
    assert filled.get_record("k0001").access_count == 1


def test_listing_keys_downloads_no_values(filled, recorder):
    filled.list_keys()
    (query,) = recorder.messages
    fields = {field.field_path for field in query.structured_query.select.fields}
    assert fields
    assert not fields & {"value", "valueJson", "metadata", "metadataJson"}


def test_every_query_is_a_range_of_names_that_no_composite_index_is_needed_for(filled, recorder):
    filled.list_keys("k0")
    filled.get_all()
    filled.list_namespaces()
    filled.count()
    filled.scan(limit=3, cursor=filled.scan(limit=3).cursor)
    for message in recorder.messages:
        query = getattr(message, "structured_aggregation_query", message).structured_query
        assert [order.field.field_path for order in query.order_by] == ["__name__"]
        if query.HasField("where"):  # at most one equality
            assert query.where.field_filter.field.field_path == "expires"
            assert query.where.field_filter.op == query.where.field_filter.Operator.Value("EQUAL")


def test_a_listing_from_the_last_to_the_first_is_one_range_of_one_field(filled, recorder):
    filled.list_keys(reverse=True)
    filled.get_all("k0", reverse=True)
    filled.last()
    filled.scan(limit=3, reverse=True, cursor=filled.scan(limit=3, reverse=True).cursor)
    for message in recorder.messages:
        query = message.structured_query
        directions = [(order.field.field_path, order.direction) for order in query.order_by]
        descending = query.Direction.Value("DESCENDING")
        assert directions == [("_id", descending), ("__name__", descending)], "the automatic index of one field"
        bounds = [one.field_filter for one in query.where.composite_filter.filters]
        assert [(bound.field.field_path, bound.Operator.Name(bound.op)) for bound in bounds] == [
            ("_id", "GREATER_THAN_OR_EQUAL"),
            ("_id", "LESS_THAN"),
        ]


def test_a_listing_of_namespaces_reads_one_document_of_each(filled, recorder):
    filled.list_namespaces()
    assert {message.structured_query.limit.value for message in recorder.messages} == {1}


def test_every_request_has_a_deadline(filled, recorder):
    filled.get("k0001")
    filled.set("x", 1)
    filled.list_keys()
    filled.count()
    assert all(recorder.deadlines)


def test_every_request_names_its_database_in_the_headers_that_lead_there(filled, recorder):
    filled.get("k0001")
    filled.set("x", 1)
    filled.list_keys()
    filled.count()
    for headers in recorder.headers:
        assert headers["google-cloud-resource-prefix"].endswith("/databases/(default)")
        assert headers["x-goog-request-params"].startswith(("database=projects", "parent=projects"))


def test_large_batches_are_cut_to_the_size_of_a_request(agent, recorder):
    assert agent.set_many({f"k{i:02}": "x" * 900_000 for i in range(10)}) == 10
    assert recorder.requests == ["BatchWrite"] * 3 + ["Commit"]
    recorder.clear()
    assert len(agent.get_all()) == 10
    assert recorder.requests == ["RunQuery"] * 2  # a page of large values is short, so that they do not pile up


def test_purging_takes_two_requests_for_500_records_and_a_last_look(url, recorder):
    now = [1_790_000_000.0]
    with datastore.connect(url, clock=lambda: now[0], interceptors=[recorder]) as store:
        store.agent("u", "a").set_many({f"k{i}": i for i in range(600)}, ttl=10)
        now[0] += 11
        recorder.clear()
        assert store.purge_expired() == 600
        reminders = ["RunQuery"] * 2  # those that are due, and whether there ever was one
        assert recorder.requests == reminders + ["RunQuery", "BatchWrite"] * 2 + ["RunQuery"]


def test_purging_a_range_reads_what_expires_there_and_nothing_else(url, recorder):
    now = [1_790_000_000.0]
    with datastore.connect(url, clock=lambda: now[0], interceptors=[recorder]) as store:
        agent = store.agent("u", "a")
        agent.set_many({f"k{i}": i for i in range(600)}, ttl=10)
        agent.set_many({f"later{i}": i for i in range(3)}, ttl=100)
        agent.set_many({f"never{i}": i for i in range(50)})
        agent.use_namespace("n2").set("k", 1, ttl=10)
        for user in ("t", "uu", "v"):
            store.agent(user, "a").set_many({f"k{i}": i for i in range(50)}, ttl=10)
        now[0] += 11
        recorder.clear()
        backend, moment = store.backend, format_time(now[0])
        assert backend.purge(moment, IdRange("u:default:", "u:default;")) == 600
        assert recorder.requests == ["RunQuery"] + ["BatchWrite"] * 2
        assert recorder.handed_over == 603
        recorder.clear()
        assert backend.purge(moment, IdRange("u:", "u;")) == 1
        assert backend.purge(moment, IdRange("u:", "u;")) == 0
        assert recorder.requests == ["RunQuery", "BatchWrite", "RunQuery"]
        assert recorder.handed_over == 4 + 3
        assert agent.count() == 53
        assert store.purge_expired() == 150


def test_what_is_remembered_of_documents_is_bounded(store, agent, monkeypatch):
    memory = store.backend._reader._memory
    monkeypatch.setattr(memory, "_most", 50)
    agent.set_many({f"k{i}": i for i in range(120)})
    assert len(memory) == 50
    agent.set_many({f"k{i}": i + 1 for i in range(120)})
    assert agent.get_many([f"k{i}" for i in range(120)]) == {f"k{i}": i + 1 for i in range(120)}


@pytest.mark.parametrize(
    ("call", "write"),
    [
        (lambda agent: agent.set("new", 1), "BatchWrite"),
        (lambda agent: agent.set("known", 2, {"a": 1}), "BatchWrite"),
        (lambda agent: agent.set("k0001", 2), "BatchWrite"),
        (lambda agent: agent.add("new", 2), "BatchWrite"),
        (lambda agent: agent.set_many({"known": 1, "k0001": 2, "new": 3}), "BatchWrite"),
        (lambda agent: agent.delete("known"), "Commit"),
    ],
)
def test_a_write_under_a_quota_makes_one_request_more(store, filled, recorder, call, write):
    agent = store.agent(filled.user_id, "limited", quota=datastore.Quota(records=10))
    agent.set("known", 1)
    recorder.clear()
    call(agent)
    assert recorder.requests == ["BatchGetDocuments", write]


def test_a_step_of_a_run_takes_1(agent, recorder):
    run = agent.runs.start("run")
    run.step("first", int)
    recorder.clear()
    for number in range(3):
        run.state["n"] = number
        run.step("step", int)
    assert recorder.requests == ["Commit"] * 3
    recorder.clear()
    agent.runs.due()
    assert recorder.requests == ["RunQuery"]
    recorder.clear()
    run.finish()
    assert len(recorder.requests) <= 6, "entry, head with what follows, hint, lease"
    recorder.clear()
    agent.runs.history("run", limit=3, reverse=True)
    assert recorder.requests == ["BatchGetDocuments", "RunQuery"]


def test_a_log_takes_these(agent, url, recorder):
    def takes(*operations, call):
        recorder.clear()
        call()
        assert recorder.requests == list(operations)

    log = agent.log("events")
    takes("RunQuery", "Commit", call=lambda: log.append(1))
    takes("Commit", call=lambda: log.append(2))
    takes("Commit", call=lambda: log.append(*range(100)))
    takes(*["Commit"] * 3, call=lambda: log.append(*range(201)))
    takes("RunQuery", call=log.read)
    takes("RunQuery", call=log.last)
    assert recorder.handed_over <= 2
    takes("RunQuery", call=lambda: log.read(after=303))
    takes("RunQuery", call=lambda: agent.log("unknown").read(after=3))
    with datastore.connect(url) as other:
        other.agent(agent.user_id, "stranger").log("events").append("other")
    takes("Commit", "BatchGetDocuments", "RunQuery", "BatchGetDocuments", "Commit", call=lambda: log.append("beaten"))
    takes("RunQuery", "RunQuery", "BatchGetDocuments", call=agent.list_logs)
    for number in range(20):
        agent.log(f"log{number:02}").append(1)
    takes("RunQuery", "RunQuery", "RunQuery", "BatchGetDocuments", call=agent.list_logs)


def test_blobs(agent, recorder):
    """A put of N bytes takes 5, and 1 more for each 2 MiB after the first 2."""

    def asked(call):
        recorder.clear()
        call()
        return recorder.requests[:]

    assert {name: asked(call) for name, call in calls_of(agent.blobs).items()} == {
        "put 9 parts": ["BatchGetDocuments", "Commit", "BatchWrite", "Commit", "Commit", "Commit"],
        "put over it": ["BatchGetDocuments", "Commit", "BatchWrite", "Commit", "Commit"],
        "stat": ["BatchGetDocuments"],
        "get": ["BatchGetDocuments"] * 2,
        "open and read": ["BatchGetDocuments"] * 2,
        "list": ["RunQuery"],
        "delete": ["BatchGetDocuments", "Commit", "Commit"],
        "put 9 parts that expire": ["BatchGetDocuments", "Commit", "BatchWrite", "Commit", "Commit", "Commit"],
    }


def test_memory(agent, recorder):
    """A search asks for what it returns, and with it whether that is all."""

    def asked(call):
        recorder.clear()
        call()
        return recorder.requests[:]

    assert {name: asked(call) for name, call in memories.calls_of(agent).items()} == {
        "add": ["Commit", "Commit", "Commit"],
        "search": ["BatchGetDocuments"],
        "search again": ["BatchGetDocuments"],
        "add 20": ["BatchWrite", "Commit", "Commit", "BatchWrite"],
        "search with a filter": ["BatchGetDocuments", "BatchGetDocuments"],
        "edit of the vector": ["BatchGetDocuments", "Commit", "Commit", "Commit", "Commit"],
        "edit of metadata": ["BatchGetDocuments", "BatchGetDocuments", "Commit", "Commit", "Commit", "Commit"],
        "get": ["BatchGetDocuments"],
        "delete": ["BatchGetDocuments", "Commit", "Commit"],
        "embed": ["BatchGetDocuments", "BatchGetDocuments", "Commit", "Commit"],
        "embed again": ["BatchGetDocuments", "BatchGetDocuments", "Commit"],
        "add to a vault": ["Commit", "Commit"],
        "get the vectors of a vault": [
            *["RunQuery", "RunQuery", "BatchGetDocuments", "BatchGetDocuments"],
            *["BatchWrite", "BatchWrite", "Commit"],  # the vectors, the reminder of the first ones, the change
            *["RunQuery", "RunQuery", "BatchWrite"],
        ],
        "get no vectors of a vault": ["RunQuery", "RunQuery"],
        "add in parts": ["Commit", "Commit", "Commit"],
        "search of parts": ["RunQuery", *["BatchGetDocuments"] * 2],  # the namespace has a model and parts since then
        "edit in parts": ["BatchGetDocuments", "BatchGetDocuments", "Commit", "Commit", "Commit", "Commit"],
        "search by words": ["RunQuery", "BatchGetDocuments", "BatchGetDocuments"],
        "search by words again": ["RunQuery", "BatchGetDocuments"],
        "delete of parts": ["BatchGetDocuments", "Commit", "Commit"],
    }


def test_a_purge_of_all_users_takes_what_is_due(store, recorder):
    """However many users have something: the reminders, the marks and the heads of the one, its part, its mark."""

    def asked(others):
        purge = purge_beside(store, others)
        recorder.clear()
        purge()
        return recorder.requests[:]

    looks = ["RunQuery"] * 2 + ["BatchGetDocuments"] * 2
    assert asked(1) == asked(30) == [*looks, "Commit", "Commit", "BatchWrite", "RunQuery"]


def test_leases_runs_and_logs_take_what_their_docstrings_say(agent, other, recorder):
    def count(call):
        recorder.clear()
        call()
        return len(recorder.requests)

    assert durable.beyond(agent, other, count) == {}

"""What a call costs in read and write units: the table of docs/backends/dynamodb.md.

The units are those that ministack counts. It does not count what BatchGetItem reads; that takes as many units as single
reads.
"""

import os
import threading
import zlib
from dataclasses import replace

import pytest
from botocore.awsrequest import AWSResponse

from datastore import DataStore
from datastore_dynamodb.backend import DynamoBackend
from tests.dynamodb.answers import Raw

pytestmark = pytest.mark.server("dynamodb")


@pytest.fixture
def units(client):
    """The units since the last look: ``units()`` returns read and write units."""
    total = {"read": 0.0, "write": 0.0}

    def ask(params, **_):
        params["ReturnConsumedCapacity"] = "TOTAL"

    def note(parsed, model, **_):
        consumed = parsed.get("ConsumedCapacity") or []
        kind = "read" if model.name in ("GetItem", "BatchGetItem", "Query") else "write"
        for one in consumed if isinstance(consumed, list) else [consumed]:
            total[kind] += one["CapacityUnits"]

    for name in ("GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"):
        client.meta.events.register(f"provide-client-params.dynamodb.{name}", ask)
    client.meta.events.register("provide-client-params.dynamodb.TransactWriteItems", ask)
    client.meta.events.register("after-call.dynamodb", note)

    def units():
        found = (total["read"], total["write"])
        total.update(read=0.0, write=0.0)
        return found

    return units


@pytest.fixture
def records(agent, store, units):
    agent.set_many({f"k{i:03}": "x" * 100 for i in range(100)})
    agent.set("described", 1, {"a": 1})
    units()


@pytest.mark.parametrize(
    ("call", "read", "write"),
    [
        (lambda agent: agent.get("k001"), 1, 0),
        (lambda agent: agent.get("missing"), 1, 0),
        (lambda agent: agent.set("new", 1), 0, 1),
        (lambda agent: agent.set("k001", 1), 0, 1),
        (lambda agent: agent.set("described", 2, {"b": 1}), 0, 1),
        (lambda agent: agent.add("new", 1), 0, 1),
        (lambda agent: agent.delete("k001"), 0, 1),
        (lambda agent: agent.increment("counter"), 1, 1),
        (lambda agent: agent.set_many({f"n{i:03}": 1 for i in range(100)}), 0, 200),
        (lambda agent: agent.set("large", "x" * 100_000), 0, 98),
    ],
)
def test_a_call_costs_these_units(agent, records, units, call, read, write):
    call(agent)
    assert units() == (read, write)


PASSES_PER_MINUTE = 20
RECORDS = 1_000


@pytest.fixture
def reads_answered_once(client):
    """The server answers each BatchGetItem once; the same request gets the same answer again, since that is faster."""
    answers = {}
    asked = threading.local()

    def before_send(request, **_):
        asked.body = request.body
        answer = answers.get(request.body)
        if answer is None:
            return None
        return AWSResponse(request.url, 200, {"x-amz-crc32": str(zlib.crc32(answer))}, Raw(answer))

    def after_call(http_response, **_):
        answers[asked.body] = http_response.content

    client.meta.events.register("before-send.dynamodb.BatchGetItem", before_send)
    client.meta.events.register("after-call.dynamodb.BatchGetItem", after_call)


def test_counting_a_working_set_takes_a_tenth_of_its_requests_and_units_at_most(
    store, agent, wire, units, reads_answered_once
):
    """Five minutes: 1,000 records are read with `get_many`, again and again, at the adapter's own rhythm.

    Records of 3 KB are the most expensive: counting one takes 8 units, reading it 1. The minutes are told by the test:
    real ones would only make it slow.
    """
    keys = [f"k{number:04}" for number in range(RECORDS)]
    agent.set_many(dict.fromkeys(keys, "x" * 3000))
    backend = store.backend
    backend.capabilities = replace(DynamoBackend.capabilities, flush_interval=3_600)  # no thread decides this test
    reader = DataStore(backend)  # it is not closed: the fixture closes its backend
    wire.requests.clear()
    units()
    for _ in range(5):
        for _ in range(PASSES_PER_MINUTE):
            reader.agent("u", "a").get_many(keys)
        reader._core.tracker.flush_due()
    _, write_units = units()
    reads = wire.operations.count("BatchGetItem")
    counts = len(wire.operations) - reads
    read_units = 5 * PASSES_PER_MINUTE * RECORDS  # of records of less than 4 KB
    assert reads == 5 * PASSES_PER_MINUTE * RECORDS / 100
    assert [agent.get_record(key).access_count for key in keys[::100]] == [100] * 10
    assert 0 < counts <= 0.02 * reads
    assert 0 < write_units <= 0.1 * read_units


def test_the_rhythm_of_counting_suits_the_price():
    able = DynamoBackend.capabilities
    assert (able.flush_interval, able.max_pending, able.reads_worth_a_write) == (60, 10_000, 100)


@pytest.mark.parametrize("call", [lambda agent: agent.list_keys(), lambda agent: agent.get_all()])
def test_a_listing_costs_a_unit_for_four_kilobytes_together(agent, records, units, call):
    call(agent)
    read, write = units()
    assert read <= 15  # a hundred records of 0.5 KB, where a hundred reads by key would be 100
    assert write == 0


def test_a_split_value_costs_what_its_compressed_size_costs(agent, records, units):
    agent.set("large", os.urandom(495_000).hex())  # two digits a byte: 990 KB, which compress to 560 KB
    read, write = units()
    assert 550 <= write <= 570
    assert read <= 141  # the look at what an earlier crash may have left behind meets the new parts

"""What a call costs in read and write units: the table of docs/backends/dynamodb.md.

The units are those that ministack counts. It does not count what BatchGetItem reads; that takes as many units as single
reads.
"""

import os

import pytest

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

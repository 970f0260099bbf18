"""Tables of another program: refused at connect; and items that one writes into a table of ours."""

from __future__ import annotations

import os

import pytest

import datastore
from datastore import ConfigurationError, DamagedRecordError
from datastore.backend import Delete, Outcome
from datastore.conformance.documents import at
from datastore.conformance.faults import backend_of
from datastore.errors import BatchError
from datastore.ids import encode_key
from tests.dynamodb.tables import make_legacy_table
from tests.moving.test_legacy_format import legacy

pytestmark = pytest.mark.server("dynamodb")

ID = f"u:default:{encode_key('theirs')}"


@pytest.mark.parametrize("key", ["_id", "id"])
def test_a_table_of_records_of_another_program_is_refused_and_the_way_over_named(key):
    url = make_legacy_table([legacy(), {**legacy(key="b"), "id": "b"}] if key == "_id" else [], key)
    table = url.partition("?")[0].removeprefix("dynamodb://")
    with pytest.raises(ConfigurationError, match=f"datastore import-legacy dynamodb://{table}.* SINK_URL"):
        datastore.connect(url)


def test_a_table_of_something_else_is_refused_without_a_way_over():
    with pytest.raises(ConfigurationError, match="belongs to something else") as caught:
        datastore.connect(make_legacy_table([], "invoice"))
    assert "import-legacy" not in str(caught.value)


def test_an_item_of_another_program_is_a_damaged_record_and_stays(store, agent, client, table, items):
    agent.set_many({"own": 1, "other": 2})
    user, _, rest = ID.partition(":")
    theirs = {"pk": {"S": user}, "sk": {"S": rest}, "value": {"S": "theirs"}, "createdAt": {"S": "2026"}}
    client.put_item(TableName=table, Item=theirs)
    for call in (lambda: agent.get("theirs"), lambda: agent.get_record("theirs"), lambda: agent.get_many(["theirs"])):
        with pytest.raises(DamagedRecordError, match=ID):
            call()
    assert agent.get_all() == {"own": 1, "other": 2}
    assert agent.clear() == 2
    agent.set("own", 1)
    assert store.forget(user).records == 1
    assert items() == [theirs]
    assert agent.delete("theirs")
    assert items() == []


@pytest.fixture(params=[{}, {"expiresAt": {"S": at(-60)}}], ids=["", "expired"])
def theirs(request, agent, client, table):
    """An item of another program under a key of ours."""
    user, _, rest = ID.partition(":")
    item = {"pk": {"S": user}, "sk": {"S": rest}, "value": {"S": "theirs"}, **request.param}
    client.put_item(TableName=table, Item=item)
    return item


@pytest.mark.parametrize(
    "call",
    [
        lambda agent: agent.set("theirs", 1),
        lambda agent: agent.set("theirs", 1, {"m": 1}),
        lambda agent: agent.set("theirs", "x" * 400_000),
        lambda agent: agent.set("theirs", 1, ttl=60),
        lambda agent: agent.add("theirs", 1),
        lambda agent: agent.increment("theirs"),
    ],
    ids=["set", "set-metadata", "set-zipped", "set-ttl", "add", "increment"],
)
def test_it_is_not_written_over(agent, items, theirs, call):
    with pytest.raises(DamagedRecordError, match=ID):
        call(agent)
    assert items() == [theirs]


def test_it_is_not_written_over_in_a_batch_that_is_done_but_for_it(agent, items, theirs):
    with pytest.raises(BatchError) as caught:
        agent.set_many({"own": 1, "theirs": 1, "other": 2})
    assert {key: type(error) for key, error in caught.value.failed.items()} == {"theirs": DamagedRecordError}
    assert sorted(item["key"]["S"] for item in items() if item != theirs) == ["other", "own"]
    assert theirs in items()


def test_a_set_of_a_large_value_over_it_leaves_no_parts(agent, items, theirs):
    with pytest.raises(DamagedRecordError):
        agent.set("theirs", os.urandom(495_000).hex())
    assert items() == [theirs]


def test_clearing_a_prefix_leaves_it(agent, items, theirs):
    """It lies in the range of the prefix."""
    agent.set("their own", 1)
    assert agent.clear("thei") == 1
    assert items() == [theirs]


@pytest.mark.parametrize("others", [0, 2])
def test_a_delete_of_what_is_ours_leaves_it(store, agent, items, theirs, others):
    keys = [f"k{number}" for number in range(others)]
    agent.set_many(dict.fromkeys(keys, 1))
    ids = [f"u:default:{encode_key(key)}" for key in keys]
    outcomes = backend_of(store).write([Delete(id, at(1), only_own=True) for id in [ID, *ids]])
    assert outcomes == [Outcome(False), *[Outcome(True)] * others]
    assert items() == [theirs]


def test_a_delete_of_what_is_ours_removes_it_in_one_request(store, agent, wire, items):
    agent.set("theirs", 1)
    wire.requests.clear()
    assert backend_of(store).write([Delete(ID, at(1), only_own=True)]) == [Outcome(True)]
    assert backend_of(store).write([Delete(ID, at(1), only_own=True)]) == [Outcome(False)]
    assert wire.operations == ["DeleteItem"] * 2
    assert items() == []

"""A record knows its last writes and counts, in attributes that nobody else ever sees."""

import pytest

from datastore.adapters.remembering import mark_of
from datastore.conformance.documents import put
from datastore.conformance.faults import backend_of
from datastore_dynamodb.marks import COUNTS, REMEMBERED, WRITES

pytestmark = pytest.mark.server("dynamodb")


def test_the_marks_are_those_of_the_last_writes_the_newest_first(store, items):
    backend = backend_of(store)
    writes = [put("key", number) for number in range(REMEMBERED + 2)]
    for number, write in enumerate(writes, 1):
        assert backend.write([write])[0].done
        (item,) = items()
        expected = [mark_of(one.revision) for one in reversed(writes[:number])][:REMEMBERED]
        assert [item[name]["S"] for name in WRITES] == (expected + ["-"] * REMEMBERED)[:REMEMBERED]


def test_a_record_that_was_written_before_there_were_marks_is_written_and_counted(store, agent, client, table, items):
    agent.set("k", 1, {"m": 1})
    (item,) = items()
    client.put_item(TableName=table, Item={name: one for name, one in item.items() if name not in (*WRITES, *COUNTS)})
    agent.get("k")
    store.flush()
    agent.set("k", 2)
    record = agent.get_record("k")
    assert (record.value, record.metadata, record.access_count) == (2, {"m": 1}, 1)

"""Tables of another program: refused at connect; and items that one writes into a table of ours."""

from __future__ import annotations

import pytest

import datastore
from datastore import ConfigurationError, DamagedRecordError
from datastore.ids import encode_key
from tests.dynamodb.test_moving import make_legacy_table
from tests.moving.test_seed import seed

pytestmark = pytest.mark.server("dynamodb")

ID = f"u:default:{encode_key('theirs')}"


@pytest.mark.parametrize("key", ["_id", "id"])
def test_a_table_of_records_of_another_program_is_refused_and_the_way_over_named(key):
    url = make_legacy_table([seed(), {**seed(key="b"), "id": "b"}] if key == "_id" else [], key)
    table = url.partition("?")[0].removeprefix("dynamodb://")
    with pytest.raises(ConfigurationError, match=f"datastore import-legacy dynamodb://{table}.* TARGET_URL"):
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

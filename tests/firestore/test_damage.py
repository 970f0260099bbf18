"""Documents that another program has written there: each is an error that names it, and harms no other."""

from __future__ import annotations

import pytest
from google.cloud.firestore_v1.types import write

from datastore import DamagedRecordError
from datastore.backend import Fields, IdRange
from datastore.ids import encode_key
from tests.adapters.damage import OTHERS, SECRET, DamagedRecords
from tests.firestore.documents import plant

pytestmark = pytest.mark.server("firestore")

DAMAGE = {
    "no value": {"value": None},
    "bytes": {"value": {"bytes_value": SECRET.encode()}},
    "text that is no JSON": {"value": None, "valueJson": {"string_value": f"{{{SECRET}"}},
    "a number for text": {"value": None, "valueJson": {"integer_value": 5}},
    "no revision": {"revision": None},
    "no id": {"_id": None},
    "another one's id": {"_id": {"string_value": f"u:default:{encode_key('k0')}"}},
    "an id that is a number": {"_id": {"integer_value": 5}},
    "no creation time": {"createdAt": None},
    "text for a time": {"createdAt": {"string_value": SECRET}},
    "a number for a time": {"updatedAt": {"integer_value": 5}},
    "an agent that is a number": {"createdByAgent": {"integer_value": 5}},
    "a last agent that is a number": {"updatedByAgent": {"integer_value": 5}},
    "a count that is text": {"accessCount": {"string_value": SECRET}},
    "metadata that is text": {"metadata": {"string_value": SECRET}},
    "metadata that is no JSON": {"metadata": None, "metadataJson": {"string_value": SECRET}},
}
IN_THE_VALUE = ("no value", "bytes", "text that is no JSON", "a number for text")


class TestDamage(DamagedRecords):
    ways = DAMAGE
    in_the_value = IN_THE_VALUE
    # By the count it tells, without a read, whether there was a document.
    removed_uncounted = ("a count that is text",)

    def plant(self, store, id, change):
        plant(store, id, change)

    def test_a_process_that_has_met_it_removes_it_in_one_request_and_says_so(self, agent, recorder, damage):
        with pytest.raises(DamagedRecordError):
            agent.get_record("bad")
        recorder.clear()
        assert agent.delete("bad") is True
        assert recorder.requests == ["Commit"]
        assert agent.get_all() == OTHERS


@pytest.mark.parametrize("name", ["copy of it", "u:default:z", "u:default:-", "u:zz:a", "a:b:c"])
@pytest.mark.parametrize("page", [1, 2, 3, 10])
def test_a_copy_under_another_name_hides_no_record(store, agent, name, page):
    """As the console makes it: with the id of the one that it was copied from, beside which it is found."""
    agent.set_many(OTHERS)
    connection = store.backend._connection
    prefix = connection._settings.prefix
    source = prefix + f"u:default:{encode_key('k1')}"
    message = write.Write.pb()()
    message.update.CopyFrom(connection.batch_get([source], None)[source])
    message.update.name = prefix + name
    message.update.ClearField("create_time")
    message.update.ClearField("update_time")
    connection.commit([message])
    found, after = [], None
    while True:
        one = store.backend.scan(IdRange("u:default:", "u:default;"), Fields.ALL, page, after, True)
        found += [document.id for document in one.documents]
        if one.after is None:
            break
        assert one.after != after
        after = one.after
    assert found == [f"u:default:{encode_key(key)}" for key in ("k2", "k1", "k0")]

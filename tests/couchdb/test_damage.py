"""Documents that another program has written into the database: each is an error that names it, and harms no other."""

from __future__ import annotations

import json
import re

import pytest

from datastore import DamagedRecordError
from datastore.backend import Touch
from datastore.conformance.documents import at
from datastore.ids import encode_id
from datastore_couchdb import parsing
from tests.adapters.damage import OTHERS, SECRET, DamagedRecords

pytestmark = pytest.mark.server("couchdb")

DAMAGE = {
    "no value": {"value": None},
    "text that is no JSON": {"valueJson": f"{{{SECRET}"},
    "a million digits": {"valueJson": " " + "7" * 1_000_000},
    "an object for text": {"valueJson": {"x": SECRET}},
    "no revision": {"revision": None},
    "no creation time": {"createdAt": None},
    "a time that there is not": {"createdAt": "2026-99-99T99:99:99.000000Z"},
    "a number for a time": {"updatedAt": 5},
    "an agent that is an object": {"createdByAgent": {"x": SECRET}},
    "a count that is text": {"accessCount": SECRET},
    "metadata that is an array": {"metadata": [SECRET]},
}
IN_THE_VALUE = ("no value", "text that is no JSON", "a million digits", "an object for text")


class TestDamage(DamagedRecords):
    ways = DAMAGE
    in_the_value = IN_THE_VALUE
    lists_foreign = True

    def plant(self, store, id, change):
        session = store.backend._session
        document = {"_id": id} | (session.get_document(id) or {}) | change
        for field in [field for field, value in change.items() if value is None]:
            del document[field]
        answers = session.post("_bulk_docs", json.dumps({"docs": [document]}))
        assert "error" not in answers[0], answers


@pytest.mark.parametrize("id", ["u:default:?", "u:default:a:b", "u:broken"])
def test_an_id_that_no_key_has_hides_nothing(store, agent, id):
    agent.set_many(OTHERS)
    agent.use_namespace("zzz").set("k", 1)
    TestDamage().plant(store, id, {"value": SECRET})
    assert sorted(agent.list_keys()) == sorted(OTHERS)
    assert agent.get_all() == OTHERS
    assert agent.list_namespaces() == ["default", "zzz"]
    assert agent.clear() >= 3
    assert agent.list_keys() == []


def test_a_touch_of_a_value_that_cannot_be_read_is_an_error_and_changes_nothing(store, agent, backend):
    """It would have to be written again. What stands beside it in the batch is touched."""
    agent.set_many({"bad": 1, "good": 1})
    TestDamage().plant(store, encode_id("u", "default", "bad"), {"value": 0})

    def with_digits(body):
        """PouchDB Server cannot hold such a number; CouchDB can."""
        return parsing.loads(re.sub(rb'"value": ?0', b'"value":' + b"7" * 4_400, body))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datastore_couchdb.client.loads", with_digits)
        touches = [Touch(encode_id("u", "default", key), at(0), at(60)) for key in ("bad", "good")]
        bad, good = backend.write(touches)
    assert (bad.done, good.done) == (False, True)
    assert isinstance(bad.error, DamagedRecordError)
    assert (agent.get_record("bad").expires_at, agent.get_record("good").expires_at is None) == (None, False)


def test_a_record_in_which_nobody_noted_who_wrote_it_last_says_so(store, agent):
    """An earlier version has written it."""
    agent.set_many({"old": 1, "new": 1})
    TestDamage().plant(store, encode_id("u", "default", "old"), {"updatedByAgent": None})
    assert agent.get_record("old").updated_by_agent is None
    for condition, found in (
        (None, {"old"}),
        ({"$exists": True}, {"old", "new"}),
        ({"$type": "null"}, {"old"}),
        ({"$ne": None}, {"new"}),
        ({"$not": {"$type": "null"}}, {"new"}),
        ("a", {"new"}),
        ({"$ne": "a"}, {"old"}),
    ):
        assert agent.find(meta={"updatedByAgent": condition}).keys() == found, condition

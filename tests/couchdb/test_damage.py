"""Documents that another program has written into the database: each is an error that names it, and harms no other."""

from __future__ import annotations

import json

import pytest

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

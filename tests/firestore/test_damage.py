"""Documents that another program has written there: each is an error that names it, and harms no other."""

from __future__ import annotations

import pytest

from datastore import DamagedRecordError
from tests.adapters.damage import OTHERS, SECRET, DamagedRecords
from tests.firestore.documents import plant

pytestmark = pytest.mark.server("firestore")

DAMAGE = {
    "no value": {"value": None},
    "bytes": {"value": {"bytes_value": SECRET.encode()}},
    "text that is no JSON": {"value": None, "valueJson": {"string_value": f"{{{SECRET}"}},
    "a number for text": {"value": None, "valueJson": {"integer_value": 5}},
    "no revision": {"revision": None},
    "no creation time": {"createdAt": None},
    "text for a time": {"createdAt": {"string_value": SECRET}},
    "a number for a time": {"updatedAt": {"integer_value": 5}},
    "an agent that is a number": {"createdByAgent": {"integer_value": 5}},
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

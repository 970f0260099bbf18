"""Rows that another program has written: each is an error that names it, and harms no other."""

from __future__ import annotations

import pytest

from tests.adapters.damage import SECRET, DamagedRecords

pytestmark = pytest.mark.server("postgresql")

DAMAGE = {
    "no value": {"value": None},
    "text that is no JSON": {"value": None, "valueText": f"{{{SECRET}"},
    "a million digits": {"value": None, "valueText": "7" * 1_000_000},
    "no revision": {"revision": None},
    "no creation time": {"createdAt": None},
    "a time that there is not": {"createdAt": "2026-99-99T99:99:99.000000Z"},
    "a count below zero": {"accessCount": -1},
    "metadata that is a list": {"metadata": f'["{SECRET}"]'},
    "no metadata": {"metadata": None},
    "no token": {"token": None, "updatedAt": None},
}


class TestDamage(DamagedRecords):
    ways = DAMAGE
    in_the_value = ("no value", "text that is no JSON", "a million digits")
    lists_foreign = True

    def plant(self, store, id, change):
        backend = store.backend
        for name, value in change.items():
            backend._session.ask(
                f'UPDATE "{backend._schema}".agent_data_store SET "{name}" = %s WHERE "_id" = %s', (value, id)
            )

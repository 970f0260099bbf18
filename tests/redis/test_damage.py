"""Hashes that another program has written: each is an error that names it, and harms no other."""

from __future__ import annotations

import pytest

from tests.adapters.damage import SECRET, DamagedRecords

pytestmark = pytest.mark.server("redis")

DAMAGE = {
    "no value": {"value": None},
    "text that is no JSON": {"value": f"{{{SECRET}"},
    "no UTF-8": {"value": b'"\xff"'},
    "a million digits": {"value": "7" * 1_000_000},
    "no revision": {"revision": None},
    "no creation time": {"createdAt": None},
    "a time that there is not": {"createdAt": "2026-99-99T99:99:99.000000Z"},
    "a count that is text": {"accessCount": SECRET},
    "metadata that is a list": {"metadata": f'["{SECRET}"]'},
    "no token": {"token": None, "updatedAt": None},
}


class TestDamage(DamagedRecords):
    ways = DAMAGE
    in_the_value = ("no value", "text that is no JSON", "no UTF-8", "a million digits")
    lists_foreign = True

    def plant(self, store, id, change):
        session = store.backend._session
        key = session.names.record(id)
        for name, value in change.items():
            session.ask(("HDEL", key, name) if value is None else ("HSET", key, name, value))

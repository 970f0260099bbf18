"""Items that another program has written into the table: each is an error that names it, and harms no other."""

from __future__ import annotations

import zlib

import pytest

from tests.adapters.damage import SECRET, DamagedRecords

pytestmark = pytest.mark.server("dynamodb")

DAMAGE = {
    "no value": {"value": None},
    "a set": {"value": {"SS": [SECRET]}},
    "bytes": {"value": {"B": SECRET.encode()}},
    "text that is no JSON": {"value": None, "valueJson": {"S": f"{{{SECRET}"}},
    "a million digits": {"value": None, "valueZlib": {"B": zlib.compress(b" " + b"7" * 1_000_000)}},
    "no zlib": {"value": None, "valueZlib": {"B": SECRET.encode()}},
    "a bomb": {"value": None, "valueZlib": {"B": zlib.compress(b" " * 50_000_000)}},
    "missing parts": {"value": None, "valueParts": {"N": "3"}},
    "too many parts": {"value": None, "valueParts": {"N": "1000000000"}},
    "parts that are no number": {"value": None, "valueParts": {"S": SECRET}},
    "no revision": {"revision": None},
    "no creation time": {"createdAt": None},
    "a time that there is not": {"createdAt": {"S": "2026-99-99T99:99:99.000000Z"}},
    "a number for a time": {"updatedAt": {"N": "5"}},
    "an agent that is a map": {"createdByAgent": {"M": {"x": {"S": SECRET}}}},
    "a last writer that is a list": {"updatedByAgent": {"L": [{"S": SECRET}]}},
    "a count that is text": {"accessCount": {"S": SECRET}},
    "metadata that is a list": {"metadata": {"L": [{"S": SECRET}]}},
}
IN_THE_VALUE = (
    "no value", "a set", "bytes", "text that is no JSON", "a million digits", "no zlib", "a bomb", "missing parts",
    "too many parts", "parts that are no number",
)  # fmt: skip


class TestDamage(DamagedRecords):
    ways = DAMAGE
    in_the_value = IN_THE_VALUE

    def plant(self, store, id, change):
        connection = store.backend._connection
        user, _, rest = id.partition(":")
        key, table = {"pk": {"S": user}, "sk": {"S": rest}}, connection.settings.table
        item = connection.client.get_item(TableName=table, Key=key, ConsistentRead=True)["Item"] | change
        connection.client.put_item(
            TableName=table, Item={name: value for name, value in item.items() if value is not None}
        )

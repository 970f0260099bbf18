"""What lies in a row, for who reads it without the store."""

import contextlib
import json
import sqlite3

from datastore_sqlite.schema import TABLE
from tests.sqlite.files import connect


def test_rows_are_readable_with_plain_sqlite(tmp_path):
    with connect(tmp_path / "a.db") as store:
        agent = store.agent("alice", "planner", "trips:2026")
        agent.set("rome", {"title": "Rôma", "days": 3}, {"source": "mail"}, ttl=60)
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as plain:
        plain.row_factory = sqlite3.Row
        row = dict(plain.execute(f"SELECT *, value ->> 'days' AS days FROM {TABLE}").fetchone())
    assert row["_id"] == "alice:trips%3A2026:RaxhOF"
    assert (row["userId"], row["namespace"], row["key"]) == ("alice", "trips:2026", "rome")
    assert row["value"] == '{"title":"Rôma","days":3}'
    assert json.loads(row["metadata"]) == {"source": "mail"}
    assert (row["createdByAgent"], row["accessCount"], row["lastAccessedByAgent"]) == ("planner", 0, None)
    assert row["createdAt"] == row["updatedAt"] < row["expiresAt"]
    assert row["days"] == 3

"""SQLite files with a table that another program has written."""

import json
import sqlite3

from tests.moving.test_legacy_format import legacy

COLUMNS = list(legacy())


def make_table(path, documents, table="agent_data_store", columns=COLUMNS, without_rowid=False):
    with sqlite3.connect(path) as connection:
        names = ", ".join(f'"{name}"' + (" TEXT PRIMARY KEY" if name == "_id" else "") for name in columns)
        connection.execute(f'CREATE TABLE "{table}" ({names}){" WITHOUT ROWID" if without_rowid else ""}')
        for document in documents:
            row = [document.get(name) for name in columns]
            row = [json.dumps(v) if name in ("value", "metadata") else v for name, v in zip(columns, row, strict=True)]
            connection.execute(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(columns))})', row)
    connection.close()

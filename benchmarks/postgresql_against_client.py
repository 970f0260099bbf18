"""The PostgreSQL backend against hand-written psycopg and LangGraph's ``PostgresStore``, on one server in one run.

Run it with ``python benchmarks/postgresql_against_client.py`` (``--help`` lists the options). It starts the tests'
server; ``--url`` names another one, in which schemas are made and removed.

The rows: one `set`, one tracked `get`, `set_many` and `get_many` of 100 keys, and a `find` by a declared index that
returns 10 records; 2,000 keys with JSON values of about 500 bytes, which exist before the clock starts. Everything is
counted in keys per second.

- *ours* runs with its default options, so every `get` is counted. The counts of a turn are written before its clock
  stops (``--uncounted`` turns counting off on our side, as it is on the others).
- *hand-written* is what a careful author would write: one connection in autocommit, without prepared statements, so
  that a pooler may stand between (``--prepared`` prepares them on both sides); one table of ``jsonb`` with the same
  provenance and a new revision with each write,
  batches by ``unnest``, and an index on the expression that is asked for.
- *LangGraph* is ``PostgresStore`` on a connection of its own; its batches are one ``batch()``, its ``search`` filters
  by ``jsonb`` containment.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from langgraph.store.base import GetOp, PutOp
from langgraph.store.postgres import PostgresStore
from measuring import add_clock, console, number, print_environment, sample_value, table, take_turns, verdict
from psycopg.rows import dict_row

import datastore

OURS, HAND_WRITTEN, LANGGRAPH = "ours", "hand-written", "LangGraph"
KEYS, BATCH, FOUND, TARGET = 2_000, 100, 10, 0.9
NAMESPACE = ("u", "default")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", help="a server that is already running: postgresql://user:password@host/database")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--uncounted", action="store_true", help="count no accesses")
    parser.add_argument("--prepared", action="store_true", help="prepare statements, ours and the hand-written ones")
    add_clock(parser)
    arguments = parser.parse_args()
    print_environment("psycopg", "langgraph-checkpoint-postgres")
    url = arguments.url
    if url is None:
        sys.path.insert(0, str(Path(__file__).parent.parent))
        from tests.servers import postgresql as server

        url = server.address()
    options: dict[str, Any] = {"tracking": "off"} if arguments.uncounted else {"flush_interval": 3_600}
    schema = f"benchmark_{uuid.uuid4().hex}"
    connection = psycopg.connect(url, autocommit=True, prepare_threshold=5 if arguments.prepared else None)
    connection.execute(f'CREATE SCHEMA "{schema}_others"')
    peer = psycopg.connect(
        url, autocommit=True, prepare_threshold=None, row_factory=dict_row, options=f"-c search_path={schema}_others"
    )
    store = datastore.connect(f"{url}/{schema}" + ("?prepare=true" if arguments.prepared else ""), **options)
    try:
        contest(arguments, store, HandWritten(connection, f'"{schema}_others".bare'), LangGraph(peer))
    finally:
        store.backend.drop()
        connection.execute(f'DROP SCHEMA "{schema}_others" CASCADE')


class HandWritten:
    """What one would write without this package."""

    def __init__(self, connection: Any, name: str) -> None:
        self.connection = connection
        self.name = name
        connection.execute(
            f"""CREATE TABLE {name} (key text COLLATE "C" PRIMARY KEY, value jsonb NOT NULL, created_at timestamptz,
            created_by text, updated_at timestamptz, revision text)"""
        )
        connection.execute(f"CREATE INDEX ON {name} ((value ->> 'group'), key)")

    def set(self, key: str, value: Any) -> None:
        self.set_many({key: value})

    def set_many(self, items: dict[str, Any]) -> None:
        now = datetime.now(UTC)
        self.connection.execute(
            f"""INSERT INTO {self.name} SELECT key, value::jsonb, %s, 'a', %s, revision
            FROM unnest(%s::text[], %s::text[], %s::text[]) AS given (key, value, revision)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at,
                revision = excluded.revision""",
            (now, now, list(items), [json.dumps(one) for one in items.values()], [uuid.uuid4().hex for _ in items]),
        )

    def get(self, key: str) -> Any:
        return self.connection.execute(f"SELECT value FROM {self.name} WHERE key = %s", (key,)).fetchone()[0]

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        return dict(
            self.connection.execute(f"SELECT key, value FROM {self.name} WHERE key = ANY(%s)", (keys,)).fetchall()
        )

    def find(self, group: str) -> dict[str, Any]:
        statement = f"SELECT key, value FROM {self.name} WHERE value ->> 'group' = %s ORDER BY key"
        return dict(self.connection.execute(statement, (group,)).fetchall())


class LangGraph:
    """LangGraph's store."""

    def __init__(self, connection: Any) -> None:
        self.store = PostgresStore(connection)
        self.store.setup()

    def set(self, key: str, value: Any) -> None:
        self.store.put(NAMESPACE, key, value)

    def set_many(self, items: dict[str, Any]) -> None:
        self.store.batch([PutOp(NAMESPACE, key, value) for key, value in items.items()])

    def get(self, key: str) -> Any:
        item = self.store.get(NAMESPACE, key)
        return None if item is None else item.value

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        found = self.store.batch([GetOp(NAMESPACE, key) for key in keys])
        return {item.key: item.value for item in found}

    def find(self, group: str) -> dict[str, Any]:
        return {one.key: one.value for one in self.store.search(NAMESPACE, filter={"group": group}, limit=1_000)}


def contest(arguments: argparse.Namespace, store: datastore.DataStore, *peers: Any) -> None:
    ours = store.agent("u", "a")
    store.ensure_index(["group"])
    items = {f"key-{n:04}": {**sample_value(n), "group": f"g{n % (KEYS // FOUND)}"} for n in range(KEYS)}
    keys = list(items)
    for side in (ours, *peers):
        for start in range(0, KEYS, BATCH):
            side.set_many({key: items[key] for key in keys[start : start + BATCH]})
    store.backend._session.ask(f'ANALYZE "{store.backend._settings.schema}".agent_data_store')  # type: ignore[attr-defined]  # what autovacuum does
    random.Random(1).shuffle(keys)
    some = [keys[start : start + BATCH] for start in range(0, KEYS, BATCH)]
    groups = [f"g{place}" for place in range(KEYS // FOUND)]

    def turns(call: Callable[[Any], object], over: list[Any], counted: int) -> Callable[[], int]:
        following = itertools.cycle(over)

        def turn() -> int:
            call(next(following))
            return counted

        return turn

    def each(side: Any, find: Callable[[str], Any]) -> dict[str, Callable[[], int]]:
        return {
            "set": turns(lambda key: side.set(key, items[key]), keys, 1),
            "get": turns(side.get, keys, 1),
            "set_many": turns(lambda batch: side.set_many({key: items[key] for key in batch}), some, BATCH),
            "get_many": turns(side.get_many, some, BATCH),
            "find by index": turns(find, groups, FOUND),
        }

    sides = {OURS: each(ours, lambda group: ours.find({"group": group}))}
    sides |= {name: each(side, side.find) for name, side in zip((HAND_WRITTEN, LANGGRAPH), peers, strict=True)}
    for side in peers:
        assert ours.get(keys[0]) == side.get(keys[0])
        assert ours.find({"group": "g1"}) == side.find("g1")
    result = table(
        "keys per second",
        "call",
        *sides,
        f"of {HAND_WRITTEN}",
        "quartiles",
        f">= {TARGET}",
        f"of {LANGGRAPH}",
        "quartiles",
    )
    for name in sides[OURS]:
        rates = take_turns(
            {side: calls[name] for side, calls in sides.items()},
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            settle={OURS: store.flush},
            clock=arguments.clock,
            label=name,
        )
        row = [name, *(number(rates.median(side)) for side in sides)]
        for side in (HAND_WRITTEN, LANGGRAPH):
            low, high = rates.spread(OURS, side)
            row += [f"{rates.ratio(OURS, side):.2f}", f"{low:.2f}-{high:.2f}"]
            if side == HAND_WRITTEN:
                row.append(verdict(rates.ratio(OURS, side) >= TARGET))
        result.add_row(*row)
    console.print(result)


if __name__ == "__main__":
    main()

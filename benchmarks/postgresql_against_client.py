"""The PostgreSQL backend against hand-written psycopg and LangGraph's ``PostgresStore``, on one server in one run.

Run it with ``python benchmarks/postgresql_against_client.py`` (``--help`` lists the options). It starts the tests'
server; ``--url`` names another one, in which schemas are made and removed.

The rows: one `set`, one tracked `get`, `set_many` and `get_many` of 100 keys, and a `find` by a declared index that
returns 10 records; 2,000 keys with JSON values of about 500 bytes, which exist before the clock starts. Everything is
counted in keys per second.

- *ours* runs with its default options, so every `get` is counted. The counts of a turn are written before its clock
  stops (``--uncounted`` turns counting off on both sides that do it).
- *hand-written* does the same useful work in the shortest SQL that does: one statement for each call, which keeps who
  made a record and when, merges metadata, begins anew over a record that has expired, refuses a stale revision if one
  is given, and returns the new one; what has expired is not read; accesses are counted, and written together. Its
  batches go by ``unnest``, and its index is on the expression that is asked for. What it does not do: it does not
  recognise a write that is sent again because its answer was lost, tells types apart only as ``jsonb`` does, and knows
  one user. The target is about this one.
- *bare* is the least that there is: a key and a value, ``INSERT ... ON CONFLICT DO UPDATE``, and ``SELECT``.
- Both are on one connection in autocommit, whose statements are prepared, as ours are (``--unprepared`` prepares none,
  as behind a pooler).

The tests' server waits for no disk (``fsync=off``); on one that does, writes of all sides take a disk's time besides.
- *LangGraph* is ``PostgresStore`` on a connection of its own; its batches are one ``batch()``, its ``search`` filters
  by ``jsonb`` containment. It has no index on the field, and so none to keep up with its writes. It looks at a value
  only to write it as JSON, keeps neither revisions nor who made an item, and writes over whatever somebody else has
  written meanwhile.
- What is written over is equal to what was there. So no side needs new entries in an index where a page has room for
  the new row; ours leaves room (``fillfactor``), the others have PostgreSQL's default.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from langgraph.store.base import GetOp, PutOp
from langgraph.store.postgres import PostgresStore
from measuring import add_clock, console, number, print_environment, sample_value, table, take_turns, verdict
from psycopg.rows import dict_row

import datastore

OURS, HAND_WRITTEN, BARE, LANGGRAPH = "ours", "hand-written", "bare", "LangGraph"
KEYS, BATCH, FOUND, TARGET = 2_000, 100, 10, 0.9
NAMESPACE = ("u", "default")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", help="a server that is already running: postgresql://user:password@host/database")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--uncounted", action="store_true", help="count no accesses")
    parser.add_argument("--unprepared", action="store_true", help="prepare no statements, on no side")
    add_clock(parser)
    parser.add_argument(
        "--both", action="store_true", help="count processor time, of this process and of the server's (Linux)"
    )
    parser.add_argument("--only", nargs="+", metavar="CALL", help="only these rows, such as get_many")
    arguments = parser.parse_args()
    print_environment("psycopg", "langgraph-checkpoint-postgres")
    url = arguments.url
    if url is None:
        sys.path.insert(0, str(Path(__file__).parent.parent))
        from tests.servers import postgresql as server

        url = server.address()
    options: dict[str, Any] = {"tracking": "off"} if arguments.uncounted else {"flush_interval": 3_600}
    schema = f"benchmark_{uuid.uuid4().hex}"
    connection = psycopg.connect(url, autocommit=True, prepare_threshold=None if arguments.unprepared else 2)
    connection.execute(f'CREATE SCHEMA "{schema}_others"')
    peer = psycopg.connect(
        url,
        autocommit=True,
        prepare_threshold=None if arguments.unprepared else 2,
        row_factory=dict_row,
        options=f"-c search_path={schema}_others",
    )
    arguments.connections = connection, peer
    store = datastore.connect(f"{url}/{schema}" + ("?prepare=false" if arguments.unprepared else ""), **options)
    try:
        hand_written = HandWritten(connection, f'"{schema}_others".written', counts=not arguments.uncounted)
        contest(arguments, store, hand_written, Bare(connection, f'"{schema}_others".bare'), LangGraph(peer))
    finally:
        store.backend.drop()
        connection.execute(f'DROP SCHEMA "{schema}_others" CASCADE')


class HandWritten:
    """What one would write without this package, for the same useful work."""

    GIVEN = "key, value, metadata, created_at, created_by, updated_at, updated_by, revision, expires_at"

    def __init__(self, connection: Any, name: str, *, counts: bool) -> None:
        self.connection = connection
        self.accesses: Counter[str] | None = Counter() if counts else None
        connection.execute(
            f"""CREATE TABLE {name} (key text COLLATE "C" PRIMARY KEY, value jsonb NOT NULL, metadata jsonb NOT NULL,
            created_at timestamptz NOT NULL, created_by text NOT NULL, updated_at timestamptz NOT NULL,
            updated_by text NOT NULL, revision text NOT NULL, expires_at timestamptz,
            access_count bigint NOT NULL DEFAULT 0, accessed_at timestamptz, accessed_by text)"""
        )
        connection.execute(f"CREATE INDEX ON {name} ((value ->> 'group'), key)")
        gone = "t.expires_at <= excluded.updated_at"
        over = f"""ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at,
            metadata = CASE WHEN {gone} THEN excluded.metadata ELSE t.metadata || excluded.metadata END,
            created_at = CASE WHEN {gone} THEN excluded.created_at ELSE t.created_at END,
            created_by = CASE WHEN {gone} THEN excluded.created_by ELSE t.created_by END,
            access_count = CASE WHEN {gone} THEN 0 ELSE t.access_count END,
            updated_by = excluded.updated_by, revision = excluded.revision, expires_at = excluded.expires_at"""
        self.put = f"""INSERT INTO {name} AS t ({self.GIVEN})
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) {over}
            WHERE %s::text IS NULL OR t.revision = %s RETURNING revision"""
        self.put_many = f"""INSERT INTO {name} AS t ({self.GIVEN})
            SELECT key, value::jsonb, metadata::jsonb, %s, %s, %s, %s, revision, %s
            FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS given (key, value, metadata, revision)
            {over} RETURNING key, t.revision"""
        live = "(expires_at IS NULL OR expires_at > %s)"
        self.one = f"SELECT value FROM {name} WHERE key = %s AND {live}"
        self.some = f"SELECT key, value FROM {name} WHERE key = ANY(%s) AND {live}"
        self.found = f"SELECT key, value FROM {name} WHERE value ->> 'group' = %s AND {live} ORDER BY key"
        self.count = f"""UPDATE {name} AS t
            SET access_count = t.access_count + number, accessed_at = %s, accessed_by = %s
            FROM unnest(%s::text[], %s::bigint[]) AS given (key, number) WHERE t.key = given.key"""

    def set(self, key: str, value: Any, metadata: Any = None, seen: str | None = None) -> str:
        now, text, revision = datetime.now(UTC), json.dumps(value), uuid.uuid4().hex
        given = (key, text, json.dumps(metadata or {}), now, "a", now, "a", revision, None, seen, seen)
        if self.connection.execute(self.put, given).fetchone() is None:
            raise RuntimeError("the revision is stale")
        return revision

    def set_many(self, items: dict[str, Any]) -> int:
        now, texts = datetime.now(UTC), [json.dumps(one) for one in items.values()]
        given = (now, "a", now, "a", None, list(items), texts, ["{}"] * len(items), [uuid.uuid4().hex for _ in items])
        return len(self.connection.execute(self.put_many, given).fetchall())

    def get(self, key: str) -> Any:
        ((value,),) = self.connection.execute(self.one, (key, datetime.now(UTC))).fetchall()
        self.note((key,))
        return value

    def get_many(self, keys: list[str]) -> dict[str, Any]:
        found = dict(self.connection.execute(self.some, (keys, datetime.now(UTC))).fetchall())
        self.note(found)
        return {key: found[key] for key in keys if key in found}

    def find(self, group: str) -> dict[str, Any]:
        found = dict(self.connection.execute(self.found, (group, datetime.now(UTC))).fetchall())
        self.note(found)
        return found

    def note(self, keys: Iterable[str]) -> None:
        if self.accesses is not None:
            self.accesses.update(iter(keys))  # a mapping would be taken for counts

    def flush(self) -> None:
        if self.accesses:
            given = (datetime.now(UTC), "a", list(self.accesses), list(self.accesses.values()))
            self.connection.execute(self.count, given)
            self.accesses.clear()


class Bare:
    """The least that there is."""

    def __init__(self, connection: Any, name: str) -> None:
        self.connection = connection
        self.name = name
        connection.execute(f'CREATE TABLE {name} (key text COLLATE "C" PRIMARY KEY, value jsonb NOT NULL)')
        connection.execute(f"CREATE INDEX ON {name} ((value ->> 'group'), key)")

    def set(self, key: str, value: Any) -> None:
        statement = f"INSERT INTO {self.name} VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        self.connection.execute(statement, (key, json.dumps(value)))

    def set_many(self, items: dict[str, Any]) -> None:
        self.connection.execute(
            f"""INSERT INTO {self.name} SELECT key, value::jsonb
            FROM unnest(%s::text[], %s::text[]) AS given (key, value)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value""",
            (list(items), [json.dumps(one) for one in items.values()]),
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
    store.backend._session.ask(f'ANALYZE "{store.backend._session.settings.schema}".agent_data_store')  # type: ignore[attr-defined]  # what autovacuum does
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
    others = dict(zip((HAND_WRITTEN, BARE, LANGGRAPH), peers, strict=True))
    sides |= {name: each(side, side.find) for name, side in others.items()}
    for side in peers:
        assert ours.get(keys[0]) == side.get(keys[0])
        assert ours.find({"group": "g1"}) == side.find("g1")
    clock = arguments.clock
    if arguments.both:
        session = store.backend._session  # type: ignore[attr-defined]  # this is PostgreSQL's adapter
        opened, open_one = [*session._idle, *arguments.connections], session.open

        def open_noted() -> Any:
            opened.append(open_one())  # counts are written meanwhile, over a connection of their own
            return opened[-1]

        session.open = open_noted

        def of_both() -> float:
            return time.process_time() + sum(processor_time_of(one.info.backend_pid) for one in opened)

        clock = of_both
    result = table(
        "keys per second",
        "call",
        *sides,
        f"of {HAND_WRITTEN}",
        "quartiles",
        f">= {TARGET}",
        f"of {BARE}",
        f"of {LANGGRAPH}",
        "quartiles",
    )
    for name in arguments.only or sides[OURS]:
        rates = take_turns(
            {side: calls[name] for side, calls in sides.items()},
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            settle={OURS: store.flush, HAND_WRITTEN: others[HAND_WRITTEN].flush},
            clock=clock,
            label=name,
        )
        row = [name, *(number(rates.median(side)) for side in sides)]
        for side in (HAND_WRITTEN, BARE, LANGGRAPH):
            row.append(f"{rates.ratio(OURS, side):.2f}")
            if side != BARE:
                low, high = rates.spread(OURS, side)
                row.append(f"{low:.2f}-{high:.2f}")
            if side == HAND_WRITTEN:
                row.append(verdict(rates.ratio(OURS, side) >= TARGET))
        result.add_row(*row)
    console.print(result)


def processor_time_of(process: int) -> float:
    """Return the seconds of processor time that a process on this machine has taken."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


if __name__ == "__main__":
    main()

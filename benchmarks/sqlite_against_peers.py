"""The SQLite backend against hand-written ``sqlite3``, and against other stores that keep their data in SQLite.

Run it with ``python benchmarks/sqlite_against_peers.py`` (``--help`` lists the options).

Six rows: one `set`, one `get` and `get_many` of 100 keys, these two also without tracking, and `set_many` of 100; 2,000
keys with JSON values of about 500 bytes, which exist before the clock starts. Everything is counted in keys per second.

- *ours* runs with its default options, so every `get` is counted. A turn lasts as long as the default interval between
  two writes of the counts, so that each turn includes one; the remaining counts are written between the turns.
- *hand-written* is what a careful author would write for one table and one thread: one connection with the same
  settings, the same upsert that keeps when and by whom a record was created and how often it was accessed, a new
  revision and time with each write, ``json.dumps`` and ``json.loads``. It counts no accesses.
- *diskcache* gets the Python values and pickles them; a batch is one ``transact()``, and nothing is evicted. Its writes
  survive what ours survive: a write-ahead log with ``synchronous=NORMAL``, both its defaults and ours. It counts no
  accesses then, so its peer is our `get` without tracking.
- *diskcache, counting* keeps the number of accesses of each record (its policy "least-frequently-used"), as a tracked
  `get` of ours does with the agent and the time in addition. It writes each of them at once.
- *py-key-value* is ``DiskStore``, with ``put_many`` and ``get_many``, in one event loop.
- *LangGraph* is ``SqliteStore`` with the write-ahead log on; its batches are one ``batch()``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from diskcache import Cache
from key_value.aio.stores.disk import DiskStore
from langgraph.store.base import GetOp, PutOp
from langgraph.store.sqlite import SqliteStore
from measuring import (
    Rates,
    add_clock,
    console,
    number,
    print_environment,
    sample_value,
    sqlite_settings,
    table,
    take_turns,
    verdict,
    work_directory,
)

import datastore

OURS, HAND_WRITTEN, COUNTING = "ours", "hand-written", "diskcache, counting"
UNTRACKED = ", tracking off"
BATCH = 100
TARGETS = {
    "set": 0.6, "get": 0.6, f"get{UNTRACKED}": 0.7, "set_many": 0.7, "get_many": 0.7, f"get_many{UNTRACKED}": 0.7
}  # fmt: skip
"""The least ratio of our speed to that of hand-written code."""

Items = list[tuple[str, Any]]


class Contestant(ABC):
    """A store, with a method for each of the four calls that makes it for a block of keys."""

    @abstractmethod
    def set(self, items: Items) -> None:
        """Set each item with its own call."""

    @abstractmethod
    def get(self, keys: Sequence[str]) -> Any:
        """Get each key with its own call, and return the last value."""

    @abstractmethod
    def set_many(self, items: Items) -> None:
        """Set all items with one call."""

    @abstractmethod
    def get_many(self, keys: Sequence[str]) -> Any:
        """Get all keys with one call, and return the last value."""

    @abstractmethod
    def close(self) -> None:
        """Release everything."""

    settle: Callable[[], object] = staticmethod(lambda: None)
    """Writes what the calls have deferred; most stores defer nothing."""


class Ours(Contestant):
    def __init__(self, directory: Path, **options: Any) -> None:
        self.path = directory / f"ours{len(options)}.db"
        self._store = datastore.connect(f"sqlite:///{self.path}", **options)
        self._agent = self._store.agent("user", "agent")

    def set(self, items: Items) -> None:
        for key, value in items:
            self._agent.set(key, value)

    def get(self, keys: Sequence[str]) -> Any:
        for key in keys:
            value = self._agent.get(key)
        return value

    def set_many(self, items: Items) -> None:
        self._agent.set_many(items)

    def get_many(self, keys: Sequence[str]) -> Any:
        return self._agent.get_many(keys)[keys[-1]]

    def settle(self) -> None:
        self._store.flush()

    def close(self) -> None:
        self._store.close()


class HandWritten(Contestant):
    _UPSERT = """
        INSERT INTO records (id, userId, namespace, key, createdByAgent, createdAt, updatedAt, revision, value)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET
            updatedAt = excluded.updatedAt, revision = excluded.revision, value = excluded.value"""
    _SELECT = "SELECT value FROM records WHERE id = ?"
    _SELECT_MANY = "SELECT key, value FROM records WHERE id IN ({})"

    def __init__(self, directory: Path, settings: dict[str, Any]) -> None:
        self._connection = sqlite3.connect(directory / "hand-written.db", isolation_level=None)
        for name, value in settings.items():
            self._connection.execute(f"PRAGMA {name} = {value}")
        self._connection.execute(
            """
            CREATE TABLE records (
                id TEXT NOT NULL PRIMARY KEY, userId TEXT NOT NULL, namespace TEXT NOT NULL, key TEXT NOT NULL,
                createdByAgent TEXT NOT NULL, accessCount INTEGER NOT NULL DEFAULT 0, createdAt TEXT NOT NULL,
                updatedAt TEXT NOT NULL, revision TEXT NOT NULL, value TEXT NOT NULL
            )"""
        )

    def set(self, items: Items) -> None:
        execute = self._connection.execute
        for key, value in items:
            now = datetime.now(UTC).isoformat()
            revision = os.urandom(12).hex()
            row = (f"user:default:{key}", "user", "default", key, "agent", now, now, revision, json.dumps(value))
            execute(self._UPSERT, row)

    def get(self, keys: Sequence[str]) -> Any:
        execute = self._connection.execute
        for key in keys:
            row = execute(self._SELECT, (f"user:default:{key}",)).fetchone()
            value = None if row is None else json.loads(row[0])
        return value

    def set_many(self, items: Items) -> None:
        now = datetime.now(UTC).isoformat()
        rows = [
            (
                f"user:default:{key}", "user", "default", key, "agent", now, now, os.urandom(12).hex(),
                json.dumps(value),
            )
            for key, value in items
        ]  # fmt: skip
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(self._UPSERT, rows)
        self._connection.execute("COMMIT")

    def get_many(self, keys: Sequence[str]) -> Any:
        statement = self._SELECT_MANY.format(",".join("?" * len(keys)))
        rows = self._connection.execute(statement, [f"user:default:{key}" for key in keys])
        found = {key: json.loads(value) for key, value in rows}
        return {key: found[key] for key in keys if key in found}[keys[-1]]

    def close(self) -> None:
        self._connection.close()


class DiskCache(Contestant):
    def __init__(self, directory: Path, policy: str) -> None:
        self._cache = Cache(str(directory / f"diskcache-{policy}"), eviction_policy=policy, cull_limit=0)

    def set(self, items: Items) -> None:
        for key, value in items:
            self._cache.set(key, value)

    def get(self, keys: Sequence[str]) -> Any:
        for key in keys:
            value = self._cache.get(key)
        return value

    def set_many(self, items: Items) -> None:
        with self._cache.transact():
            for key, value in items:
                self._cache.set(key, value)

    def get_many(self, keys: Sequence[str]) -> Any:
        with self._cache.transact():
            return {key: self._cache.get(key) for key in keys}[keys[-1]]

    def close(self) -> None:
        self._cache.close()


class PyKeyValue(Contestant):
    def __init__(self, directory: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._store = DiskStore(directory=directory / "py-key-value")

    def set(self, items: Items) -> None:
        async def set() -> None:
            for key, value in items:
                await self._store.put(key, value)

        self._loop.run_until_complete(set())

    def get(self, keys: Sequence[str]) -> Any:
        async def get() -> Any:
            for key in keys:
                value = await self._store.get(key)
            return value

        return self._loop.run_until_complete(get())

    def set_many(self, items: Items) -> None:
        keys, values = zip(*items, strict=True)
        self._loop.run_until_complete(self._store.put_many(keys, values))

    def get_many(self, keys: Sequence[str]) -> Any:
        return self._loop.run_until_complete(self._store.get_many(keys))[-1]

    def close(self) -> None:
        self._loop.run_until_complete(self._store.close())
        self._loop.close()


class LangGraph(Contestant):
    _NAMESPACE = ("user", "default")

    def __init__(self, directory: Path) -> None:
        self._connection = sqlite3.connect(
            directory / "langgraph.db", isolation_level=None, check_same_thread=False, cached_statements=512
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._store = SqliteStore(self._connection)
        self._store.setup()

    def set(self, items: Items) -> None:
        for key, value in items:
            self._store.put(self._NAMESPACE, key, value)

    def get(self, keys: Sequence[str]) -> Any:
        for key in keys:
            item = self._store.get(self._NAMESPACE, key)
        return None if item is None else item.value

    def set_many(self, items: Items) -> None:
        self._store.batch([PutOp(self._NAMESPACE, key, value) for key, value in items])

    def get_many(self, keys: Sequence[str]) -> Any:
        found = self._store.batch([GetOp(self._NAMESPACE, key, refresh_ttl=False) for key in keys])
        return {item.key: item.value for item in found if item is not None}[keys[-1]]

    def close(self) -> None:
        self._connection.close()


def contestants(directory: Path) -> dict[str, Contestant]:
    ours = Ours(directory)
    return {
        OURS: ours,
        OURS + UNTRACKED: Ours(directory, tracking="off"),
        HAND_WRITTEN: HandWritten(directory, sqlite_settings(ours.path)),
        "diskcache": DiskCache(directory, "none"),
        COUNTING: DiskCache(directory, "least-frequently-used"),
        "py-key-value": PyKeyValue(directory),
        "LangGraph": LangGraph(directory),
    }


def measure(
    call: str, all: dict[str, Contestant], items: Items, rounds: int, seconds: float, clock: Callable[[], float]
) -> Rates:
    blocks = _blocks(items, keys_only=call.startswith("get"))
    other = OURS if call.endswith(UNTRACKED) else OURS + UNTRACKED
    all = {name.removesuffix(UNTRACKED): contestant for name, contestant in all.items() if name != other}
    call = call.removesuffix(UNTRACKED)

    def turn(contestant: Contestant) -> int:
        getattr(contestant, call)(next(blocks))
        return BATCH

    return take_turns(
        {name: partial(turn, contestant) for name, contestant in all.items()},
        rounds=rounds,
        seconds=seconds,
        clock=clock,
        settle={name: contestant.settle for name, contestant in all.items()},
        time_settling=False,
        label=call,
    )


def _blocks(items: Items, *, keys_only: bool) -> Iterator[Any]:
    """Return blocks of distinct random keys, or of such keys with the values of other keys."""
    chance = random.Random(0)
    keys, values = zip(*items, strict=True)
    blocks: list[Any] = [chance.sample(keys, BATCH) for _ in range(500)]
    if not keys_only:
        blocks = [list(zip(block, chance.sample(values, BATCH), strict=True)) for block in blocks]
    return itertools.cycle(blocks)


def check(all: dict[str, Contestant], items: Items) -> None:
    """Make sure that every contestant stores and returns the values."""
    keys = [key for key, _ in items[:BATCH]]
    for name, contestant in all.items():
        for set, get in ((contestant.set, contestant.get_many), (contestant.set_many, contestant.get)):
            set(items)
            if get(keys) != dict(items)[keys[-1]]:
                raise AssertionError(f"{name} does not return what was stored")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=1.0, help="the length of a turn")
    parser.add_argument("--directory", type=Path, help="where to put the files, instead of the temporary directory")
    add_clock(parser)
    options = parser.parse_args()

    items: Items = [(f"result-{i:05}", sample_value(i)) for i in range(options.keys)]
    with work_directory(options.directory) as directory:
        all = contestants(directory)
        check(all, items)
        turns = {"rounds": options.rounds, "seconds": options.seconds, "clock": options.clock}
        rates = {call: measure(call, all, items, **turns) for call in TARGETS}
        for contestant in all.values():
            contestant.close()
    report(rates, [name for name in all if name != OURS + UNTRACKED])


def report(rates: dict[str, Rates], names: list[str]) -> None:
    print_environment("diskcache", "py-key-value-aio", "langgraph-checkpoint-sqlite")
    speeds = table("keys per second (median over rounds)", "", *names)
    ratios = table("ours / theirs (median of the rounds' ratios, quartiles)", "", *names[1:], "target", "")
    for call, rate in rates.items():
        speeds.add_row(call, *(number(rate.median(name)) for name in names))
        cells = []
        for name in names[1:]:
            low, high = rate.spread(OURS, name)
            cells.append(f"{rate.ratio(OURS, name):.2f} ({low:.2f}-{high:.2f})")
        peers = [name for name in names[2:] if call.endswith(UNTRACKED) or name != "diskcache" or "set" in call]
        met = rate.ratio(OURS, HAND_WRITTEN) >= TARGETS[call] and all(rate.ratio(OURS, name) > 1 for name in peers)
        ratios.add_row(call, *cells, f">= {TARGETS[call]}, ahead", verdict(met))
    console.print(speeds, ratios)


if __name__ == "__main__":
    main()

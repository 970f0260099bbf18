"""Memory by meaning on SQLite against two things by hand: numpy alone, and numpy with sqlite3.

    python benchmarks/similar.py [--records 1000 10000 100000] [--rounds 11] [--seconds 0.5] [--processor-time]

Vectors have 384 dimensions. *numpy* is the limit: a matrix of float32 in memory, whose lengths are known, its product
with the query, and the ten nearest. No database is asked, nothing is stored, and keys are numbers. *numpy and sqlite3*
does by hand what a search has to do beside that, in one statement: it asks a table whether any process has changed
something, and reads the ten records, which it decodes. That is the floor of what this can take. With the filter, which
1 % of the records match, it finds these by an index first. *Add and search* is one record added, one search, which must
find it, and its removal. Opening is the first search of a new store, which reads all vectors. *Other records* are read
and written in another namespace of that store, and of one that has the same records without vectors.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import time
from itertools import count, cycle
from pathlib import Path
from typing import Any

import measuring
import numpy as np

import datastore

DIMENSIONS, NEAREST, TOGETHER = 384, 10, 1_000
SEARCH_TARGET = 1.5
"""How many times as long as by hand a search may take, with 10,000 records and more."""
OPENING_TARGET = 3.0
"""Seconds in which 100,000 records can be searched after the store was opened."""


NUMPY, BOTH = "numpy", "numpy and sqlite3"


class ByHand:
    """What one would write without a store: a table of records, a table of changes, and a matrix."""

    def __init__(self, path: Path, vectors: Any) -> None:
        self._vectors, self._inverse = vectors, 1 / np.linalg.norm(vectors, axis=1)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("CREATE TABLE records (key TEXT PRIMARY KEY, place INTEGER, part INTEGER, json TEXT)")
        self._connection.execute("CREATE TABLE changes (number INTEGER PRIMARY KEY)")
        rows = [
            (f"k{number:07}", number, number % 100, json.dumps({"text": f"text {number}", "part": number % 100}))
            for number in range(len(vectors))
        ]
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
        self._connection.execute("COMMIT")
        self._connection.execute("CREATE INDEX parts ON records (part, place)")
        self._keys = [row[0] for row in rows]

    def search(self, query: Any, part: int | None = None) -> list[Any]:
        """Return the nearest records, of a part if it is given."""
        execute = self._connection.execute
        if part is None:
            scores = (self._vectors @ query) * self._inverse
            nearest = np.argpartition(-scores, NEAREST)[:NEAREST]
            nearest = nearest[np.argsort(-scores[nearest])]
        else:
            rows = execute("SELECT place FROM records WHERE part = ?", (part,)).fetchall()
            places = np.array([place for (place,) in rows])
            scores = (self._vectors[places] @ query) * self._inverse[places]
            nearest = places[np.argsort(-scores)[:NEAREST]]
        keys = [self._keys[place] for place in nearest.tolist()]
        statement = f"SELECT key, json FROM records WHERE key IN ({','.join('?' * len(keys))})"
        found = dict(execute(f"SELECT 'changes', max(number) FROM changes UNION ALL {statement}", keys))
        assert found["changes"] is None
        return [json.loads(found[key]) for key in keys]


def fill(url: str, vectors: Any) -> float:
    """Store a record for each vector, and return the seconds that it took."""
    began = time.perf_counter()
    with datastore.connect(url, max_seconds=600) as store:
        memory = store.agent("user", "agent").memory
        for start in range(0, len(vectors), TOGETHER):
            items = [
                datastore.Item(f"k{number:07}", {"text": f"text {number}", "part": number % 100})
                for number in range(start, min(start + TOGETHER, len(vectors)))
            ]
            memory.add_many(items, vectors=vectors[start : start + TOGETHER])
        store.ensure_index(["part"])
    return time.perf_counter() - began


def others(memory: datastore.Memory, stores: list[datastore.DataStore], options: argparse.Namespace) -> list[str]:
    """Return how many times as long other records take beside vectors, with all of these in memory."""
    beside, alone = (store.agent("user", "agent", "other") for store in stores)
    keys = [f"k{number:04}" for number in range(1_000)]
    for agent in (beside, alone):
        agent.set_many({key: {"text": "some text"} for key in keys})
    next_key = cycle(keys).__next__
    memory.search([1.0] * DIMENSIONS, 1)

    def calls(agent: datastore.AgentDataStore) -> dict[str, measuring.Turn]:
        return {
            "read": lambda: len(agent.get(next_key(), {})),
            "written": lambda: len(agent.set(next_key(), {"text": "some text"})[:1]),
        }

    rates = measuring.take_turns(
        {f"{what} {where}": call for where, agent in (("alone", alone), ("beside", beside))
         for what, call in calls(agent).items()},
        rounds=options.rounds, seconds=options.seconds, clock=options.clock, label="other records",
    )  # fmt: skip
    return [
        f"{what} in {rates.ratio(f'{what} alone', f'{what} beside'):.2f} "
        f"({' to '.join(f'{one:.2f}' for one in rates.spread(f'{what} alone', f'{what} beside'))})"
        for what in ("read", "written")
    ]


def measure(number: int, folder: Path, options: argparse.Namespace) -> None:
    """Measure with a number of records, and print."""
    chance = np.random.default_rng(number)
    vectors = chance.standard_normal((number, DIMENSIONS)).astype(np.float32)
    inverse = 1 / np.linalg.norm(vectors, axis=1)
    query = chance.standard_normal(DIMENSIONS).astype(np.float32)
    url, new = f"sqlite:///{folder}/{number}.db", count()
    hand = ByHand(folder / f"{number}-by-hand.db", vectors)
    seconds = fill(url, vectors)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with datastore.connect(url, max_seconds=600) as store:
        memory = store.agent("user", "agent").memory
        began = options.clock()
        found = memory.search(query, NEAREST)
        opening = options.clock() - began
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

        def by_hand() -> Any:
            scores = (vectors @ query) * inverse
            nearest = np.argpartition(-scores, NEAREST)[:NEAREST]
            return nearest[np.argsort(-scores[nearest])]

        assert [one.key for one in found] == [f"k{place:07}" for place in by_hand()]

        def add_and_search() -> int:
            vector = query + chance.standard_normal(DIMENSIONS).astype(np.float32) / 100
            key = f"new{next(new)}"
            memory.add("x", key=key, vector=vector)
            assert memory.search(vector, 1)[0].key == key
            memory.delete(key)
            return 1

        rates = measuring.take_turns(
            {
                NUMPY: lambda: len(by_hand()) // NEAREST,
                BOTH: lambda: len(hand.search(query)) // NEAREST,
                f"{BOTH}, with a filter": lambda: len(hand.search(query, 7)) // NEAREST,
                "search": lambda: len(memory.search(query, NEAREST)) // NEAREST,
                "search with a filter": lambda: len(memory.search(query, NEAREST, filter={"part": 7})) // NEAREST,
                "add and search": add_and_search,
            },
            rounds=options.rounds, seconds=options.seconds, clock=options.clock, label=f"{number:,} records",
        )  # fmt: skip
        with datastore.connect(f"sqlite:///{folder}/{number}-plain.db", max_seconds=600) as plain:
            plain.agent("user", "agent").set_many(
                {f"k{one:07}": {"text": f"text {one}", "part": one % 100} for one in range(number)}
            )
            plain.ensure_index(["part"])  # which each write of a record keeps, whatever its namespace
            slowed = others(memory, [store, plain], options)
    result = measuring.table(f"memory: {number:,} records", "", "ms", "times numpy", "quartiles", "target", "")
    for call in (NUMPY, BOTH, "search", f"{BOTH}, with a filter", "search with a filter", "add and search"):
        ratio, (low, high) = rates.ratio(NUMPY, call), rates.spread(NUMPY, call)
        has_target = call == "search" and number >= 10_000
        result.add_row(
            call, f"{1e3 / rates.median(call):.3f}", f"{ratio:.2f}", f"{low:.2f} to {high:.2f}",
            f"{SEARCH_TARGET}" if has_target else "", measuring.verdict(ratio <= SEARCH_TARGET) if has_target else "",
        )  # fmt: skip
    measuring.console.print(result)
    measuring.console.print(
        f"stored in {seconds:.1f} s; first search after opening {opening:.2f} s"
        + (f" (target {OPENING_TARGET} {measuring.verdict(opening <= OPENING_TARGET)})" if number == 100_000 else "")
        + f", memory grown by {grown / 1024:.0f} MB; other records, times as long as without vectors: "
        + f"{', '.join(slowed)}; load {os.getloadavg()[0]:.1f}",
        highlight=False,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=0.5, help="the length of a turn")
    measuring.add_clock(parser)
    options = parser.parse_args()
    measuring.print_environment()
    with measuring.work_directory() as folder:
        for number in options.records:
            measure(number, folder, options)


if __name__ == "__main__":
    main()

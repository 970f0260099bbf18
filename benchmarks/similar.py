"""Memory by meaning on SQLite against numpy by hand, the limit: the product of one matrix, and the ten nearest.

    python benchmarks/similar.py [--records 1000 10000 100000] [--rounds 11] [--seconds 0.5] [--processor-time]

Vectors have 384 dimensions. *By hand* is a matrix of float32 in memory, whose lengths are known: no database is asked,
nothing is stored, and keys are numbers. The search of the store asks the database twice each time (for what is new, and
for the ten records), and compares the candidates again in float64. The filter matches 1 % of the records by a declared
index. *Add and search* is one record added and one search, which must find it. Opening is the first search of a new
store, which reads all vectors.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from itertools import count
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


def measure(number: int, folder: Path, options: argparse.Namespace) -> None:
    """Measure with a number of records, and print."""
    chance = np.random.default_rng(number)
    vectors = chance.standard_normal((number, DIMENSIONS)).astype(np.float32)
    inverse = 1 / np.linalg.norm(vectors, axis=1)
    query = chance.standard_normal(DIMENSIONS).astype(np.float32)
    url, new = f"sqlite:///{folder}/{number}.db", count()
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
            key = f"new{next(new)}"
            memory.add("x", key=key, vector=query)
            assert len(memory.search(query, NEAREST)) == NEAREST
            return 1

        rates = measuring.take_turns(
            {
                "by hand": lambda: len(by_hand()) // NEAREST,
                "search": lambda: len(memory.search(query, NEAREST)) // NEAREST,
                "search with a filter": lambda: len(memory.search(query, NEAREST, filter={"part": 7})) // NEAREST,
                "add and search": add_and_search,
            },
            rounds=options.rounds, seconds=options.seconds, clock=options.clock, label=f"{number:,} records",
        )  # fmt: skip
    result = measuring.table(f"memory: {number:,} records", "", "ms", "times by hand", "quartiles", "target", "")
    for call in ("by hand", "search", "search with a filter", "add and search"):
        ratio, (low, high) = rates.ratio("by hand", call), rates.spread("by hand", call)
        has_target = call == "search" and number >= 10_000
        result.add_row(
            call, f"{1e3 / rates.median(call):.3f}", f"{ratio:.2f}", f"{low:.2f} to {high:.2f}",
            f"{SEARCH_TARGET}" if has_target else "", measuring.verdict(ratio <= SEARCH_TARGET) if has_target else "",
        )  # fmt: skip
    measuring.console.print(result)
    measuring.console.print(
        f"stored in {seconds:.1f} s; first search after opening {opening:.2f} s"
        + (f" (target {OPENING_TARGET} {measuring.verdict(opening <= OPENING_TARGET)})" if number == 100_000 else "")
        + f", memory grown by {grown / 1024:.0f} MB; load {os.getloadavg()[0]:.1f}",
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

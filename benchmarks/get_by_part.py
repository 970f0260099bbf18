"""What a `get` on SQLite is made of, and what diskcache's is: microseconds of processor time.

    python benchmarks/get_by_part.py [--seconds 20]

2,000 records of about 500 bytes, of which 50 are read again and again. Everything takes turns in one process, in small
blocks of which the least counts, so that what else runs on the machine hardly shows; the ratio of diskcache's time to
ours is that of the least blocks, and its quartiles are those of the blocks that were measured side by side.

*Tracked* is without the writing of the counts, which another thread does once a second. The parts are what any code
would have to do that reads the same row: what is left is what the store does beside that.
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
import sqlite3
import statistics
from collections.abc import Callable
from typing import Any

import orjson
from diskcache import Cache
from measuring import console, least_of_blocks, print_environment, sample_value, table, verdict, work_directory

import datastore
from datastore.ids import encode_key

RECORDS, KEYS, TARGET = 2_000, 50, 1.15
UNTRACKED, TRACKED, DISKCACHE = "get, tracking off", "get, tracked", "diskcache's get"
ROW, NAMING, DECODING = "bare sqlite3, our row", "encoding the key", "orjson.loads"
_THEIRS = (
    "SELECT rowid, store_time, expire_time, tag, mode, filename, value FROM Cache "
    "WHERE key = ? AND raw = ? AND (expire_time IS NULL OR expire_time > ?)"
)
_OURS = "SELECT createdAt, revision, expiresAt, value FROM agent_data_store WHERE _id = ?"

Block = Callable[[], object]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long it takes altogether")
    options = parser.parse_args()
    values = {f"result-{place:05}": sample_value(place) for place in range(RECORDS)}
    keys = random.Random(0).sample(list(values), KEYS)
    with work_directory() as directory:
        url = f"sqlite:///{directory}/ours.db"
        cache = Cache(str(directory / "cache"), eviction_policy="none", cull_limit=0)
        quiet: dict[str, Any] = {"flush_interval": 600, "max_pending": 10_000_000}
        with datastore.connect(url, tracking="off") as off, datastore.connect(url, **quiet) as on:
            untracked, tracked = off.agent("user", "agent"), on.agent("user", "agent")
            untracked.set_many(values)
            for key, value in values.items():
                cache.set(key, value)
            mine = sqlite3.connect(directory / "ours.db", isolation_level=None)
            theirs = sqlite3.connect(directory / "cache" / "cache.db", isolation_level=None)
            ids = [f"user:default:{encode_key(key)}" for key in keys]
            texts = [mine.execute(_OURS, (id,)).fetchone()[-1] for id in ids]
            pickled = [pickle.dumps(values[key], protocol=5) for key in keys]
            value_alone = "SELECT value FROM agent_data_store WHERE _id = ?"
            blocks: dict[str, Block] = {
                UNTRACKED: lambda: [untracked.get(key) for key in keys],
                TRACKED: lambda: [tracked.get(key) for key in keys],
                DISKCACHE: lambda: [cache.get(key) for key in keys],
                ROW: lambda: [mine.execute(_OURS, (id,)).fetchone() for id in ids],
                "bare sqlite3, its value alone": lambda: [mine.execute(value_alone, (id,)).fetchone() for id in ids],
                "bare sqlite3, no such row": lambda: [mine.execute(_OURS, ("x",)).fetchone() for _ in ids],
                "bare sqlite3, SELECT 1": lambda: [mine.execute("SELECT 1").fetchone() for _ in ids],
                NAMING: lambda: [encode_key(key) for key in keys],
                DECODING: lambda: [orjson.loads(text) for text in texts],
                "json.loads": lambda: [json.loads(text) for text in texts],
                "bare sqlite3, diskcache's row": lambda: [
                    theirs.execute(_THEIRS, (key, True, 1.8e9)).fetchone() for key in keys
                ],
                "pickle.loads": lambda: [pickle.loads(one) for one in pickled],
            }
            assert untracked.get(keys[0]) == tracked.get(keys[0]) == cache.get(keys[0])
            report(least_of_blocks(blocks, options.seconds, KEYS))
            mine.close()
            theirs.close()
        cache.close()


def report(taken: dict[str, list[float]]) -> None:
    """Print the tables."""
    print_environment("diskcache")
    least = {name: min(times) for name, times in taken.items()}
    parts = table("microseconds a call", "", "least", "median")
    for name, times in taken.items():
        parts.add_row(name, f"{least[name]:.2f}", f"{statistics.median(times):.2f}")
    bare = least[ROW] + least[NAMING] + least[DECODING]
    parts.add_row("what the store does beside its three parts", f"{least[UNTRACKED] - bare:.2f}", "")
    parts.add_row(f"what it may do for {TARGET} of diskcache", f"{least[DISKCACHE] / TARGET - bare:.2f}", "")
    ratios = table("diskcache's time / ours", "", "of the least", "median", "quartiles", "target", "")
    for name in (UNTRACKED, TRACKED):
        each = [theirs / ours for theirs, ours in zip(taken[DISKCACHE], taken[name], strict=True)]
        low, middle, high = statistics.quantiles(each, n=4, method="inclusive")
        ratio = least[DISKCACHE] / least[name]
        ratios.add_row(
            name, f"{ratio:.2f}", f"{middle:.2f}", f"{low:.2f}-{high:.2f}", f"{TARGET}", verdict(ratio >= TARGET)
        )
    console.print(parts, ratios)


if __name__ == "__main__":
    main()

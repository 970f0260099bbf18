"""Ordered logs on SQLite against a table for the purpose, written by hand with ``sqlite3`` and ``json``.

    python benchmarks/logs.py [--rounds 11] [--records 10000] [--seconds 0.3]

Both have a file of their own, with the same settings of SQLite, and take turns in one process. The table has what an
entry has: a number, the value, who appended it and when. Its appends are one statement in a transaction of their own,
as those of a log are; *together* are 100 entries in one call. The end of a log of 10,000 entries is read, and a page of
100 in its middle. What was appended together is one record: so the last of 100 costs as much as all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import measuring

import datastore

TOGETHER = 100
TARGETS = {"append": 3.0, "append 100 together": 1.5, "last": 3.0, "last of 100 together": 25.0, "read 100": 2.0}
"""Each operation, and how many times as long as by hand it may take."""


class ByHand:
    """A log as a program would write it for itself."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        for name, value in settings.items():
            self._connection.execute(f"PRAGMA {name} = {value}")
        self._connection.execute(
            "CREATE TABLE log (number INTEGER PRIMARY KEY AUTOINCREMENT, value TEXT NOT NULL, agent TEXT, at TEXT)"
        )

    def append(self, *values: Any) -> int:
        at = datetime.now(UTC).isoformat()
        rows = [(json.dumps(value), "agent", at) for value in values]
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO log (value, agent, at) VALUES (?, ?, ?)", rows)
        self._connection.execute("COMMIT")
        return len(rows)

    def read(self, after: int, limit: int) -> int:
        sql = "SELECT number, value, agent, at FROM log WHERE number > ? ORDER BY number LIMIT ?"
        return self._made(self._connection.execute(sql, (after, limit)))

    def last(self) -> int:
        return self._made(
            self._connection.execute("SELECT number, value, agent, at FROM log ORDER BY number DESC LIMIT 1")
        )

    def _made(self, rows: sqlite3.Cursor) -> int:
        return len([(n, json.loads(value), agent, datetime.fromisoformat(at)) for n, value, agent, at in rows])


def turns(log: datastore.Log, other: datastore.Log, hand: ByHand, middle: int) -> dict[str, Callable[[], int]]:
    """Return what each does, by operation; those of the table have ``by hand`` in their names."""
    value = measuring.sample_value(1)
    return {
        "append": lambda: len([log.append(value) for _ in range(20)]),
        "append by hand": lambda: sum(hand.append(value) for _ in range(20)),
        "append 100 together": lambda: len([other.append(*[value] * TOGETHER)]) * TOGETHER,
        "last of 100 together": lambda: sum(len(other.last()) for _ in range(20)),
        "append 100 together by hand": lambda: hand.append(*[value] * TOGETHER),
        "last": lambda: sum(len(log.last()) for _ in range(20)),
        "last by hand": lambda: sum(hand.last() for _ in range(20)),
        "last of 100 together by hand": lambda: sum(hand.last() for _ in range(20)),
        "read 100": lambda: len(log.read(after=middle, limit=TOGETHER)),
        "read 100 by hand": lambda: hand.read(middle, TOGETHER),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=0.3, help="the length of a turn")
    options = parser.parse_args()
    measuring.print_environment()
    with measuring.work_directory() as folder, datastore.connect(f"sqlite:///{folder}/log.db") as store:
        log = store.agent("user", "agent").log("events")
        other = store.agent("user", "agent").log("appended together")
        log.append(0)
        hand = ByHand(folder / "hand.db", measuring.sqlite_settings(folder / "log.db"))
        for number in range(options.records):
            log.append(measuring.sample_value(number))
            hand.append(measuring.sample_value(number))
        contestants = turns(log, other, hand, options.records // 2)
        rates = measuring.take_turns(
            contestants, rounds=options.rounds, seconds=options.seconds, clock=time.process_time, label="logs"
        )
    result = measuring.table(
        "ordered logs: processor time of an entry", "", "us", "by hand", "times as long", "quartiles", "target", ""
    )
    for call, target in TARGETS.items():
        by_hand = f"{call} by hand"
        ratio, (low, high) = rates.ratio(by_hand, call), rates.spread(by_hand, call)
        result.add_row(
            call, f"{1e6 / rates.median(call):.2f}", f"{1e6 / rates.median(by_hand):.2f}", f"{ratio:.2f}",
            f"{low:.2f} to {high:.2f}", f"{target}", measuring.verdict(ratio <= target),
        )  # fmt: skip
    measuring.console.print(result)
    measuring.console.print(f"load at the end {os.getloadavg()[0]:.1f}", highlight=False)


if __name__ == "__main__":
    main()

"""Listings on SQLite, per record, against loops over the same rows written by hand with ``sqlite3`` and ``json``.

    python benchmarks/listings.py [--records 10000] [--rounds 21] [--profile DIRECTORY]

Both sides read the same file, take turns in one process, and are measured in processor time, so that other programs on
the machine disturb both alike. Access counting is off, except for `get_all`, whose values count as read on our side.

The hand-written loops are the least that somebody would write: ``key`` and ``value`` decoded with ``json`` for records
and values, ``key`` for keys. *Whole rows* decodes what a record holds: all columns, and the metadata. It checks
nothing, and makes neither objects nor times of it.

To compare two versions, run it once with each of them on ``PYTHONPATH``: the ratios to the hand-written loops are what
can be compared. Profiles are written by `profiles.py`.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import measuring

import datastore

RECORDS, VALUES, KEYS, WHOLE = "key and value", "dict of values", "keys", "whole rows"
TARGETS = {
    "iter_records": (RECORDS, 2.2),
    "iter_records, backward": (RECORDS, 2.2),
    "scan": (RECORDS, 2.2),
    "get_all": (VALUES, 1.6),
    "list_keys": (KEYS, 2.5),
}
"""What each call is compared with, and how many times as long it may take."""


def value_of(number: int) -> dict[str, Any]:
    return {"number": number, "title": f"Result {number}", "done": number % 2 == 0, "score": number / 7}


def fill(path: Path, records: int, *, together: bool) -> None:
    """Store records: all in one call, so that they share their times, or each in its own, some with metadata."""
    with datastore.connect(f"sqlite:///{path}", tracking="off") as store:
        agent = store.agent("user", "agent", "notes")
        if together:
            agent.set_many({f"result-{number:07}": value_of(number) for number in range(records)})
        else:
            for number in range(records):
                metadata = {"source": "crawler"} if number % 2 else None
                agent.set(f"result-{number:07}", value_of(number), metadata)
        store.ensure_index(["number"])


class ByHand:
    _ROWS = "FROM agent_data_store WHERE _id >= ? AND _id < ? ORDER BY _id"
    _RANGE = ("user:notes:", "user:notes;")

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def records(self) -> int:
        number = 0
        for _, value in self._connection.execute(f"SELECT key, value {self._ROWS}", self._RANGE):
            json.loads(value)
            number += 1
        return number

    def whole(self) -> int:
        number = 0
        for row in self._connection.execute(f"SELECT *, metadata, value {self._ROWS}", self._RANGE):
            json.loads(row[-1])
            json.loads(row[-2])
            number += 1
        return number

    def values(self) -> int:
        rows = self._connection.execute(f"SELECT key, value {self._ROWS}", self._RANGE)
        return len({key: json.loads(value) for key, value in rows})

    def keys(self) -> int:
        return len([key for (key,) in self._connection.execute(f"SELECT key {self._ROWS}", self._RANGE)])


def turns(path: Path, store: datastore.DataStore, counting: datastore.DataStore) -> dict[str, measuring.Turn]:
    agent, counted = store.agent("user", "agent", "notes"), counting.agent("user", "agent", "notes")
    hand = ByHand(path)
    return {
        RECORDS: hand.records,
        VALUES: hand.values,
        KEYS: hand.keys,
        WHOLE: hand.whole,
        "iter_records": lambda: sum(1 for _ in agent.iter_records()),
        "iter_records, backward": lambda: sum(1 for _ in agent.iter_records(reverse=True)),
        "scan": lambda: len(agent.scan().records),
        "get_all": lambda: len(counted.get_all()),
        "list_keys": lambda: len(agent.list_keys()),
    }


def report(title: str, rates: measuring.Rates) -> None:
    result = measuring.table(
        title, "", "us a record", "by hand", "times as long", "quartiles", "target", "", "of whole rows"
    )
    for call, (other, target) in TARGETS.items():
        ratio, (low, high) = rates.ratio(other, call), rates.spread(other, call)
        result.add_row(
            call, f"{1e6 / rates.median(call):.2f}", f"{1e6 / rates.median(other):.2f}", f"{ratio:.2f}",
            f"{low:.2f} to {high:.2f}", f"{target}", measuring.verdict(ratio <= target),
            f"{rates.ratio(WHOLE, call):.2f}" if other == RECORDS else "",
        )  # fmt: skip
    measuring.console.print(result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--seconds", type=float, default=0.1, help="the length of a turn, which lists at least once")
    options = parser.parse_args()
    measuring.print_environment()
    with measuring.work_directory() as directory:
        for title, together in (("written in one call", True), ("each written in its own call", False)):
            path = directory / f"{together}.db"
            fill(path, options.records, together=together)
            with (
                datastore.connect(f"sqlite:///{path}", tracking="off") as store,
                datastore.connect(f"sqlite:///{path}") as counting,
            ):
                rates = measuring.take_turns(
                    turns(path, store, counting), rounds=options.rounds, seconds=options.seconds,
                    clock=time.process_time, settle={"get_all": counting.flush}, time_settling=False, label=title,
                )  # fmt: skip
            report(f"{options.records:,} records, {title}: processor time", rates)


if __name__ == "__main__":
    main()

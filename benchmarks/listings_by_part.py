"""What a record costs in `scan`, `iter_records`, `get_all`, `list_keys` on SQLite, part by part, and the least it can.

    python benchmarks/listings_by_part.py [--seconds 30] [--records 400]

Everything takes turns in one process, in blocks of one listing of which the least counts, so that what else runs on the
machine hardly shows. The parts are measured on the store's own file, with the store's own statements, on a bare
connection:

- *rows*: the statement with the columns that the call needs, and its rows;
- *values*: ``orjson.loads`` of each value; *keys*: `datastore.ids.decode_keys`;
- *records*: `datastore.record.to_records`, which parses times and makes a `Record` of each document;
- *floor*: the parts of a call together, with what nobody could leave out and nothing that looks whether it is right.
"""

from __future__ import annotations

import argparse
import sqlite3
from collections import deque
from collections.abc import Callable

import orjson
from listings import fill
from measuring import console, least_of_blocks, print_environment, table, verdict, work_directory

import datastore
from datastore.backend import Fields
from datastore.ids import decode_keys
from datastore.record import to_records
from datastore_sqlite.codec import DOCUMENTS
from datastore_sqlite.statements import SCAN

PREFIX = "user:notes:"
RANGE = (PREFIX, "user:notes;", 10_000)
PARTS = {
    "scan": (7.0, ("whole rows", "values", "records")),
    "iter_records": (7.0, ("whole rows", "values", "records")),
    "get_all": (5.0, ("rows with value", "values", "keys")),
    "list_keys": (1.5, ("rows of ids", "keys")),
}
"""For each call its target in microseconds a record, and its parts."""


def blocks_of(
    agent: datastore.AgentDataStore, counted: datastore.AgentDataStore, bare: sqlite3.Connection
) -> dict[str, Callable[[], object]]:
    """Return the blocks to measure."""
    rows = bare.execute(SCAN[Fields.ALL], RANGE).fetchall()
    texts = [row[4] for row in rows]
    encoded = [row[0].removeprefix(PREFIX) for row in rows]
    documents = DOCUMENTS[Fields.ALL](rows)
    hand = "SELECT key, value FROM agent_data_store WHERE _id >= ? AND _id < ? ORDER BY _id LIMIT ?"
    assert decode_keys(encoded) == agent.list_keys() == list(agent.get_all())
    return {
        "scan": lambda: agent.scan(limit=10_000),
        "iter_records": lambda: deque(agent.iter_records(), 0),
        "get_all": counted.get_all,
        "list_keys": agent.list_keys,
        "whole rows": lambda: bare.execute(SCAN[Fields.ALL], RANGE).fetchall(),
        "rows with value": lambda: bare.execute(SCAN[Fields.VALUE], RANGE).fetchall(),
        "rows of ids": lambda: bare.execute(SCAN[Fields.KEY], RANGE).fetchall(),
        "values": lambda: list(map(orjson.loads, texts)),
        "keys": lambda: decode_keys(encoded),
        "records": lambda: to_records(documents),
        "by hand": lambda: [(key, orjson.loads(value)) for key, value in bare.execute(hand, RANGE)],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long it takes altogether")
    parser.add_argument("--records", type=int, default=400)
    options = parser.parse_args()
    print_environment()
    for title, together in (("written in one call", True), ("each written in its own call", False)):
        with work_directory() as directory:
            path = directory / "listings.db"
            fill(path, options.records, together=together)
            url = f"sqlite:///{path}"
            with (
                datastore.connect(url, tracking="off") as off,
                datastore.connect(url, flush_interval=600, max_pending=10_000_000) as on,
            ):
                bare = sqlite3.connect(path, isolation_level=None)
                agent, counted = off.agent("user", "agent", "notes"), on.agent("user", "agent", "notes")
                taken = least_of_blocks(blocks_of(agent, counted, bare), options.seconds / 2, options.records)
                bare.close()
        least = {name: min(times) for name, times in taken.items()}
        shown = table(
            f"{options.records:,} records, {title}: least microseconds of processor time a record",
            "", "takes", "floor", "beside it", "target", "", "parts",
        )  # fmt: skip
        for call, (target, parts) in PARTS.items():
            floor = sum(least[part] for part in parts)
            shown.add_row(
                call, f"{least[call]:.2f}", f"{floor:.2f}", f"{least[call] - floor:.2f}", f"{target:g}",
                verdict(least[call] <= target), ", ".join(f"{part} {least[part]:.2f}" for part in parts),
            )  # fmt: skip
        shown.add_row("by hand, key and value", f"{least['by hand']:.2f}")
        console.print(shown)


if __name__ == "__main__":
    main()

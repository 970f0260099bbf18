"""Finding by value on SQLite: our `find` against SQL written by hand, and pushed down against checked here.

    python benchmarks/sqlite_queries.py [--records 100000] [--rounds 11] [--seconds 0.3]

Both sides use the same file: ours uses the index that `DataStore.ensure_index` created, the other an expression index
as one would write it by hand. Both decode the values that they return. Access counting is off on our side, because the
other has none. The hand-written SQL is correct for these documents, which hold no arrays, no unusual numbers and no NUL
characters; ours is correct for all.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import measuring

import datastore
from datastore.agent import AgentDataStore
from datastore.conformance.faults import Wrapped
from datastore.store import DataStore

TARGET = 0.5
KINDS = 1_000


def value_of(number: int) -> dict[str, Any]:
    value = measuring.sample_value(number)
    return {**value, "kind": f"kind-{number % KINDS}", "price": round(number * 0.37, 2)}


def fill(path: Path, records: int) -> None:
    with datastore.connect(f"sqlite:///{path}", tracking="off") as store:
        agent = store.agent("user", "agent")
        for start in range(0, records, 5_000):
            agent.set_many({f"k{number:07}": value_of(number) for number in range(start, start + 5_000)})
        for fields in ("kind", "number", "price"):
            store.ensure_index([fields])
    connection = sqlite3.connect(path)
    for field in ("kind", "number", "price"):
        connection.execute(
            f"CREATE INDEX by_hand_{field} ON agent_data_store (userId, namespace, json_extract(value, '$.{field}'))"
        )
    connection.commit()
    connection.close()


class ByHand:
    """What somebody would write who needs it only once."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def find(self, field: str, condition: str, parameters: list[Any]) -> dict[str, Any]:
        rows = self._connection.execute(
            f"SELECT key, value FROM agent_data_store INDEXED BY by_hand_{field} WHERE userId = ? AND namespace = ?"
            f" AND json_extract(value, '$.{field}') {condition} ORDER BY _id",
            ["user", "default", *parameters],
        )
        return {key: json.loads(value) for key, value in rows}

    def scan(self, condition: str, parameters: list[Any]) -> dict[str, Any]:
        rows = self._connection.execute(
            f"SELECT key, value FROM agent_data_store NOT INDEXED WHERE userId = ? AND namespace = ? AND {condition}",
            ["user", "default", *parameters],
        )
        return {key: json.loads(value) for key, value in rows}


Case = tuple[str, dict[str, Any], Callable[[ByHand], dict[str, Any]]]


def cases(records: int) -> list[Case]:
    several = [f"kind-{number}" for number in range(0, 200, 10)]
    marks = ", ".join("?" * len(several))
    low, high = records // 2, records // 2 + 100
    near = round(low * 0.37, 2)
    return [
        ("equality, 1 result", {"number": low}, lambda hand: hand.find("number", "= ?", [low])),
        ("equality, 100 results", {"kind": "kind-7"}, lambda hand: hand.find("kind", "= ?", ["kind-7"])),
        (
            "range of integers, 100",
            {"number": {"$gte": low, "$lt": high}},
            lambda hand: hand.find("number", "BETWEEN ? AND ?", [low, high - 1]),
        ),
        (
            "range of prices, 100",
            {"price": {"$gte": near, "$lt": near + 37}},
            lambda hand: hand.find("price", "BETWEEN ? AND ?", [near, near + 36.99]),
        ),
        (
            "$in of 20, 2,000 results",
            {"kind": {"$in": several}},
            lambda hand: hand.find("kind", f"IN ({marks})", several),
        ),
        (
            "$in of 5, 5 results",
            {"number": {"$in": list(range(5))}},
            lambda hand: hand.find("number", "IN (?, ?, ?, ?, ?)", list(range(5))),
        ),
    ]


def against_hand(path: Path, options: argparse.Namespace) -> None:
    table = measuring.table(
        f"find by index on {options.records:,} records, calls per second",
        "filter", "ours", "by hand", "ratio", "quartiles", f"target {TARGET}",
    )  # fmt: skip
    hand = ByHand(path)
    with datastore.connect(f"sqlite:///{path}", tracking="off") as store:
        agent = store.agent("user", "agent")
        for name, filter, by_hand in cases(options.records):
            shown = agent.explain(filter)
            expected = by_hand(hand)
            assert agent.find(filter) == expected, name
            assert shown["index"] is not None
            assert shown["documents_read"] == len(expected), shown
            rates = measuring.take_turns(
                {"ours": repeated(partial(agent.find, filter)), "by hand": repeated(partial(by_hand, hand))},
                rounds=options.rounds, seconds=options.seconds, clock=options.clock, label=name,
            )  # fmt: skip
            low, high = rates.spread("ours", "by hand")
            ratio = rates.ratio("ours", "by hand")
            table.add_row(
                name, measuring.number(rates.median("ours")), measuring.number(rates.median("by hand")),
                f"{ratio:.2f}", f"{low:.2f} to {high:.2f}", measuring.verdict(ratio >= TARGET),
            )  # fmt: skip
    measuring.console.print(table)


def pushed_against_unpushed(path: Path, options: argparse.Namespace) -> None:
    """Compare three ways to find 100 records in a namespace that holds all records, without and with an index."""
    table = measuring.table(
        f"100 of {options.records:,} records, milliseconds a call", "call", "by index", "pushed down", "checked here"
    )
    unindexed = path.with_name("unindexed.db")
    connection = sqlite3.connect(path)
    connection.execute("VACUUM INTO ?", (str(unindexed),))
    connection.close()
    copy = sqlite3.connect(unindexed)
    names = copy.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '%json%'").fetchall()
    for (name,) in names:
        copy.execute(f'DROP INDEX "{name}"')
    copy.close()
    filter = {"kind": "kind-7"}
    with (
        datastore.connect(f"sqlite:///{path}", tracking="off") as indexed,
        datastore.connect(f"sqlite:///{unindexed}", tracking="off") as pushed,
        DataStore(Wrapped(pushed.backend), tracking="off") as unpushed,
    ):
        agents = {
            "by index": indexed.agent("user", "agent"),
            "pushed down": pushed.agent("user", "agent"),
            "checked here": unpushed.agent("user", "agent"),
        }
        assert agents["checked here"].explain(filter)["native"] is None
        calls: dict[str, Callable[[AgentDataStore], object]] = {
            "find": lambda agent: agent.find(filter),
            "find, limit 10": lambda agent: agent.find(filter, limit=10),
            "count": lambda agent: agent.count(filter),
        }
        for name, call in calls.items():
            turns = {which: repeated(partial(call, agent)) for which, agent in agents.items()}
            rates = measuring.take_turns(
                turns, rounds=max(options.rounds // 3, 3), seconds=options.seconds, clock=options.clock, label=name
            )
            table.add_row(name, *(f"{1_000 / rates.median(which):.3g}" for which in agents))
    measuring.console.print(table)


def repeated(call: Callable[[], object]) -> measuring.Turn:
    def turn() -> int:
        call()
        return 1

    return turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=0.3)
    measuring.add_clock(parser)
    options = parser.parse_args()
    measuring.print_environment()
    with measuring.work_directory() as directory:
        path = directory / "queries.db"
        fill(path, options.records)
        against_hand(path, options)
        pushed_against_unpushed(path, options)


if __name__ == "__main__":
    main()

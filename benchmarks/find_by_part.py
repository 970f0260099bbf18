"""What a `find` by a declared index on SQLite is made of, and the least that any code could take for it.

    python benchmarks/find_by_part.py [--seconds 20] [--records 20000]

Everything takes turns in one process, in small blocks of which the least counts, so that what else runs on the machine
hardly shows. The parts are measured on the store's own file and with the very statement and parameters that its `find`
carries out:

- *the statement*: ``execute`` and ``fetchall`` of it on a bare connection, which has to be done whatever the code
  around it is;
- *decoding*: ``orjson.loads`` of the values found;
- *by hand*: the statement that one would write who looks for nothing but this, with an index of its own, and its values
  decoded with ``orjson``.

*Floor* is the first two. What is left is what the store does beside them.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import orjson
from measuring import console, least_of_blocks, print_environment, table, verdict, work_directory
from sqlite_queries import fill

import datastore
from datastore.agent import AgentDataStore
from datastore_sqlite.client import Connection

TARGET = 40.0  # microseconds
CALLS = 20
"""So many calls, each with other constants, are a block."""


class Case(NamedTuple):
    """A kind of question."""

    name: str
    filters: Sequence[dict[str, Any]]
    by_hand: str
    """The condition of the statement by hand."""
    field: str
    parameters: Sequence[Sequence[Any]]


def cases(records: int) -> list[Case]:
    """Return the questions; each has `CALLS` filters of one shape."""
    chance = random.Random(0)
    numbers = chance.sample(range(records - 5), CALLS)
    fives = [f"five-{number * 7_919 % 1_000 // 5}-{number // 1_000}" for number in numbers]
    return [
        Case("equality, 1 result", [{"number": one} for one in numbers], "= ?", "number", [[one] for one in numbers]),
        Case("equality, 5 results", [{"five": one} for one in fives], "= ?", "five", [[one] for one in fives]),
        Case(
            "range of integers, 5 results",
            [{"number": {"$gte": one, "$lt": one + 5}} for one in numbers],
            "BETWEEN ? AND ?", "number", [[one, one + 4] for one in numbers],
        ),
    ]  # fmt: skip


@contextmanager
def watched() -> Iterator[list[tuple[str, Any]]]:
    """Note the statements that connections of the store carry out, with their parameters."""
    noted = list[tuple[str, Any]]()
    bare = sqlite3.Connection.execute

    def execute(self: sqlite3.Connection, statement: str, parameters: Any = (), /) -> sqlite3.Cursor:
        noted.append((statement, parameters))
        return bare(self, statement, parameters)

    Connection.execute = execute  # type: ignore[method-assign]
    try:
        yield noted
    finally:
        del Connection.execute


def statements_of(call: Callable[[], object]) -> list[tuple[str, Any]]:
    """Return the statements of a call that look for records."""
    with watched() as noted:
        call()
    return [(statement, parameters) for statement, parameters in noted if "INDEXED BY" in statement]


def parts_of(
    case: Case, agent: AgentDataStore, tracked: AgentDataStore, bare: sqlite3.Connection
) -> dict[str, Callable[[], object]]:
    """Return the blocks to measure for one kind of question."""
    agent.find(case.filters[0])  # the first question of its shape is asked in another way
    looked_for = [statements_of(partial(agent.find, filter)) for filter in case.filters]
    assert all(len(statements) == 1 for statements in looked_for), "a find is one statement"
    ours = [statement for (statement,) in looked_for]
    texts = [[row[4] for row in bare.execute(*one).fetchall()] for one in ours]
    hand = (
        f"SELECT key, value FROM agent_data_store INDEXED BY by_hand_{case.field} WHERE userId = ? AND namespace = ?"
        f" AND json_extract(value, '$.{case.field}') {case.by_hand} ORDER BY _id"
    )
    asked = [["user", "default", *one] for one in case.parameters]

    def by_hand() -> list[dict[str, Any]]:
        return [{key: orjson.loads(value) for key, value in bare.execute(hand, one)} for one in asked]

    assert by_hand() == [agent.find(filter) for filter in case.filters], case.name
    return {
        "find": lambda: [agent.find(filter) for filter in case.filters],
        "find, tracked": lambda: [tracked.find(filter) for filter in case.filters],
        "count": lambda: [agent.count(filter) for filter in case.filters],
        "the statement": lambda: [bare.execute(*one).fetchall() for one in ours],
        "decoding": lambda: [[orjson.loads(text) for text in some] for some in texts],
        "by hand": by_hand,
        "the statement by hand": lambda: [bare.execute(hand, one).fetchall() for one in asked],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each kind of question takes")
    parser.add_argument("--records", type=int, default=20_000)
    options = parser.parse_args()
    print_environment()
    shown = table(
        "find by an index: least microseconds of processor time a call",
        "", "find", "tracked", "count", "the statement", "decoding", "floor", "beside it", "by hand",
        f"target {TARGET:g}",
    )  # fmt: skip
    with work_directory() as directory:
        path = directory / "queries.db"
        fill(path, options.records)
        url = f"sqlite:///{path}"
        with (
            datastore.connect(url, tracking="off") as off,
            datastore.connect(url, flush_interval=600, max_pending=10_000_000) as on,
        ):
            bare = sqlite3.connect(path, isolation_level=None)
            for case in cases(options.records):
                parts = parts_of(case, off.agent("user", "agent"), on.agent("user", "agent"), bare)
                least = {name: min(times) for name, times in least_of_blocks(parts, options.seconds, CALLS).items()}
                floor = least["the statement"] + least["decoding"]
                numbers = [
                    least["find"], least["find, tracked"], least["count"], least["the statement"], least["decoding"],
                    floor, least["find"] - floor, least["by hand"],
                ]  # fmt: skip
                shown.add_row(case.name, *[f"{one:.1f}" for one in numbers], verdict(least["find"] <= TARGET))
            bare.close()
    console.print(shown)


if __name__ == "__main__":
    main()

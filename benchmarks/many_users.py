"""Whether a call of one user takes longer because others have much: SQLite, 1,000,000 users, 100,000 namespaces.

    python benchmarks/many_users.py [--users 1000000] [--namespaces 100000] [--rounds 11] [--processor-time]

Two files take turns in one process. In both one user has 40 records in two namespaces, and there is a declared index;
the calls below are that user's. In the small file there are 100 other users, and in the large one as many as
``--users`` says, before and after that one in the order of ids, with one record each. A tenth of these have expired,
and all have the value that the user looks for. One more user has many namespaces in the large file, and 100 in the
small one: listing some of them must take the same time.

The other users' records are written by SQL, from a record that the store wrote, because a million calls take minutes.
A page cache that no longer holds the whole file makes every call somewhat slower, in SQLite itself as well: the
benchmark also reads one row by its id, by hand, from both files.
"""

from __future__ import annotations

import argparse
import contextlib
import sqlite3
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from measuring import (
    Turn,
    add_clock,
    console,
    number,
    print_environment,
    table,
    take_turns,
    verdict,
    work_directory,
)

import datastore

TARGET = 1.5
"""How many times as long a call may take in the large file."""
_ME, _MANY = "user-m", "zoe"
_PAST, _SOON = "2020-01-01T00:00:00.000000Z", 0.001
_FEW = 100
_COLUMNS = (
    "key", "createdByAgent", "createdAt", "updatedAt", "revision", "metadata", "value", "updatedByAgent",
)  # fmt: skip
BY_HAND = "one row by hand"


def fill(path: Path, users: int, namespaces: int) -> None:
    """Make a file with the records of one user, of other users, and of one with many namespaces."""
    with datastore.connect(f"sqlite:///{path}", tracking="off") as store:
        store.ensure_index(["group"])
        for namespace in ("default", "notes"):
            store.agent(_ME, "agent", namespace).set_many({f"k{i:02}": {"group": "a", "i": i} for i in range(20)})
        store.agent(_MANY, "agent", "n0000000").set("k00", {"group": "a", "i": 0})
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        (template,) = connection.execute(
            "SELECT _id FROM agent_data_store WHERE userId = ? AND namespace = 'n0000000'", (_MANY,)
        ).fetchone()
        key = template.rpartition(":")[2]
        columns = ", ".join(_COLUMNS)
        made = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        insert = f"INSERT INTO agent_data_store (_id, userId, namespace, expiresAt, accessCount, {columns}) {made}"
        # The first half of the ids comes before those of the user who is measured, the other half after them.
        user = "printf('user-%s%07d', CASE WHEN i % 2 THEN 'a' ELSE 'z' END, i)"
        connection.execute(
            f"{insert} SELECT {user} || ':default:' || ?, {user}, 'default', CASE i % 10 WHEN 0 THEN ? END, 0, "
            f"{columns} FROM n, (SELECT * FROM agent_data_store WHERE _id = ?)",
            (users, key, _PAST, template),
        )
        name = "printf('n%07d', i)"
        connection.execute(
            f"{insert} SELECT ? || ':' || {name} || ':' || ?, ?, {name}, NULL, 0, {columns} "
            "FROM n, (SELECT * FROM agent_data_store WHERE _id = ?)",
            (namespaces - 1, _MANY, key, _MANY, template),
        )


def calls(path: Path, store: datastore.DataStore, namespaces: int) -> dict[str, Turn]:
    """Return a turn of each call."""
    mine, many = store.agent(_ME, "agent"), store.agent(_MANY, "agent", f"n{namespaces // 2:07}")
    middle = f"n{namespaces // 2:07}"
    connection = sqlite3.connect(path)
    (id,) = connection.execute("SELECT min(_id) FROM agent_data_store WHERE _id >= ?", (f"{_ME}:",)).fetchone()
    every = [f"k{i:02}" for i in range(20)]

    def purge() -> object:
        mine.set_many({"gone 1": 1, "gone 2": 2}, ttl=_SOON)
        return store.purge_expired(_ME)

    work: dict[str, Callable[[], object]] = {
        BY_HAND: lambda: connection.execute("SELECT value FROM agent_data_store WHERE _id = ?", (id,)).fetchone(),
        "get": lambda: mine.get("k07"),
        "get_record": lambda: mine.get_record("k07"),
        "get_many of 20": lambda: mine.get_many(every),
        "set": lambda: mine.set("k07", {"group": "a", "i": 7}),
        "add and delete": lambda: (mine.add("new", 1), mine.delete("new")),
        "list_keys": mine.list_keys,
        "last": mine.last,
        "scan": mine.scan,
        "get_all": mine.get_all,
        "count": mine.count,
        "find by the index": lambda: mine.find({"group": "a"}),
        "find without an index": lambda: mine.find({"i": 7}),
        "count of a filter": lambda: mine.count({"group": "a"}),
        "find_in all namespaces": lambda: mine.find_in("", {"group": "a"}),
        "list_namespaces": mine.list_namespaces,
        "namespace_stats": mine.namespace_stats,
        "purge_expired of one user": purge,
        "clear a namespace": lambda: (mine.use_namespace("other").set("k", 1), mine.use_namespace("other").clear()),
        "users, the first 10": lambda: list(islice(store.users(), 10)),
        "list_namespaces(limit=10)": lambda: many.list_namespaces(limit=10),
        "the same, backward": lambda: many.list_namespaces(limit=10, reverse=True),
        "the same, from the middle": lambda: many.list_namespaces(start=middle, limit=10),
        "get, of many namespaces": lambda: many.get("k00"),
        "set, of many namespaces": lambda: many.set("k00", 1),
        "list_keys, of many namespaces": many.list_keys,
        "find by the index, of many namespaces": lambda: many.find({"group": "b"}),
    }

    def turn(call: Callable[[], object]) -> Turn:
        return lambda: len([call() for _ in range(5)])

    return {name: turn(call) for name, call in work.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--namespaces", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=0.02, help="the length of a turn")
    parser.add_argument("--directory", type=Path, help="where to put the files; by default in the one for such files")
    add_clock(parser)
    options = parser.parse_args()
    print_environment()
    with work_directory(options.directory) as directory:
        small, large = directory / "small.db", directory / "large.db"
        fill(small, _FEW, _FEW)
        fill(large, options.users, options.namespaces)
        console.print(f"the large file takes {large.stat().st_size / 1e6:,.0f} MB", highlight=False)
        with (
            datastore.connect(f"sqlite:///{small}", tracking="off") as few,
            datastore.connect(f"sqlite:///{large}", tracking="off") as all,
        ):
            among_few, among_all = calls(small, few, _FEW), calls(large, all, options.namespaces)
            result = table(
                f"among {options.users:,} users, and with {options.namespaces:,} namespaces", "", f"a second of {_FEW}",
                "of all", "times as long", "quartiles", "target", "",
            )  # fmt: skip
            for name in among_few:
                rates = take_turns(
                    {"few": among_few[name], "all": among_all[name]}, rounds=options.rounds, seconds=options.seconds,
                    clock=options.clock, label=name,
                )  # fmt: skip
                ratio, (low, high) = rates.ratio("few", "all"), rates.spread("few", "all")
                result.add_row(
                    name, number(rates.median("few")), number(rates.median("all")), f"{ratio:.2f}",
                    f"{low:.2f} to {high:.2f}", f"{TARGET}", verdict(ratio <= TARGET),
                )  # fmt: skip
    console.print(result)


if __name__ == "__main__":
    main()

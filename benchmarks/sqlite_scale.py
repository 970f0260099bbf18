"""What a million records cost: the SQLite backend on a large file against the same calls on a file of 1,000 records.

Run it with ``python benchmarks/sqlite_scale.py`` (``--help`` lists the options). Filling the large file takes a minute
or two and 1 GB of disk; ``--directory`` keeps it there for the next run.

Both files are open at once and take turns. Each has ten namespaces, values of about 500 bytes, and records stored in
random order; keys are drawn at random from the whole file. The last 20 records of a namespace are also read by SQL
written by hand, from the large file. Then two more processes read every record with `iter_records`, one of them
backward, and report their memory.

`get` and `set` take turns with code written by hand on files of its own, of the same two sizes: the usual table with a
rowid, the same settings of SQLite, the same columns. What SQLite itself loses on a large file shows in its growth, and
ours is divided by that within each round.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
from rich.progress import Progress

import datastore

TARGET = 1.3
"""How many times as long a call may take on the large file."""
FLAT = 16.0
"""By how many MB memory may grow after the first thousand records."""
GROWTH = {"get": 1.2, "get, tracking off": 1.0, "set": 1.0}
"""How many times the growth of the code written by hand ours may be."""
LAST = 20
LAST_CALLS = ("last 20 keys", "scan, last 20", "last")
NAMESPACES = 10
BLOCK = 50

_DRAWN = 100_000
_SAMPLES = [sample_value(i) for i in range(1_000)]

Block = list[tuple[datastore.AgentDataStore, str, int]]


class Contestant:
    """A file of some size, with a block of each call on random records."""

    def __init__(self, directory: Path, records: int) -> None:
        self.path = directory / f"{records}-records.db"
        self.records = records
        self.seconds_to_fill = 0.0
        self._chance = random.Random(records)
        if not self.path.exists():
            self._fill()
        self._stores = {
            tracking: datastore.connect(f"sqlite:///{self.path}", tracking=tracking) for tracking in ("deferred", "off")
        }
        agents = {
            tracking: [store.agent("user", "agent", namespace) for namespace in _namespaces()]
            for tracking, store in self._stores.items()
        }
        self._blocks = {tracking: itertools.cycle(self._draw(agents[tracking])) for tracking in agents}
        self._any_agent = agents["off"][0]
        self._connection: sqlite3.Connection | None = None

    def _draw(self, agents: list[datastore.AgentDataStore]) -> list[Block]:
        """Return blocks of random records: for each the agent that reads or writes it, its key, and its number."""
        numbers = [self._chance.randrange(self.records) for _ in range(_DRAWN)]
        drawn = [(agents[i % NAMESPACES], _key(i), i) for i in numbers]
        return [drawn[start : start + BLOCK] for start in range(0, _DRAWN, BLOCK)]

    def _fill(self, chunk: int = 10_000) -> None:
        unfinished = self.path.with_suffix(".unfinished")
        for suffix in ("", "-wal", "-shm"):
            Path(f"{unfinished}{suffix}").unlink(missing_ok=True)
        numbers = list(range(self.records))
        self._chance.shuffle(numbers)
        began = time.perf_counter()
        with datastore.connect(f"sqlite:///{unfinished}") as store, Progress(console=console, transient=True) as bar:
            agents = [store.agent("user", "agent", namespace) for namespace in _namespaces()]
            for start in bar.track(range(0, len(numbers), chunk), description=f"storing {self.records:,} records"):
                for index, agent in enumerate(agents):
                    mine = [i for i in numbers[start : start + chunk] if i % NAMESPACES == index]
                    agent.set_many((_key(i), _value(i)) for i in mine)
        self.seconds_to_fill = time.perf_counter() - began
        unfinished.rename(self.path)

    def get(self, tracking: str) -> int:
        for agent, key, i in next(self._blocks[tracking]):
            if agent.get(key)["number"] != i:
                raise AssertionError(f"{key} holds something else")
        return BLOCK

    def set(self) -> int:
        for agent, key, i in next(self._blocks["deferred"]):
            agent.set(key, _value(i))
        return BLOCK

    def list_namespaces(self) -> int:
        if self._any_agent.list_namespaces() != _namespaces():
            raise AssertionError("namespaces are missing")
        return 1

    def last_keys(self) -> int:
        return len(self._any_agent.list_keys(limit=LAST, reverse=True))

    def last_records(self) -> int:
        return len(self._any_agent.scan(limit=LAST, reverse=True).records)

    def last(self) -> int:
        return 0 if self._any_agent.last() is None else 1

    def last_keys_by_hand(self) -> int:
        return len([key for (key,) in self._rows_by_hand("key", LAST)])

    def last_records_by_hand(self) -> int:
        return len(
            [(row, json.loads(row[-1]), json.loads(row[-2])) for row in self._rows_by_hand("*, metadata, value", LAST)]
        )

    def last_by_hand(self) -> int:
        return len(
            [(row, json.loads(row[-1]), json.loads(row[-2])) for row in self._rows_by_hand("*, metadata, value", 1)]
        )

    def _rows_by_hand(self, columns: str, limit: int) -> sqlite3.Cursor:
        if self._connection is None:
            self._connection = sqlite3.connect(self.path, isolation_level=None)
        statement = f"SELECT {columns} FROM agent_data_store WHERE _id >= ? AND _id < ? ORDER BY _id DESC LIMIT ?"
        namespace = _namespaces()[0]
        return self._connection.execute(statement, (f"user:{namespace}:", f"user:{namespace};", limit))

    def flush(self) -> None:
        self._stores["deferred"].flush()

    def close(self) -> None:
        for store in self._stores.values():
            store.close()


class ByHand:
    """A file of some size with a table as one writes it by hand."""

    _UPSERT = """
        INSERT INTO records (id, userId, namespace, key, createdByAgent, createdAt, updatedAt, revision, value)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET
            updatedAt = excluded.updatedAt, revision = excluded.revision, value = excluded.value"""

    def __init__(self, directory: Path, records: int, settings: dict[str, Any]) -> None:
        self._chance = random.Random(records)
        path = directory / f"{records}-records-by-hand.db"
        filled = path.exists()
        self._connection = sqlite3.connect(path, isolation_level=None)
        for name, value in settings.items():
            self._connection.execute(f"PRAGMA {name} = {value}")
        if not filled:
            self._fill(records)
        numbers = [self._chance.randrange(records) for _ in range(_DRAWN)]
        drawn = [(_namespaces()[i % NAMESPACES], _key(i), i) for i in numbers]
        self._blocks = itertools.cycle([drawn[start : start + BLOCK] for start in range(0, _DRAWN, BLOCK)])

    def _fill(self, records: int, chunk: int = 1_000) -> None:
        self._connection.execute(
            """
            CREATE TABLE records (
                id TEXT NOT NULL PRIMARY KEY, userId TEXT NOT NULL, namespace TEXT NOT NULL, key TEXT NOT NULL,
                createdByAgent TEXT NOT NULL, accessCount INTEGER NOT NULL DEFAULT 0, createdAt TEXT NOT NULL,
                updatedAt TEXT NOT NULL, revision TEXT NOT NULL, value TEXT NOT NULL
            )"""
        )
        numbers = list(range(records))
        self._chance.shuffle(numbers)
        for start in range(0, records, chunk):
            rows = [self._row(_namespaces()[i % NAMESPACES], _key(i), i) for i in numbers[start : start + chunk]]
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(self._UPSERT, rows)
            self._connection.execute("COMMIT")

    def _row(self, namespace: str, key: str, number: int) -> tuple[Any, ...]:
        now, json_text = datetime.now(UTC).isoformat(), json.dumps(_value(number))
        id = f"user:{namespace}:{key}"
        return id, "user", namespace, key, "agent", now, now, os.urandom(12).hex(), json_text

    def get(self) -> int:
        for namespace, key, i in next(self._blocks):
            (value,) = self._connection.execute(
                "SELECT value FROM records WHERE id = ?", (f"user:{namespace}:{key}",)
            ).fetchone()
            if json.loads(value)["number"] != i:
                raise AssertionError(f"{key} holds something else")
        return BLOCK

    def set(self) -> int:
        for namespace, key, i in next(self._blocks):
            self._connection.execute(self._UPSERT, self._row(namespace, key, i))
        return BLOCK

    def close(self) -> None:
        self._connection.close()


def _namespaces() -> list[str]:
    return [f"namespace-{i}" for i in range(NAMESPACES)]


def _key(number: int) -> str:
    return f"result-{number:07}"


def _value(number: int) -> dict[str, Any]:
    return _SAMPLES[number % len(_SAMPLES)] | {"number": number}


def measure(
    small: Contestant, large: Contestant, hand: dict[str, ByHand], options: argparse.Namespace
) -> dict[str, Rates]:
    both = {"small": small, "large": large}
    calls: dict[str, Callable[[Contestant], int]] = {
        "get": lambda file: file.get("deferred"),
        "get, tracking off": lambda file: file.get("off"),
        "set": Contestant.set,
        "list_namespaces": Contestant.list_namespaces,
        "last 20 keys": Contestant.last_keys,
        "scan, last 20": Contestant.last_records,
        "last": Contestant.last,
    }
    grows = {"get": ByHand.get, "get, tracking off": ByHand.get, "set": ByHand.set}
    by_hand = {
        "last 20 keys": Contestant.last_keys_by_hand,
        "scan, last 20": Contestant.last_records_by_hand,
        "last": Contestant.last_by_hand,
    }

    def turn(call: Callable[[Any], int], file: Any) -> Callable[[], int]:
        return lambda: call(file)

    return {
        name: take_turns(
            ({"by hand": turn(by_hand[name], large)} if name in by_hand else {})
            | {f"{size}, by hand": turn(grows[name], file) for size, file in hand.items() if name in grows}
            | {size: turn(call, file) for size, file in both.items()},
            rounds=options.rounds,
            seconds=options.seconds,
            clock=options.clock,
            settle={size: file.flush for size, file in both.items()},
            time_settling=False,  # in real use, too, the counts are written in the background
            label=name,
        )
        for name, call in calls.items()
        if options.calls is None or name in options.calls
    }


def iterate(path: Path, *, backward: bool) -> dict[str, float]:
    """Read every record of a file and return how long it took, and this process's memory in MB."""
    with datastore.connect(f"sqlite:///{path}") as store:
        from datastore.record import Record  # noqa: F401  # the first record imports it, which belongs to the start

        when_open = after_first_page = most = _memory()
        records, began = 0, time.perf_counter()
        for namespace in _namespaces():
            for _ in store.agent("user", "agent", namespace).iter_records(reverse=backward):
                records += 1
                if records % 1_000 == 0:
                    most = max(most, _memory())
                if records == 1_000:
                    after_first_page = most
        seconds = time.perf_counter() - began
    return {
        "records": records,
        "seconds": seconds,
        "when open": when_open,
        "after 1,000 records": after_first_page,
        "at most": most,
    }


def _memory() -> float:
    """Return the memory of this process in MB, without the pages of files, which the system can take back."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("RssAnon:")[2].split()[0]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=1_000, help="the records of the small file")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--seconds", type=float, default=0.5, help="the length of a turn")
    parser.add_argument("--directory", type=Path, help="where to keep the files, instead of a temporary directory")
    parser.add_argument("--calls", nargs="+", help="measure only these, such as get and set, and do not iterate")
    parser.add_argument("--iterate", type=Path, help=argparse.SUPPRESS)  # the subprocess that measures its own memory
    parser.add_argument("--backward", action="store_true", help=argparse.SUPPRESS)
    add_clock(parser)
    options = parser.parse_args()
    if options.iterate:
        print(json.dumps(iterate(options.iterate, backward=options.backward)))
        return

    kept = contextlib.nullcontext(options.directory)
    with kept if options.directory else work_directory() as directory:
        small, large = Contestant(directory, options.few), Contestant(directory, options.records)
        settings = sqlite_settings(small.path)
        hand = {
            "small": ByHand(directory, options.few, settings),
            "large": ByHand(directory, options.records, settings),
        }
        rates = measure(small, large, hand, options)
        for file in hand.values():
            file.close()
        small.close()
        large.close()
        command = [sys.executable, __file__, "--iterate", str(large.path)]
        memory = {
            direction: json.loads(subprocess.run([*command, *more], capture_output=True, text=True, check=True).stdout)
            for direction, more in (("forward", []), ("backward", ["--backward"]))
            if options.calls is None
        }
        report(rates, small, large, memory)


def report(rates: dict[str, Rates], small: Contestant, large: Contestant, memory: dict[str, dict[str, float]]) -> None:
    print_environment()
    if large.seconds_to_fill:
        per_second = number(large.records / large.seconds_to_fill)
        console.print(f"{large.records:,} records stored in {large.seconds_to_fill:.0f} s, {per_second} per second")
    size = large.path.stat().st_size / 1e6
    titles = [f"{file.records:,} records" for file in (small, large)]
    title = f"operations per second, and how many times as long ({size:,.0f} MB)"
    speeds = table(title, "", *titles, "ratio", "target", "", "of by hand, large")
    for call, rate in rates.items():
        ratio = rate.ratio("small", "large")
        low, high = rate.spread("small", "large")
        speeds.add_row(
            call,
            number(rate.median("small")),
            number(rate.median("large")),
            f"{ratio:.2f} ({low:.2f}-{high:.2f})",
            f"<= {TARGET}",
            verdict(ratio <= TARGET),
            _against_hand(rate) if call in LAST_CALLS else "",
        )
    console.print(speeds)
    growth = table(
        "how many times as long on the large file, ours divided by the code written by hand",
        "",
        "ours",
        "by hand",
        "ours / by hand",
        "quartiles",
        "target",
        "",
    )
    for call, target in GROWTH.items():
        if call not in rates:
            continue
        mine = rates[call].each("small", "large")
        theirs = rates[call].each("small, by hand", "large, by hand")
        low, middle, high = statistics.quantiles(
            [one / other for one, other in zip(mine, theirs, strict=True)], n=4, method="inclusive"
        )
        growth.add_row(
            call,
            f"{statistics.median(mine):.2f}",
            f"{statistics.median(theirs):.2f}",
            f"{middle:.2f}",
            f"{low:.2f}-{high:.2f}",
            f"<= {target}",
            verdict(middle <= target),
        )
    console.print(growth)
    for direction, figures in memory.items():
        report_memory(direction, figures)


def _against_hand(rate: Rates) -> str:
    low, high = rate.spread("by hand", "large")
    return f"{rate.ratio('by hand', 'large'):.2f} ({low:.2f}-{high:.2f})"


def report_memory(direction: str, memory: dict[str, float]) -> None:
    seconds = memory.pop("seconds")
    records = memory.pop("records")
    title = f"{records:,.0f} records {direction}, {seconds:.0f} s: private memory"
    flat = table(title, "", "MB")
    for when, megabytes in memory.items():
        flat.add_row(when, f"{megabytes:.1f}")
    growth = memory["at most"] - memory["after 1,000 records"]
    console.print(
        flat,
        f"after the first page it grew by {growth:.1f} MB (at most {FLAT:.0f}): {verdict(growth <= FLAT)}",
    )


if __name__ == "__main__":
    main()

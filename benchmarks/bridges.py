"""What the bridges to LangGraph cost on SQLite, against LangGraph's own savers and store on SQLite.

    python benchmarks/bridges.py [--steps 1000] [--rounds 3]

A thread of many steps whose state takes 100 KB, of text as people write it: in one workload each step changes one of
ten channels, in the other the state is one list of messages, which changes as a whole. Each step puts a checkpoint and
a pending write, as a run of LangGraph does. Each has its turn in each round, at the same durability: LangGraph's own
take what SQLite does if nobody says otherwise, ``full``. Times are by the clock, and of the processor: where other work
goes on the second says more. The ratios are those of the medians.

It needs LangGraph (``benchmarks/requirements.txt``).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import aiosqlite
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.store.base import PutOp
from langgraph.store.sqlite import SqliteStore

import datastore
from datastore.bridges.langgraph_checkpoints import DataStoreSaver
from datastore.bridges.langgraph_store import DataStoreStore

CHANCE = random.Random(1)
WORDS = ["".join(CHANCE.choices("etaoinshrdlu", k=CHANCE.randint(2, 9))) for _ in range(5_000)]
Times = dict[str, float]


@contextmanager
def measured(times: Times, name: str, calls: int) -> Iterator[None]:
    """Note the milliseconds per call, by the clock and of processor time of all threads."""
    clock, processor = time.perf_counter(), time.process_time()
    yield
    times[name] = (time.perf_counter() - clock) * 1_000 / calls
    times[f"{name}, processor"] = (time.process_time() - processor) * 1_000 / calls


def text(size: int) -> str:
    """Return text of so many letters, of words that come again as they do in a language."""
    words = (WORDS[int(CHANCE.paretovariate(0.7)) % len(WORDS)] for _ in range(size // 3))
    return " ".join(words)[:size]


def one_of_ten(number: int, state: dict[str, Any]) -> list[str]:
    """Change one of ten channels, and return which."""
    for channel in range(10):
        state.setdefault(f"channel {channel}", text(10_000))
    state[f"channel {number % 10}"] = text(10_000)
    return [f"channel {number % 10}"] if number else list(state)


def messages(number: int, state: dict[str, Any]) -> list[str]:
    """Append a message to a list of a hundred, whose first one goes."""
    state["messages"] = [*state.get("messages", [text(1_000) for _ in range(100)])[1:], text(1_000)]
    return ["messages"]


class Thread:
    """The checkpoints of a thread, the same ones for each saver."""

    def __init__(self, change: Callable[[int, dict[str, Any]], list[str]], steps: int) -> None:
        state: dict[str, Any] = {}
        versions: dict[str, str] = {}
        self.steps = []
        for number in range(steps):
            new = {channel: f"{number + 1:032}.{CHANCE.random():016}" for channel in change(number, state)}
            versions |= new
            checkpoint = {**empty_checkpoint(), "channel_values": dict(state), "channel_versions": dict(versions)}
            self.steps.append((checkpoint, new))


CONFIG: Any = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}


def of_saver(saver: Any, thread: Thread) -> Times:
    """Run a thread, and return milliseconds per call."""
    times: Times = {}
    config = CONFIG
    with measured(times, "put, put_writes", len(thread.steps)):
        for number, (checkpoint, new) in enumerate(thread.steps):
            config = saver.put(config, checkpoint, {"source": "loop", "step": number, "parents": {}}, new)
            saver.put_writes(config, [("channel", "a write")], f"task {number}")
    with measured(times, "get_tuple", 200):
        for _ in range(200):
            found = saver.get_tuple(CONFIG)
    assert found.checkpoint["channel_values"] == thread.steps[-1][0]["channel_values"]
    with measured(times, "list of 10", 50):
        for _ in range(50):
            assert len(list(saver.list(CONFIG, limit=10))) == 10
    return times


async def of_saver_awaited(saver: Any, thread: Thread) -> Times:
    """As `of_saver`, with calls that are awaited."""
    times: Times = {}
    config = CONFIG
    with measured(times, "aput, aput_writes", len(thread.steps)):
        for number, (checkpoint, new) in enumerate(thread.steps):
            config = await saver.aput(config, checkpoint, {"source": "loop", "step": number, "parents": {}}, new)
            await saver.aput_writes(config, [("channel", "a write")], f"task {number}")
    with measured(times, "aget_tuple", 200):
        for _ in range(200):
            await saver.aget_tuple(CONFIG)
    return times


def of_store(store: Any) -> Times:
    """Put, get and search a thousand items, and return milliseconds per call."""
    times: Times = {}
    items = [
        ((f"user {number % 50}", "memories"), f"{number:04}", {"n": number, "text": text(500)})
        for number in range(1_000)
    ]
    calls: dict[str, Callable[[], list[Any]]] = {
        "put": lambda: [store.put(*item) for item in items],
        "get": lambda: [store.get(*item[:2]) for item in items],
        "search by a field": lambda: [store.search(("user 7",), filter={"n": n}, limit=5) for n in range(7, 1_000, 50)],
        "put of 100 in a batch": lambda: [
            store.batch([PutOp(*item) for item in items[start : start + 100]]) for start in range(0, 1_000, 100)
        ],
    }
    for name, call in calls.items():
        number = {"search by a field": 20, "put of 100 in a batch": 10}.get(name, len(items))
        with measured(times, name, number):
            assert len(call()) == number
    assert [item.key for item in store.search(("user 7",), filter={"n": 57})] == ["0057"]
    return times


def connected(path: Path, synchronous: str) -> sqlite3.Connection:
    """Open a database for LangGraph's own, at the durability that is measured."""
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute(f"PRAGMA synchronous={synchronous}")
    return connection


def size(folder: Path) -> float:
    """Return how many megabytes there are on the disk."""
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def ours(folder: Path, synchronous: str, of: Callable[[Any], Times], kind: Any) -> Times:
    """Measure a bridge."""
    with datastore.connect(f"sqlite:///{folder}/ours.db?synchronous={synchronous}") as store:
        times = of(kind(store.agent("ann", "benchmark")))
    return times | {"MB on disk": size(folder)}


def theirs(folder: Path, synchronous: str, of: Callable[[Any], Times], kind: Any) -> Times:
    """Measure one of LangGraph's own."""
    connection = connected(folder / "theirs.db", synchronous)
    if kind is SqliteStore:
        connection.isolation_level = None  # as its `from_conn_string` does
    made = kind(connection)
    made.setup()
    times = of(made)
    connection.close()
    return times | {"MB on disk": size(folder)}


def theirs_awaited(folder: Path, synchronous: str, thread: Thread) -> Times:
    """Measure `AsyncSqliteSaver`."""

    async def running() -> Times:
        async with aiosqlite.connect(folder / "theirs.db") as connection:
            await connection.execute(f"PRAGMA synchronous={synchronous}")
            return await of_saver_awaited(AsyncSqliteSaver(connection), thread)

    return asyncio.run(running()) | {"MB on disk": size(folder)}


def in_turns(title: str, rounds: int, *sides: Callable[[Path], Times]) -> None:
    """Measure ours and theirs in turns, and print the medians and their ratios."""
    print(f"{title}; load {os.getloadavg()[0]:.1f}", flush=True)
    measured: list[list[Times]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, times in zip(sides, measured, strict=True):
            with tempfile.TemporaryDirectory(prefix="bridges-") as folder:
                times.append(side(Path(folder)))
    print(f"  {'':<36}{'ours':>10}{'theirs':>10}{'theirs / ours':>16}")
    for name in measured[0][0]:
        mine, other = (median(one[name] for one in times) for times in measured)
        unit = "" if name.startswith("MB") else " ms"
        print(f"  {name + unit:<36}{mine:>10.2f}{other:>10.2f}{other / mine:>16.2f}", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--synchronous", choices=["normal", "full"], default="full")
    options = parser.parse_args()
    how, rounds = options.synchronous, options.rounds
    for change in (one_of_ten, messages):
        of_savers(Thread(change, options.steps), change.__name__.replace("_", " "), how, rounds)
    in_turns(
        f"SqliteStore: 1,000 items of 500 letters, synchronous={how}",
        rounds,
        lambda folder: ours(folder, how, of_store, DataStoreStore),
        lambda folder: theirs(folder, how, of_store, SqliteStore),
    )


def of_savers(thread: Thread, what: str, how: str, rounds: int) -> None:
    """Measure one workload, with calls that block and with calls that are awaited."""
    title = f"{len(thread.steps):,} steps, 100 KB, {what}, synchronous={how}"

    def awaited(saver: Any) -> Times:
        return asyncio.run(of_saver_awaited(saver, thread))

    def blocking(saver: Any) -> Times:
        return of_saver(saver, thread)

    in_turns(
        f"SqliteSaver: {title}",
        rounds,
        lambda folder: ours(folder, how, blocking, DataStoreSaver),
        lambda folder: theirs(folder, how, blocking, SqliteSaver),
    )
    in_turns(
        f"AsyncSqliteSaver: {title}",
        rounds,
        lambda folder: ours(folder, how, awaited, DataStoreSaver),
        lambda folder: theirs_awaited(folder, how, thread),
    )


if __name__ == "__main__":
    main()

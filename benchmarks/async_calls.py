"""Awaited reads: this package against other ways to read from a coroutine, in one run.

    python benchmarks/async_calls.py             # SQLite, and CouchDB through a proxy that adds 5 ms
    python benchmarks/async_calls.py --no-server

Each row is a number of callers at once: `asyncio.gather` of that many reads, each of another of 1,000 records of about
500 bytes. The numbers are microseconds for a read, and how many times as fast ours is: the median of the ratios in the
rounds, with their quartiles. No access is counted, because the others count none.

- *ours* is `await data_store.get(key)`.
- *to_thread* is `await asyncio.to_thread(data_store.get, key)`, in the loop's own executor.
- *hop* is the same in an executor that belongs to the store: what a call costs that does not gather.
- *aiosqlite* is a statement by hand, on one connection: one row by its key, and `json.loads`.
- *langgraph* is `AsyncSqliteStore.aget`, *py-key-value* `DiskStore.get`.

Requirements beside ``requirements.txt``: ``aiosqlite``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from measuring import add_clock, console, print_environment, sample_value, table, verdict, work_directory

sys.path.insert(0, str(Path(__file__).parent.parent))

import datastore

OURS, TO_THREAD, HOP = "ours", "to_thread", "hop"
RECORDS = 1_000
AT_ONCE = (1, 10, 100, 1_000)
TARGETS = {"SQLite": {1: (HOP, 1 / 1.3), 100: (TO_THREAD, 4.0)}, "CouchDB": {100: (TO_THREAD, 20.0)}}
DELAY = 0.005

Read = Callable[[str], Awaitable[Any]]


class Proxy:
    """Passes bytes on between clients and a server, each answer 5 ms later."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._to)
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=_pass_on, args=(client, server, 0.0), daemon=True).start()
                threading.Thread(target=_pass_on, args=(server, client, DELAY), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket, delay: float) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            time.sleep(delay)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


async def measure(
    contestants: dict[str, Read], at_once: int, rounds: int, seconds: float, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Return the microseconds for a read of each contestant, round by round; they take turns."""
    names = list(contestants)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 1):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            read, reads = contestants[name], 0
            began, end = clock(), time.perf_counter() + seconds
            while time.perf_counter() < end:
                if at_once == 1:
                    await read(f"key{reads % RECORDS}")
                else:
                    await asyncio.gather(*(read(f"key{(reads + one) % RECORDS}") for one in range(at_once)))
                reads += at_once
            if turn:
                times[name].append((clock() - began) / reads * 1e6)
    return times


async def ours(store: datastore.AsyncDataStore, executor: ThreadPoolExecutor) -> dict[str, Read]:
    """Fill a store and return the three ways to read from it."""
    agent = store.agent("user", "agent")
    await agent.set_many({f"key{number}": sample_value(number) for number in range(RECORDS)})
    get, loop = agent.sync.get, asyncio.get_running_loop()
    return {
        OURS: agent.get,
        TO_THREAD: lambda key: asyncio.to_thread(get, key),
        HOP: lambda key: loop.run_in_executor(executor, get, key),
    }


async def others(directory: Path, opened: contextlib.AsyncExitStack) -> dict[str, Read]:
    """Fill the stores of the others and return how to read from them."""
    import aiosqlite
    from key_value.aio.stores.disk import DiskStore
    from langgraph.store.sqlite.aio import AsyncSqliteStore

    connection = await opened.enter_async_context(aiosqlite.connect(directory / "bare.db"))
    await connection.execute("PRAGMA journal_mode = wal")
    await connection.execute("CREATE TABLE records (id TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
    rows = [(f"key{number}", json.dumps(sample_value(number))) for number in range(RECORDS)]
    await connection.executemany("INSERT INTO records VALUES (?, ?)", rows)
    await connection.commit()

    async def bare(key: str) -> Any:
        async with connection.execute("SELECT value FROM records WHERE id = ?", (key,)) as cursor:
            row = await cursor.fetchone()
        return None if row is None else json.loads(row[0])

    langgraph = await opened.enter_async_context(AsyncSqliteStore.from_conn_string(str(directory / "langgraph.db")))
    await langgraph.setup()
    disk = DiskStore(directory=directory / "disk")
    for number in range(RECORDS):
        await langgraph.aput(("user",), f"key{number}", sample_value(number), index=False)
        await disk.put(f"key{number}", sample_value(number))
    return {
        "aiosqlite": bare,
        "langgraph": lambda key: langgraph.aget(("user",), key),
        "py-key-value": disk.get,
    }


async def compare(
    name: str, contestants: dict[str, Read], rounds: int, seconds: float, clock: Callable[[], float]
) -> None:
    """Measure, and print one row for each number of callers."""
    result = table(f"{name}: reads at once", "at once", "of", "us for a read", "ours is so much faster", "target")
    for at_once in AT_ONCE:
        times = await measure(contestants, at_once, rounds, seconds, clock)
        against, least = TARGETS.get(name, {}).get(at_once, ("", 0.0))
        for other, values in times.items():
            ratios = [theirs / mine for mine, theirs in zip(times[OURS], values, strict=True)]
            low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
            target = f"{least:.2g} {verdict(median >= least)}" if other == against else ""
            ratio = "" if other == OURS else f"{median:.2f} ({low:.2f}-{high:.2f})"
            result.add_row(f"{at_once:,}", other, f"{statistics.median(values):.1f}", ratio, target)
    console.print(result)


async def run(arguments: argparse.Namespace) -> None:
    """Measure on SQLite, and on CouchDB through a proxy."""
    with work_directory() as directory, ThreadPoolExecutor(4) as executor:
        async with contextlib.AsyncExitStack() as opened:
            store = await opened.enter_async_context(
                datastore.connect_async(f"sqlite:///{directory}/ours.db", tracking="off")
            )
            contestants = await ours(store, executor)
            contestants |= await others(directory, opened)
            await compare("SQLite", contestants, arguments.rounds, arguments.seconds, arguments.clock)
    if arguments.no_server:
        return
    url = urlsplit(arguments.url or _test_server())
    proxy = Proxy(url.hostname or "", url.port or 5984)
    login = f"{url.username}:{url.password}@" if url.username else ""
    address = f"couchdb://{login}127.0.0.1:{proxy.port}{url.path}"
    with ThreadPoolExecutor(24) as executor:
        async with datastore.connect_async(address, tracking="off", warn_on_loop=False) as store:
            reads = await ours(store, executor)
            await compare("CouchDB", reads, arguments.rounds, max(arguments.seconds, 1.0), time.perf_counter)


def _test_server() -> str:
    from tests.servers import couchdb

    return f"couchdb://{couchdb.USER}:{couchdb.PASSWORD}@127.0.0.1:{couchdb.server().port}/benchmark"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.2, help="the length of a turn")
    parser.add_argument("--no-server", action="store_true", help="SQLite alone")
    parser.add_argument("--url", help="a CouchDB of yours; by default a test server is started")
    add_clock(parser)
    arguments = parser.parse_args()
    print_environment("aiosqlite", "langgraph-checkpoint-sqlite", "py-key-value-aio")
    asyncio.run(run(arguments))


if __name__ == "__main__":
    main()

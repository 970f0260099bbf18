"""One process with 32 threads, 80 % reads of 500 bytes: how much each database does, and how long a call takes.

    python benchmarks/throughput.py sqlite
    python benchmarks/throughput.py couchdb dynamodb firestore       # on the test servers, which it starts
    python benchmarks/throughput.py couchdb --couchdb couchdb://user:password@host:5984/benchmark
    python benchmarks/throughput.py dynamodb --uncounted

Two measurements:

- *as fast as possible*: every thread makes its next call when the last one has returned. Ours and the bare client take
  turns, and a ratio is the median of the ratios within the rounds.
- *at a rate* (SQLite): 5,000 reads and 1,000 writes a second, which begin when it is their time. A call's time counts
  from when it should have begun, so that a call that holds up others is counted for each of them.

The records are 1,000 JSON values of about 500 bytes. Each thread picks one at random and reads it, or writes it with
every fifth call. *ours* runs with its default options, so every `get` is counted (``--uncounted``: not). Counts that
are not due within a turn are written after it, outside of its time.

What is *bare* is what one writes without this package, with one client for all threads that has a connection for each:

- sqlite: a connection for each thread, with WAL as ours has it; a write is an upsert that keeps the creation fields.
- couchdb: `httpx`; a write is a ``GET`` for the revision and a ``PUT``, again after a conflict.
- dynamodb: boto3's low-level client, the value as JSON text; a write is an ``update_item`` that keeps the creation
  fields.
- firestore: Google's client; a write is an ``update`` of the value and the time.

The processor time is that of this process for each call, without the server's. Test servers take many times as long as
the clients do, and share the processors with them; then the ratio of processor times says more than that of rates.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import statistics
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, urlsplit

from measuring import console, number, print_environment, sample_value, table, verdict, work_directory

sys.path.insert(0, str(Path(__file__).parent.parent))

import datastore

OURS, BARE = "ours", "bare"
RECORDS, READS = 1_000, 0.8
READS_PER_SECOND, WRITES_PER_SECOND, LONGEST = 5_000, 1_000, 0.020
TARGET = 0.9
_PREFIX = "user:default:"


class Side(Protocol):
    """One of the two: what every thread calls."""

    def get(self, key: str) -> Any: ...

    def set(self, key: str, value: Any) -> Any: ...


class Turn(NamedTuple):
    """What one turn has measured: the seconds of each call, of the turn, and of the processor."""

    reads: list[float]
    writes: list[float]
    seconds: float
    processor: float

    @property
    def rate(self) -> float:
        return len(self.reads + self.writes) / self.seconds

    @property
    def per_call(self) -> float:
        return self.processor / len(self.reads + self.writes)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("databases", nargs="*", choices=list(_DATABASES), default=["sqlite"])
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="the length of a turn")
    parser.add_argument("--uncounted", action="store_true", help="count no accesses")
    parser.add_argument("--couchdb", metavar="URL", help="a CouchDB; by default PouchDB Server is started")
    arguments = parser.parse_args()
    print_environment()
    keys = [f"key-{n:04}" for n in range(RECORDS)]
    values = {key: sample_value(n) for n, key in enumerate(keys)}
    options: dict[str, Any] = {"tracking": "off"} if arguments.uncounted else {}
    for name in arguments.databases:
        with _DATABASES[name](arguments, options, values) as (store, bare):
            ours = store.agent("user", "benchmark")
            ours.set_many(values)
            for key, value in values.items():
                assert ours.get(key) == bare.get(key) == value
            compare(name, store, ours, bare, values, arguments)
            if name == "sqlite":
                keep_pace(store, ours, bare, values, arguments)
    console.print(f"load at the end {os.getloadavg()[0]:.1f}", highlight=False)


def compare(
    name: str, store: datastore.DataStore, ours: Side, bare: Side, values: dict[str, Any], arguments: Any
) -> None:
    """Let the two take turns at being as fast as possible."""
    sides = {OURS: ours, BARE: bare}
    turns: dict[str, list[Turn]] = {side: [] for side in sides}
    for round in range(arguments.rounds + 1):  # the first one warms up
        for side in list(sides)[:: 1 if round % 2 else -1]:
            turn = work(sides[side], values, arguments.threads, arguments.seconds if round else 1.0)
            if side == OURS:
                store.flush()
            if round:
                turns[side].append(turn)
    result = table(
        f"{name}: {arguments.threads} threads, as fast as possible",
        "", "calls/s", "read p50, ms", "p99", "write p50", "p99", "processor us a call",
    )  # fmt: skip
    for side in sides:
        result.add_row(side, number(statistics.median(turn.rate for turn in turns[side])), *_row(turns[side]))
    console.print(result)
    rates = [mine.rate / theirs.rate for mine, theirs in zip(turns[OURS], turns[BARE], strict=True)]
    costs = [theirs.per_call / mine.per_call for mine, theirs in zip(turns[OURS], turns[BARE], strict=True)]
    for what, ratios in (("calls a second", rates), ("calls by processor time", costs)):
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        console.print(
            f"{what}, ours / bare: {middle:.2f} ({low:.2f}-{high:.2f})"
            + ("" if name == "sqlite" else f", target {TARGET}: {verdict(middle >= TARGET)}"),
            highlight=False,
        )


def keep_pace(store: datastore.DataStore, ours: Side, bare: Side, values: dict[str, Any], arguments: Any) -> None:
    """Let the two take turns at doing so much at a fixed rate."""
    sides = {OURS: ours, BARE: bare}
    turns: dict[str, list[Turn]] = {side: [] for side in sides}
    rate = READS_PER_SECOND + WRITES_PER_SECOND
    reads = READS_PER_SECOND / rate
    for round in range(arguments.rounds):
        for side in list(sides)[:: 1 if round % 2 else -1]:
            turns[side].append(work(sides[side], values, arguments.threads, arguments.seconds, reads, rate))
            if side == OURS:
                store.flush()
    result = table(
        f"{READS_PER_SECOND:,} reads and {WRITES_PER_SECOND:,} writes a second, {arguments.threads} threads",
        "", "calls/s", "read p50, ms", "p99", "write p50", "p99", "processor us a call", "p99 < 20 ms",
    )  # fmt: skip
    for side in sides:
        done = statistics.median(turn.rate for turn in turns[side])
        slowest = max(
            statistics.median(percentile(calls, 0.99) for calls in ([turn.reads for turn in turns[side]])),
            statistics.median(percentile(calls, 0.99) for calls in ([turn.writes for turn in turns[side]])),
        )
        result.add_row(
            side,
            number(done),
            *_row(turns[side]),
            verdict(slowest < LONGEST and done > 0.98 * rate) if side == OURS else "",
        )
    console.print(result)


def work(
    side: Side, values: dict[str, Any], threads: int, seconds: float, reads: float = READS, rate: float | None = None
) -> Turn:
    """Let all threads work on one side.

    Args:
        side: Whose calls to make.
        values: What to write, by key.
        threads: How many threads there are.
        seconds: For how long.
        reads: The share of reads.
        rate: How many calls to begin in a second, all threads together; ``None`` for as many as possible.
    """
    keys = list(values)
    times: list[tuple[list[float], list[float]]] = [([], []) for _ in range(threads)]
    errors: list[BaseException] = []
    start = threading.Barrier(threads + 1)

    def run(number: int) -> None:
        chance = random.Random(number)
        of_reads, of_writes = times[number]
        start.wait()
        began = time.perf_counter()
        end = began + seconds
        step = threads / rate if rate else 0.0
        due = began + step * chance.random()
        try:
            while True:
                if rate:
                    wait = due - time.perf_counter()
                    if wait > 0:
                        time.sleep(wait)
                    first = due
                    due += step
                else:
                    first = time.perf_counter()
                if first >= end:
                    return
                key = chance.choice(keys)
                if chance.random() < reads:
                    side.get(key)
                    of_reads.append(time.perf_counter() - first)
                else:
                    side.set(key, values[key])
                    of_writes.append(time.perf_counter() - first)
        except BaseException as error:
            errors.append(error)
            raise

    workers = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    start.wait()
    began, processor = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.join()
    elapsed, processor = time.perf_counter() - began, time.process_time() - processor
    if errors:
        raise errors[0]
    return Turn(
        [one for of_reads, _ in times for one in of_reads],
        [one for _, of_writes in times for one in of_writes],
        elapsed,
        processor,
    )


def _row(turns: Sequence[Turn]) -> Iterator[str]:
    for calls in ([turn.reads for turn in turns], [turn.writes for turn in turns]):
        for share in (0.5, 0.99):
            yield number(1_000 * statistics.median(percentile(some, share) for some in calls))
    yield number(1e6 * statistics.median(turn.per_call for turn in turns))


def percentile(some: Sequence[float], share: float) -> float:
    """Return what a share of some numbers is not above."""
    return sorted(some)[int(len(some) * share)]


# ------------------------------------------------------------------------------------------------------ the databases


class BareSqlite:
    """A connection for each thread."""

    _UPSERT = """
        INSERT INTO records (id, createdByAgent, createdAt, updatedAt, revision, value) VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET
            updatedAt = excluded.updatedAt, revision = excluded.revision, value = excluded.value"""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = threading.local()
        self._execute(
            "CREATE TABLE records (id TEXT NOT NULL PRIMARY KEY, createdByAgent TEXT NOT NULL, accessCount INTEGER "
            "NOT NULL DEFAULT 0, createdAt TEXT NOT NULL, updatedAt TEXT NOT NULL, revision TEXT NOT NULL, "
            "value TEXT NOT NULL)"
        )

    def _execute(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = self._threads.connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        return connection.execute(statement, values)

    def get(self, key: str) -> Any:
        row = self._execute("SELECT value FROM records WHERE id = ?", (_PREFIX + key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def set(self, key: str, value: Any) -> None:
        now = datetime.now(UTC).isoformat()
        row = (_PREFIX + key, "agent", now, now, os.urandom(12).hex(), json.dumps(value))
        self._execute(self._UPSERT, row)


@contextmanager
def _sqlite(arguments: Any, options: dict[str, Any], values: dict[str, Any]) -> Iterator[tuple[Any, Side]]:
    with work_directory() as folder, datastore.connect(f"sqlite:///{folder}/ours.db", **options) as store:
        bare = BareSqlite(folder / "bare.db")
        for key, value in values.items():
            bare.set(key, value)
        yield store, bare


class BareCouch:
    """One client of `httpx`."""

    def __init__(self, url: str, threads: int) -> None:
        import httpx

        parts = urlsplit(url)
        self._client = httpx.Client(
            base_url=f"http://{parts.hostname}:{parts.port}{parts.path}/",
            auth=(parts.username or "", parts.password or ""),
            timeout=600,
            limits=httpx.Limits(max_connections=threads, max_keepalive_connections=threads),
        )
        self._client.put("")

    def fill(self, values: dict[str, Any]) -> None:
        documents = [{"_id": _PREFIX + key, **self._fields(value)} for key, value in values.items()]
        self._client.post("_bulk_docs", json={"docs": documents}).raise_for_status()

    def get(self, key: str) -> Any:
        response = self._client.get(quote(_PREFIX + key, safe=""))
        response.raise_for_status()
        return response.json()["value"]

    def set(self, key: str, value: Any) -> None:
        path = quote(_PREFIX + key, safe="")
        while True:
            response = self._client.get(path)
            response.raise_for_status()
            document = response.json()
            document["value"] = value
            document["updatedAt"] = datetime.now(UTC).isoformat()
            response = self._client.put(path, json=document)
            if response.status_code != 409:
                response.raise_for_status()
                return

    def drop(self) -> None:
        self._client.delete("")

    def _fields(self, value: Any) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat()
        return {"namespace": "user:default", "value": value, "createdAt": now, "updatedAt": now, "createdByAgent": "a"}


@contextmanager
def _couchdb(arguments: Any, options: dict[str, Any], values: dict[str, Any]) -> Iterator[tuple[Any, Side]]:
    url = arguments.couchdb
    if url is None:
        from tests.servers import couchdb

        port = couchdb.server().port
        url = f"couchdb://{couchdb.USER}:{couchdb.PASSWORD}@127.0.0.1:{port}/benchmark_{uuid.uuid4().hex[:8]}"
    bare = BareCouch(url + "_bare", arguments.threads)
    bare.fill(values)
    with datastore.connect(url, timeout=600, max_seconds=600, **options) as store:
        try:
            yield store, bare
        finally:
            store.agent("user", "benchmark").clear()
            bare.drop()


@contextmanager
def _dynamodb(arguments: Any, options: dict[str, Any], values: dict[str, Any]) -> Iterator[tuple[Any, Side]]:
    import boto3
    from botocore.config import Config
    from dynamodb_against_boto3 import Bare

    from tests.servers import dynamodb
    from tests.servers.processes import temporary_folder

    os.environ.update(dynamodb.CREDENTIALS)
    server = dynamodb.new_ministack(temporary_folder("benchmark"))
    server.start()
    try:
        endpoint = f"http://127.0.0.1:{server.port}"
        for table in ("ours", "bare"):  # with the same key
            datastore.connect(f"dynamodb://{table}", endpoint_url=endpoint).close()
        config = Config(max_pool_connections=arguments.threads)
        bare = Bare(boto3.client("dynamodb", region_name="eu-west-1", endpoint_url=endpoint, config=config), "bare")
        bare.replace_many(values)
        with datastore.connect("dynamodb://ours", endpoint_url=endpoint, max_seconds=600, **options) as store:
            yield store, bare
    finally:
        server.stop()


class BareFirestore:
    """Google's client, as in `firestore_against_client`."""

    def __init__(self, project: str) -> None:
        from firestore_against_client import Client

        self._client = Client(project, "user")
        self.get = self._client.get
        self.set: Callable[[str, Any], object] = self._client.update
        self.fill = self._client.set_many


@contextmanager
def _firestore(arguments: Any, options: dict[str, Any], values: dict[str, Any]) -> Iterator[tuple[Any, Side]]:
    from tests.servers import firestore

    os.environ["FIRESTORE_EMULATOR_HOST"] = f"127.0.0.1:{firestore.server().port}"
    project = f"bench-{uuid.uuid4().hex[:8]}"
    bare = BareFirestore(project)
    keys = list(values)
    for first in range(0, len(keys), 500):
        bare.fill({key: values[key] for key in keys[first : first + 500]})
    with ExitStack() as stack:
        yield stack.enter_context(datastore.connect(f"firestore://{project}/ours", max_seconds=600, **options)), bare


_DATABASES = {"sqlite": _sqlite, "couchdb": _couchdb, "dynamodb": _dynamodb, "firestore": _firestore}

if __name__ == "__main__":
    main()

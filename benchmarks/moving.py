"""Moving on SQLite, per record: `copy` with verification, export and import, against loops written by hand.

    python benchmarks/moving.py [--records 20000] [--bytes 500] [--rounds 7] [--no-verify]
    python benchmarks/moving.py --memory 100000 1000000
    python benchmarks/moving.py --blob 100 1000
    python benchmarks/moving.py --to couchdb [--records 2000]     # or dynamodb, firestore, or a URL

Each round moves the same records with every contestant, one after the other, into a new file. Times are processor time
of the whole call, from the first page to the last commit, so that other programs on the machine disturb both sides
alike.

The hand-written loops are the least that somebody would write with ``sqlite3``, ``json`` and a file, 500 rows at a
time: to copy, select, insert, and select again to compare the rows; to export, a JSON object for each row, with its
value as JSON and not as text in text; to import, the same backward, with the rows compared. They check nothing: neither
ids, nor times, nor values, nor the file.

``--memory`` measures the peak memory and the time of a fresh process for each call and number of records, ``--blob``
that for one blob of so many megabytes. ``--to`` copies into the store at a URL, which must be empty, or into a test
server that it starts. It measures elapsed time against the requests of a copy alone (`Backend.read`, `Backend.restore`
and `Backend.read` again, with the same batches): what the server and the adapter need. The difference is what moving
itself adds.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import measuring

import datastore
from datastore.backend import Document, Fields, Restore
from datastore.ids import decode_id
from datastore.moving import copy, export_records, import_records
from datastore.moving.pages import core_of, pages
from datastore.values import encode

TARGETS = {"copy": 45.0, "export": 15.0, "import": 45.0}
"""Microseconds of processor time a record."""
_USERS, _PAGE = 20, 500
_COLUMNS = (
    "_id", "userId", "namespace", "key", "createdByAgent", "lastAccessedByAgent", "accessCount", "createdAt",
    "updatedAt", "lastAccessedAt", "revision", "expiresAt", "metadata", "value", "updatedByAgent",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM agent_data_store"
_INSERT = f"INSERT INTO agent_data_store ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"


def fill(path: Path, records: int, size: int) -> None:
    """Store records of some users, a tenth of them with metadata."""
    with datastore.connect(f"sqlite:///{path}", tracking="off") as store:
        for user in range(_USERS):
            agent = store.agent(f"user-{user}", "agent", "notes")
            mine = range(user, records, _USERS)
            for start in range(0, len(mine), 1_000):
                some = mine[start : start + 1_000]
                values = {f"result-{number:07}": measuring.sample_value(number, size) for number in some}
                agent.set_many(values, {"source": "crawler"} if user % 10 == 0 else None)


def empty(path: Path) -> Path:
    """Make an empty store, as both sides need one, and return its path."""
    datastore.connect(f"sqlite:///{path}", tracking="off").close()
    return path


class ByHand:
    """Loops written by hand."""

    @staticmethod
    def copy(source: Path, sink: Path) -> int:
        reader, writer = sqlite3.connect(source), _writer(sink)
        number = 0
        for rows in _pages(reader):
            _insert(writer, rows)
            number += len(rows)
        return number

    @staticmethod
    def export(source: Path, file: Path) -> int:
        number = 0
        with file.open("w") as output:
            for rows in _pages(sqlite3.connect(source)):
                for row in rows:
                    fields = dict(zip(_COLUMNS, row, strict=True))
                    fields["metadata"], fields["value"] = json.loads(fields["metadata"]), json.loads(fields["value"])
                    output.write(json.dumps(fields) + "\n")
                number += len(rows)
        return number

    @staticmethod
    def bring_in(file: Path, sink: Path) -> int:
        writer, number, rows = _writer(sink), 0, list[Any]()
        with file.open() as lines:
            for line in lines:
                fields = json.loads(line)
                fields["metadata"], fields["value"] = json.dumps(fields["metadata"]), json.dumps(fields["value"])
                rows.append(tuple(fields[name] for name in _COLUMNS))
                if len(rows) == _PAGE:
                    _insert(writer, rows)
                    number += len(rows)
                    rows = []
        if rows:
            _insert(writer, rows)
        return number + len(rows)


def _writer(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _pages(connection: sqlite3.Connection) -> Iterator[list[tuple[Any, ...]]]:
    after = ""
    while rows := connection.execute(f"{_SELECT} WHERE _id > ? ORDER BY _id LIMIT {_PAGE}", (after,)).fetchall():
        yield rows
        after = rows[-1][0]


def _insert(connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    connection.executemany(_INSERT, rows)
    connection.commit()
    ids = [row[0] for row in rows]
    found = connection.execute(f"{_SELECT} WHERE _id IN ({', '.join('?' * len(ids))})", ids).fetchall()
    if sorted(found) != sorted(rows):
        raise SystemExit("the rows are not what was written")


def ours_copy(source: Path, sink: Path, *, verify: bool) -> int:
    with _open(source) as one, _open(sink) as other:
        return copy(one, other, verify=verify).written


def ours_export(source: Path, file: Path) -> int:
    with _open(source) as store:
        return export_records(store, file).written


def ours_import(file: Path, sink: Path, *, verify: bool) -> int:
    with _open(sink) as store:
        return import_records(file, store, verify=verify).written


def _open(path: Path) -> datastore.DataStore:
    return datastore.connect(f"sqlite:///{path}", tracking="off")


def compare(directory: Path, records: int, size: int, rounds: int, *, verify: bool) -> None:
    source, exported, exported_by_hand = (directory / name for name in ("source.db", "ours.jsonl", "hand.jsonl"))
    fill(source, records, size)
    ours_export(source, exported)
    ByHand.export(source, exported_by_hand)
    numbers = count()

    def sink() -> Path:
        return empty(directory / f"{next(numbers)}.db")

    def file() -> Path:
        return directory / f"{next(numbers)}.jsonl"

    calls: dict[str, tuple[Callable[[], Path], Callable[[Path], int]]] = {
        "copy": (sink, lambda to: ours_copy(source, to, verify=verify)),
        "copy by hand": (sink, lambda to: ByHand.copy(source, to)),
        "export": (file, lambda to: ours_export(source, to)),
        "export by hand": (file, lambda to: ByHand.export(source, to)),
        "import": (sink, lambda to: ours_import(exported, to, verify=verify)),
        "import by hand": (sink, lambda to: ByHand.bring_in(exported_by_hand, to)),
    }
    rates = {name: list[float]() for name in calls}
    elapsed = {name: list[float]() for name in calls}
    for number in range(rounds + 1):
        for name, (place, work) in calls.items():
            to = place()
            began, clock = time.process_time(), time.perf_counter()
            done = work(to)
            used, passed = time.process_time() - began, time.perf_counter() - clock
            if done != records:
                raise SystemExit(f"{name} moved {done:,} of {records:,} records")
            for left in directory.glob(f"{to.name}*"):
                left.unlink()
            if number:
                rates[name].append(done / used)
                elapsed[name].append(done / passed)
    report(measuring.Rates(rates), measuring.Rates(elapsed), records, size)


def report(rates: measuring.Rates, elapsed: measuring.Rates, records: int, size: int) -> None:
    result = measuring.table(
        f"{records:,} records of about {size} bytes", "", "us a record", "by hand", "times as long", "quartiles",
        "target us", "", "records a second",
    )  # fmt: skip
    for call, target in TARGETS.items():
        ratio, (low, high) = rates.ratio(f"{call} by hand", call), rates.spread(f"{call} by hand", call)
        took = 1e6 / rates.median(call)
        result.add_row(
            call, f"{took:.1f}", f"{1e6 / rates.median(f'{call} by hand'):.1f}", f"{ratio:.2f}",
            f"{low:.2f} to {high:.2f}", f"{target:.0f}", measuring.verdict(took <= target),
            measuring.number(elapsed.median(call)),
        )  # fmt: skip
    measuring.console.print(result)


_ALONE = """
import sys
sys.path.insert(0, {here!r})
import moving
moving.alone({call!r}, {source!r}, {to!r})
"""


def alone(call: str, source: str, to: str) -> None:
    """Move in this process, and print its peak memory in megabytes before and after."""
    before = peak()
    if call == "copy":
        ours_copy(Path(source), Path(to), verify=True)
    elif call == "export":
        ours_export(Path(source), Path(to))
    else:
        ours_import(Path(source), Path(to), verify=True)
    print(json.dumps([before, peak()]))


def peak() -> float:
    """Return the most memory that this process has taken, in MB.

    `resource.getrusage` also counts what the parent process took before this one became a program of its own.
    """
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def memory(directory: Path, kind: str, numbers: Sequence[int], fill: Callable[[Path, int], None]) -> None:
    result = measuring.table("peak memory of the process in MB", "", kind, "before", "peak", "seconds")
    for number in numbers:
        source, sink, file, imported = (directory / name for name in ("source.db", "sink.db", "file.jsonl", "in.db"))
        fill(source, number)
        for call, beginning, to in (("copy", source, sink), ("export", source, file), ("import", file, imported)):
            code = _ALONE.format(here=str(Path(__file__).parent), call=call, source=str(beginning), to=str(to))
            clock = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            passed = time.perf_counter() - clock
            before, peak = json.loads(done.stdout)
            result.add_row(call, f"{number:,}", f"{before:.0f}", f"{peak:.0f}", f"{passed:.1f}")
        for left in directory.iterdir():
            left.unlink()
    measuring.console.print(result)


def fill_blob(path: Path, megabytes: int) -> None:
    """Store one blob, which does not compress."""
    piece = Random(1).randbytes(1_000_000)
    with _open(path) as store:
        store.agent("user", "agent").blobs.put("blob", (piece for _ in range(megabytes)))


def url_of(to: str) -> str:
    """Return a URL; for the name of a test server, that of the server, which ends with this process."""
    if "://" in to:
        return to
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.servers import couchdb, dynamodb, firestore

    if to == "couchdb":
        return couchdb.url("moved")
    if to == "dynamodb":
        dynamodb.MINISTACK.start()
        return dynamodb.MINISTACK.url()
    return f"firestore://benchmark/moved?emulator=127.0.0.1:{firestore.server().port}"


def into(directory: Path, url: str, records: int, size: int, rounds: int) -> None:
    """Copy into the store at a URL, and measure what the same requests take without anything else."""
    source = directory / "source.db"
    fill(source, records, size)
    rates = {"copy": list[float](), "server": list[float]()}
    used = list[float]()
    with _open(source) as one, datastore.connect(url, tracking="off") as other:
        if any(page.documents for page in pages(other, fields=Fields.KEY)):
            raise SystemExit("the store is not empty")
        moves: dict[str, Callable[[], int]] = {
            "copy": lambda: copy(one, other).verified,
            "server": lambda: _bare(one, other),
        }
        for number in range(rounds + 1):
            for name, move in moves.items():
                began, clock = time.perf_counter(), time.process_time()
                if move() != records:
                    raise SystemExit(f"{name} did not move all records")
                if number:
                    rates[name].append(records / (time.perf_counter() - began))
                    if name == "copy":
                        used.append(1e6 * (time.process_time() - clock) / records)
                for user in range(_USERS):
                    other.forget(f"user-{user}")
        ratio = measuring.Rates(rates)
        low, high = ratio.spread("copy", "server")
        result = measuring.table(
            f"{records:,} records into {other.backend.name}, elapsed time", "", "records a second", "requests alone",
            "of it", "quartiles", "us of processor time a record",
        )  # fmt: skip
        result.add_row(
            "copy", measuring.number(ratio.median("copy")), measuring.number(ratio.median("server")),
            f"{ratio.ratio('copy', 'server'):.2f}", f"{low:.2f} to {high:.2f}", f"{sorted(used)[len(used) // 2]:.0f}",
        )  # fmt: skip
        measuring.console.print(result)


def _bare(source: datastore.DataStore, sink: datastore.DataStore) -> int:
    """Make the requests of a copy: for each page a read, a write, and a read of what was written."""
    backend, now, number = core_of(sink).backend, core_of(sink).now(), 0
    for page in pages(source):
        restores = [_restore(document, now) for document in page.documents]
        ids = [document.id for document in page.documents]
        _read(backend.read, ids, backend.capabilities.read_batch)
        for start in range(0, len(restores), backend.capabilities.write_batch):
            backend.restore(restores[start : start + backend.capabilities.write_batch])
        number += _read(backend.read, ids, backend.capabilities.read_batch)
    return number


def _restore(document: Document, now: str) -> Restore:
    return Restore(document, *decode_id(document.id), encode(document.value), now)


def _read(read: Callable[[Sequence[str], Fields], dict[str, Document]], ids: Sequence[str], size: int) -> int:
    return sum(len(read(ids[start : start + size], Fields.ALL)) for start in range(0, len(ids), size))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--bytes", type=int, default=500, help="the size of a value")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-verify", dest="verify", action="store_false", help="do not read back what was written")
    parser.add_argument("--memory", type=int, nargs="+", metavar="RECORDS", help="measure only the peak memory")
    parser.add_argument("--blob", type=int, nargs="+", metavar="MEGABYTES", help="measure only that, with a blob")
    parser.add_argument(
        "--to",
        metavar="URL",
        help="measure only copying into this store, or into couchdb, dynamodb or firestore: a test server",
    )
    options = parser.parse_args()
    measuring.print_environment()
    with measuring.work_directory() as directory:
        if options.memory:
            memory(directory, "records", options.memory, lambda path, number: fill(path, number, options.bytes))
        elif options.blob:
            memory(directory, "megabytes", options.blob, fill_blob)
        elif options.to:
            into(directory, url_of(options.to), options.records, options.bytes, options.rounds)
        else:
            compare(directory, options.records, options.bytes, options.rounds, verify=options.verify)


if __name__ == "__main__":
    main()

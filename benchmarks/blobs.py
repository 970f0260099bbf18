"""What a blob costs: memory and time for a large one, against a plain file and rows of BLOBs written by hand.

    python benchmarks/blobs.py [--megabytes 1000] [--rounds 3] [--url URL ...]

Each store is measured in a process of its own, whose peak of memory (``ru_maxrss``) is shown. The content is made while
it is put and hashed while it is read, so that it is never in memory as a whole. The plain file and the rows are hashed
once each way, too: a blob is hashed twice when it is put, each part and the whole. Each has its turn
in each round; the ratios are those of the medians.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import datastore

MB = 1_000_000
PIECE = 1_048_576
ROW = 262_144


def content(size: int) -> Iterator[bytes]:
    """Yield bytes that do not compress, a mebibyte at a time."""
    piece = random.Random(1).randbytes(PIECE)
    for start in range(0, size, PIECE):
        yield (start.to_bytes(8, "big") + piece)[: min(PIECE, size - start)]


def timed(name: str, size: int, work: Callable[[], object]) -> float:
    """Do some work on so many bytes, and print how fast it was, and return that."""
    began = time.perf_counter()
    work()
    speed = size / MB / (time.perf_counter() - began)
    print(f"  {name:<24}{speed:>9,.1f} MB/s", flush=True)
    return speed


def blob(url: str, size: int) -> None:
    """Put a blob, read it in order and in places, and remove it."""
    with datastore.connect(url) as store:
        blobs = store.agent("benchmark", "blobs").blobs
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if size:
            timed("put", size, lambda: blobs.put("blob", content(size)))

            def read() -> None:
                whole = hashlib.sha256()
                with blobs.open("blob") as file:
                    while piece := file.read(PIECE):
                        whole.update(piece)
                assert whole.hexdigest() == blobs.list()[0].sha256

            timed("read in order", size, read)
            chance = random.Random(2)

            def read_places() -> None:
                with blobs.open("blob") as file:
                    for _ in range(200):
                        file.seek(chance.randrange(size))
                        file.read(1_000)

            began = time.perf_counter()
            read_places()
            print(f"  {'1,000 bytes at a place':<24}{(time.perf_counter() - began) / 200 * 1_000:>9.2f} ms")
            timed("delete", size, lambda: blobs.delete("blob", grace=0))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"  {'peak of memory':<24}{after / 1_000:>9,.0f} MB, {(after - before) / 1_000:,.0f} MB more than before")


def plain_file(path: Path, size: int) -> None:
    """Write and read a file, with its SHA-256."""

    def write() -> None:
        whole = hashlib.sha256()
        with path.open("wb") as file:
            for piece in content(size):
                whole.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())

    def read() -> None:
        whole = hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                whole.update(piece)

    timed("write", size, write)
    timed("read in order", size, read)


def rows(path: Path, size: int) -> tuple[float, float]:
    """Write and read rows with a BLOB of a part each, 8 in a transaction, as one would write it by hand."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("CREATE TABLE parts (name TEXT, number INTEGER, data BLOB, PRIMARY KEY (name, number))")

    def write() -> None:
        whole, number = hashlib.sha256(), 0
        connection.execute("BEGIN IMMEDIATE")
        for piece in content(size):
            whole.update(piece)
            for start in range(0, len(piece), ROW):
                connection.execute("INSERT INTO parts VALUES ('blob', ?, ?)", (number, piece[start : start + ROW]))
                number += 1
                if number % 8 == 0:
                    connection.execute("COMMIT")
                    connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")

    def read() -> None:
        whole = hashlib.sha256()
        for (data,) in connection.execute("SELECT data FROM parts WHERE name = 'blob' ORDER BY number"):
            whole.update(data)

    speeds = timed("write", size, write), timed("read in order", size, read)
    connection.close()
    return speeds


def measured(url: str, megabytes: int) -> tuple[float, float]:
    """Measure a store in a process of its own, and return how fast a put was, and reading in order."""
    print(f"{megabytes:,} MB on {url.partition(':')[0]}; load {os.getloadavg()[0]:.1f}", flush=True)
    command = [sys.executable, __file__, "--alone", "--megabytes", str(megabytes), "--url", url]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    print(text, end="")
    put, read = (float(line.split()[-2].replace(",", "")) for line in text.splitlines()[:2])
    return put, read


def compared(folder: Path, megabytes: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Measure SQLite, rows and a file once, and return the speeds of the first two."""
    store, size = folder / "store.db", megabytes * MB
    blobs = measured(f"sqlite:///{store}", megabytes)
    print(f"  {'size of the file':<24}{store.stat().st_size / size:>9.2f} of the content")
    print("rows of 262,144 bytes by hand")
    by_hand = rows(folder / "rows.db", size)
    print("a plain file")
    plain_file(folder / "plain", size)
    for path in folder.iterdir():
        path.unlink()
    return blobs, by_hand


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--url", action="append", help="measure these stores instead of SQLite, files and rows")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = options.megabytes * MB
    if options.alone:
        blob(options.url[0], size)
        return
    folder = Path(tempfile.mkdtemp(prefix="blobs-"))
    try:
        for url in options.url or ():
            measured(url, options.megabytes)
        if not options.url:
            rounds = [compared(folder, options.megabytes) for _ in range(options.rounds)]
            for number, name in enumerate(("put", "read in order")):
                blobs, by_hand = (median(speeds[number] for speeds in some) for some in zip(*rounds, strict=True))
                print(f"{name}: {blobs / by_hand:.2f} of the speed of rows by hand")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

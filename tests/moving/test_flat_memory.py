"""Copy, export and import take large blobs along with a page of them in memory, however large they are."""

import random
import tracemalloc

import datastore
from datastore.moving import copy, export_records, import_records

MB = 1 << 20
FEW, MANY = 16, 48
"""Mebibytes. The fewer fill the pages that a move reads."""


def peak(work, *arguments):
    """Return how much more memory than before some work takes at most, in bytes."""
    tracemalloc.start()
    try:
        work(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_three_times_as_much_is_moved_in_the_same_memory(tmp_path):
    """What is held are pages of bounded size. `benchmarks/moving.py` measures the whole process, with SQLite in it."""
    piece, peaks = random.Random(1).randbytes(MB), {}
    for size in (FEW, MANY):
        source, copied, imported = (
            datastore.connect(f"sqlite:///{tmp_path}/{name}{size}.db") for name in ("source", "copied", "imported")
        )
        file = str(tmp_path / f"{size}.jsonl")
        with source, copied, imported:
            source.agent("ann", "writer").blobs.put("artifact", (piece for _ in range(size)))
            peaks[size] = [
                peak(copy, source, copied),
                peak(export_records, source, file),
                peak(import_records, file, imported),
            ]
            blobs = [store.agent("ann", "reader").blobs for store in (source, copied, imported)]
            assert len({one.stat("artifact").sha256 for one in blobs}) == 1
            with blobs[-1].open("artifact") as whole:
                whole.seek(-MB, 2)
                assert whole.read() == piece
    for few, many in zip(peaks[FEW], peaks[MANY], strict=True):
        assert many < few + MB, peaks

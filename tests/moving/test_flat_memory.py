"""Copy, export and import take large blobs along with a page of them in memory, however large they are."""

import random
import tracemalloc
from functools import partial

import pytest

import datastore
from datastore.moving import copy, export_records, import_records
from tests.moving.test_sinks import SERVERS, TARGETS

MB = 1 << 20
FEW, MANY = 16, 48
"""Mebibytes. The fewer fill the pages that a move reads."""
LESS, MORE = 14, 54
"""On servers. The test server's proxy for CouchDB is in this process, too, and holds what passes it."""


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


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.server(name)) for name in SERVERS])
def test_three_times_as_much_is_moved_into_each_server_and_out_of_it_in_the_same_memory(name, tmp_path, monkeypatch):
    """With small pages, so that little fills them; how large an adapter's may be, its own tests say."""
    monkeypatch.setattr("datastore.moving.pages.PAGE", 8)
    piece, peaks = random.Random(1).randbytes(MB), {}
    for size in (LESS, MORE):
        with (
            datastore.connect(f"sqlite:///{tmp_path}/source{size}.db") as source,
            datastore.connect(TARGETS[name]()) as server,
            datastore.connect(f"sqlite:///{tmp_path}/back{size}.db") as back,
        ):
            blob = source.agent("ann", "writer").blobs.put("artifact", (piece for _ in range(size)))
            peaks[size] = [peak(copy, source, server), peak(partial(copy, user_id="ann"), server, back)]
            with back.agent("ann", "reader").blobs.open("artifact") as whole:
                whole.seek(-MB, 2)
                assert whole.read() == piece
            assert back.agent("ann", "reader").blobs.stat("artifact").sha256 == blob.sha256
    for less, more in zip(peaks[LESS], peaks[MORE], strict=True):
        assert more < less + (MORE - LESS) * MB / 2, peaks

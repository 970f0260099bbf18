"""Blobs of an agent in a sandbox: what leaves it, what it needs in memory, and a server that dies in between."""

import asyncio
import io
import random
import tracemalloc

import pytest

import datastore
from datastore import BlobNotFoundError, DataStoreError, LeaseLostError
from datastore.blobs.heads import PART
from datastore.blobs.uploads import REQUEST
from tests.remote.processes import ServerProcess

CONTENT = random.Random(5).randbytes(2 * REQUEST + 10)


def test_each_call_makes_few_requests(data_store, requests):
    blobs = data_store.blobs

    def made(call):
        requests.clear()
        call()
        return list(requests)

    assert made(lambda: blobs.put("small", CONTENT[: REQUEST - 1])) == ["blob_put"]
    large = ["blob_begin", "blob_write", "blob_write", "blob_finish"]
    assert made(lambda: blobs.put("large", io.BytesIO(CONTENT))) == large
    assert made(lambda: blobs.get("small")) == ["blob_find", "blob_read"]
    assert made(lambda: blobs.get("large")) == ["blob_find", *["blob_read"] * 3]
    assert made(lambda: blobs.get("none")) == made(lambda: blobs.stat("large")) == ["blob_find"]
    assert made(lambda: blobs.list("l")) == ["blob_list"]
    with blobs.open("large") as file:
        assert made(lambda: file.seek(3 * PART + 5)) == []
        assert made(lambda: file.read(10)) == ["blob_read"]
        assert made(lambda: file.read(10)) == []
        file.seek(3 * PART + 5)
        assert file.read(10) == CONTENT[3 * PART + 5 :][:10]
    assert made(lambda: blobs.delete("large")) == ["blob_delete"]
    with pytest.raises(BlobNotFoundError):
        blobs.open("large")
    for call in (lambda: blobs.put("", b""), lambda: blobs.put("a", "text"), lambda: blobs.list(limit=0)):
        requests.clear()
        with pytest.raises(DataStoreError):
            call()
        assert requests == []


def test_memory_stays_flat_on_both_sides(tmp_path):
    """A blob of 40 MiB needs no more than one of 8."""
    server = ServerProcess(tmp_path)
    with datastore.connect(server.database) as store:
        token = store.tokens.mint("ann", "planner")
    server.start()
    try:
        with datastore.connect(server.url, token=token) as data_store:

            def peaks(requests):
                tracemalloc.start()
                try:
                    data_store.blobs.put("a", (bytes([number]) * REQUEST for number in range(requests)))
                    with data_store.blobs.open("a") as file:
                        for number in range(requests):
                            assert file.read(REQUEST) == bytes([number]) * REQUEST
                    return tracemalloc.get_traced_memory()[1], server.most_memory()
                finally:
                    tracemalloc.stop()

            small, large = peaks(4), peaks(20)
    finally:
        server.kill()
    assert large[0] - small[0] < 3 * REQUEST
    assert large[1] - small[1] < 8 * REQUEST


def test_blobs_are_written_under_a_lease(data_store, store):
    with data_store.lease("work", renew=False) as lease:
        lease.data_store.blobs.put("a", CONTENT)
        assert lease.data_store.blobs.get("a") == CONTENT
    with pytest.raises(LeaseLostError):
        lease.data_store.blobs.put("a", b"late")
    assert store.host("ann").blobs.get("a") == CONTENT


def test_awaited_blobs_are_served_too(data_store):
    async def work():
        blobs = data_store.asynchronous.blobs

        async def pieces():
            for start in range(0, len(CONTENT), 700_000):
                yield CONTENT[start : start + 700_000]

        blob = await blobs.put("a", pieces())
        assert await blobs.list() == [blob]
        async with await blobs.open("a") as file:
            await file.seek(PART)
            assert await file.read(5) == CONTENT[PART:][:5]
        return await blobs.get("a")

    assert asyncio.run(work()) == CONTENT


def test_a_put_outlives_the_server_or_leaves_the_old_blob_whole(tmp_path):
    """Killed between two parts and started again, the server goes on with it: nothing of it is in its memory."""
    server = ServerProcess(tmp_path)
    with datastore.connect(server.database) as store:
        token = store.tokens.mint("ann", "planner")
        server.start()
        try:
            with datastore.connect(server.url, token=token) as data_store:
                data_store.blobs.put("a", b"old")

                def pieces(restart):
                    yield CONTENT[: REQUEST + 1]
                    server.kill()
                    assert store.host("ann").blobs.get("a") == b"old"
                    if restart:
                        server.start()
                    yield CONTENT[REQUEST + 1 :]

                data_store.blobs.put("a", pieces(restart=True))
                assert data_store.blobs.get("a") == CONTENT
            with datastore.connect(server.url, token=token, retry_seconds=0) as data_store:
                data_store.blobs.put("a", b"old")
                with pytest.raises(DataStoreError):
                    data_store.blobs.put("a", pieces(restart=False))
                assert store.host("ann").blobs.get("a") == b"old"
        finally:
            server.kill()

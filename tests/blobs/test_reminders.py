"""Reminders of what is to be removed: in a store that it was copied to, and in one process that puts often."""

import datastore
from datastore.blobs.heads import MARK
from datastore.blobs.uploads import GRACE
from datastore.conformance.clock import Clock
from datastore.conformance.topics.blobs import stored
from datastore.moving import copy


def test_a_copy_reminds_the_host_of_the_sink():
    clock = Clock()
    with datastore.connect("memory://", clock=clock) as source, datastore.connect("memory://", clock=clock) as sink:
        blobs = source.agent("user_1", "agent").blobs
        blobs.put("a", b"old")
        blobs.put("a", b"new")
        copy(source, sink)
        assert len(stored(sink, MARK)) == 1
        clock.advance(GRACE)
        assert [source.purge_expired(), sink.purge_expired()] == [1, 1]
        assert len(stored(sink)) == 2


def test_a_process_that_puts_often_reminds_once_an_hour():
    clock = Clock()
    with datastore.connect("memory://", clock=clock) as store:
        blobs, writes = store.agent("user_1", "agent").blobs, []
        write = store.backend.write
        store.backend.write = lambda some: writes.append([one.id for one in some]) or write(some)
        for _ in range(60):
            blobs.put("a", b"content")
            clock.advance(60)
        assert sum(ids[0].startswith("user_1%.:due:") for ids in writes) == 2, "the second before the first is due"
        clock.advance(GRACE)
        assert store.purge_expired() > 0
        assert len(stored(store)) == 2

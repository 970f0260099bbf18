"""Leases and forks: a child does not hold its parent's leases."""

import os

import pytest

import datastore


@pytest.mark.parametrize("renew", [True, False])
@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/a.db"])
def test_a_child_does_not_hold_its_parents_leases(tmp_path, url, renew):
    with datastore.connect(url.format(tmp_path)) as store:
        lease = store.agent("u", "a").lease("work", renew=renew)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            said = b"?"
            try:
                said = b"held" if lease.is_held else b"lost"
            finally:
                os.write(writer, said)
                os._exit(0)
        os.close(writer)
        said = os.read(reader, 10)
        os.close(reader)
        os.waitpid(child, 0)
        assert said == b"lost"
        lease.data_store.set("key", 1)
        assert lease.release()

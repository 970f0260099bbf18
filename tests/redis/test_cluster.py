"""A node of a cluster, which refuses scripts and batches over several hash slots: all calls work all the same."""

import pytest

import datastore
from datastore.moving import copy, digest_of
from tests.servers import redis
from tests.servers.processes import HOST, temporary_folder

pytestmark = pytest.mark.server("redis")


def test_no_call_needs_two_slots():
    server = redis.new_server(temporary_folder("redis"), "--cluster-enabled", "yes")
    server.start()
    try:
        for first in range(0, 16_384, 2_048):
            slots = map(str, range(first, first + 2_048))
            assert redis.command(server.port, "CLUSTER", "ADDSLOTS", *slots).startswith(b"+OK")
        while b"cluster_state:ok" not in redis.command(server.port, "CLUSTER", "INFO"):
            pass
        with datastore.connect(f"redis://{HOST}:{server.port}") as store, datastore.connect("memory://") as other:
            for user in ("ann", "a}b", "{}", "é"):
                agent = store.agent(user, "w")
                agent.set_many({f"k{number}": number for number in range(20)}, ttl=60)
                agent.increment("k1")
                assert agent.delete("k2")
                assert agent.touch("k3", ttl=None)
                assert len(agent.get_all()) == agent.count() == 19
                assert agent.list_namespaces() == ["default"]
                agent.blobs.put("blob", b"x")
                agent.log("log").append(1)
                with agent.lease("work", renew=False) as lease:
                    lease.data_store.set("k4", 1)
            store.flush()
            assert copy(store, other).complete
            assert digest_of(other) == digest_of(store)
            assert agent.clear() == 19
            assert set(store.users()) == {"a}b", "ann", "{}"}
            assert store.purge_expired() == 0
            assert store.forget("ann").records == 19
    finally:
        server.stop()

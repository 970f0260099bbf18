"""Moving: whole documents in and out, many together, between PostgreSQL and what else there is."""

import pytest

import datastore
from datastore.moving import copy, digest_of
from tests.servers import postgresql

pytestmark = pytest.mark.server("postgresql")


def test_a_copy_goes_there_and_back_again(store, tmp_path):
    for user in ("ann", "a:b", "é"):
        agent = store.agent(user, "writer")
        agent.set_many({f"k{number}": {"n": 2**70, "f": 1.0, "t": "\0é"} for number in range(400)}, {"m": [1.0]})
        agent.set("brief", 1, ttl=3_600)
        agent.blobs.put("blob", b"x" * 600_000)
    wanted = digest_of(store)
    with (
        datastore.connect(f"sqlite:///{tmp_path}/there.db") as there,
        datastore.connect(postgresql.borrow()) as back,
    ):
        assert copy(store, there).complete
        assert digest_of(there) == wanted
        assert copy(there, back).complete
        assert digest_of(back) == wanted
        again = copy(there, back)
        assert again.written == 0

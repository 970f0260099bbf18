"""Moving: whole documents in and out, many together, between a database and SQLite."""

import datastore
from datastore.moving import copy, digest_of


class Moving:
    """It needs the fixtures `store` and ``another_url``."""

    def test_a_copy_goes_there_and_back_again(self, store, another_url, tmp_path):
        for user in ("ann", "a:b", "é"):
            agent = store.agent(user, "writer")
            agent.set_many({f"k{number}": {"n": 2**70, "f": 1.0, "t": "\0é"} for number in range(400)}, {"m": [1.0]})
            agent.set("brief", 1, ttl=3_600)
            agent.blobs.put("blob", b"x" * 600_000)
        wanted = digest_of(store)
        with (
            datastore.connect(f"sqlite:///{tmp_path}/there.db") as there,
            datastore.connect(another_url) as back,
        ):
            assert copy(store, there).complete
            assert digest_of(there) == wanted
            assert copy(there, back).complete
            assert digest_of(back) == wanted
            again = copy(there, back)
            assert again.written == 0

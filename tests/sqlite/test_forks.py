"""A store works on in a forked child and in its parent."""

import pytest

import datastore
from datastore.values import encode
from tests.sqlite.processes import in_a_child


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # Python 3.12 warns of what is tested here
@pytest.mark.parametrize("url", ["sqlite:///{path}", "memory://", "sqlite://:memory:"])
def test_a_store_works_on_in_a_forked_child_and_in_its_parent(path, url):
    with datastore.connect(url.format(path=path), flush_interval=3_600) as store:
        agent = store.agent("u", "parent")
        agent.set("k", "before")
        agent.get("k")

        def work():
            mine = store.agent("u", "child")
            assert mine.get("k") == "before"
            mine.set("child", encode(1))
            store.close()

        in_a_child(work)
        agent.set("parent", 1)
        store.flush()
        shared = store.capabilities.shared
        assert agent.list_keys() == (["child", "k", "parent"] if shared else ["k", "parent"])
        assert agent.get_record("k").access_count == (2 if shared else 1), "no access is counted twice"

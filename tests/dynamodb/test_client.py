"""The client: one for all threads, with nothing left of it when the store is closed."""

import threading

import pytest

import datastore

pytestmark = pytest.mark.server("dynamodb")


def test_one_client_serves_all_threads(agent, client, store):
    assert client.meta.config.max_pool_connections == 50
    assert client.meta.config.retries["total_max_attempts"] == 1
    seen = set()

    def read():
        agent.get("k")
        seen.add(id(store.backend._connection.client))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {id(client)}


def test_closing_leaves_no_thread(url):
    before = set(threading.enumerate())
    store = datastore.connect(url)
    agent = store.agent("u", "a")
    agent.set_many({f"k{i}": i for i in range(250)})
    agent.get_many([f"k{i}" for i in range(250)])
    store.close()
    assert set(threading.enumerate()) <= before

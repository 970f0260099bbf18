"""The client: one for all threads, with nothing left of it when the store is closed."""

import threading

import pytest
from botocore import handlers

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


def test_who_listens_to_one_client_hears_nothing_of_another(url, client):
    """Botocore's own handlers are registered once for all of them."""
    heard = []
    client.meta.events.register("before-send.dynamodb", lambda request, **_: heard.append(request))
    with datastore.connect(url) as other:
        other.agent("u", "a").get("k")
        assert other.backend._connection.client is not client
    assert not heard
    client.list_tables()
    assert heard


def test_what_another_library_adds_to_botocores_handlers_is_in_each_client_made_after_it(url, store, monkeypatch):
    """So moto does when it is imported."""
    store.agent("u", "a").get("k")
    heard = []
    added = ("before-send", lambda request, **_: heard.append(request))
    monkeypatch.setattr(handlers, "BUILTIN_HANDLERS", [*handlers.BUILTIN_HANDLERS, added])
    with datastore.connect(url) as other:
        other.agent("u", "a").get("k")
    assert heard

"""URLs: what they name, and what is refused before anything is sent."""

import pytest

import datastore
from datastore import ConfigurationError, PermissionDeniedError
from datastore.urls import Url
from datastore_redis.urls import place, settings_of
from tests.servers import redis
from tests.servers.processes import temporary_folder


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis:///0", "has no server; write redis://"),
        ("rediss://ho st/0", "has no server; write rediss://"),
        ("redis://host:99999", "has no server"),
        ("redis://host/a{b", "path of a redis URL is the number of a database, the name of a store, or both"),
        ("redis://host/0/1", "the name of a store, or both"),
        ("redis://host/agents/0", "the name of a store, or both"),
        ("redis://host?pool=0", "'pool' of the redis URL: it must be a whole number of at least 1"),
        ("redis://host?time=1", "no parameter 'time' .did you mean 'timeout'"),
        ("redis:///0?socket=redis.sock", "it must be an absolute path"),
        ("redis://host?socket=/redis.sock", "the URL has no host"),
        ("rediss:///0?socket=/redis.sock", "and no TLS"),
        ("redis://host?isolation=database", "no parameter 'isolation'"),
    ],
)
def test_a_wrong_url_is_refused_before_anything_is_sent(url, words):
    with pytest.raises(ConfigurationError, match=words):
        datastore.connect(url)


def test_what_a_url_names():
    settings = settings_of(Url("redis://ann:p%40ss@[::1]/3/agents"))
    assert settings.options == {"db": 3, "username": "ann", "password": "p@ss", "host": "::1", "port": 6379}
    assert "p@ss" not in settings.address
    assert settings.name == "agents"
    names = [settings_of(Url(f"redis://host{path}")).name for path in ("", "/", "/7", "/7/", "/7/a1", "/a1", "/1a/")]
    assert names == ["agent_data_store"] * 4 + ["a1", "a1", "1a"]
    assert place(Url("redis://LOCALHOST:6379")) == place(Url("redis://127.0.0.1/0?timeout=3"))
    assert place(Url("redis://host/1")) != place(Url("redis://host"))


@pytest.mark.server("redis")
def test_a_socket_and_a_password(monkeypatch):
    folder = temporary_folder("redis")
    server = redis.new_server(folder, "--requirepass", "5ecret")
    monkeypatch.setattr(server, "_ready", lambda port: redis.command(port, "PING").startswith(b"-NOAUTH"))
    server.start()
    try:
        with datastore.connect(f"redis://:5ecret@/0?socket={folder}/redis.sock") as store:
            store.agent("u", "a").set("k", 1)
        for wrong in ("wr0ng", ""):
            with pytest.raises(PermissionDeniedError) as caught:
                datastore.connect(f"redis://:{wrong}@127.0.0.1:{server.port}")
            assert "wr0ng" not in str(caught.value)
        with datastore.connect(f"redis://default:5ecret@127.0.0.1:{server.port}") as store:
            assert store.agent("u", "a").get("k") == 1
    finally:
        server.stop()

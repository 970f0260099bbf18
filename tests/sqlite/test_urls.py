"""URLs: what they name, and what is refused before anything is opened."""

import sys

import pytest

import datastore
from datastore import ConfigurationError
from tests.sqlite.files import connect


def test_a_relative_and_an_absolute_path_name_the_same_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with datastore.connect("sqlite:///agents.db") as store:
        store.agent("u", "a").set("k", 1)
    with datastore.connect(f"sqlite:///{tmp_path}/agents.db") as store:
        assert store.agent("u", "a").get("k") == 1


def test_a_path_may_hold_what_a_url_must_escape(tmp_path):
    with connect(f"{tmp_path}/a%20b%3Fc%25.db") as store:
        store.agent("u", "a").set("k", 1)
    assert (tmp_path / "a b?c%.db").exists()


def test_a_slash_too_many_does_no_harm(tmp_path):
    with datastore.connect(f"sqlite:////{tmp_path}/a.db") as store:
        store.agent("u", "a").set("k", 1)
    assert (tmp_path / "a.db").exists()


def test_memory_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with datastore.connect("sqlite://:memory:") as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        assert agent.get("k") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("synchronous", "level"), [("normal", 1), ("full", 2)])
def test_every_connection_is_as_durable_as_the_url_says(tmp_path, synchronous, level):
    with connect(f"{tmp_path}/a.db?synchronous={synchronous}") as store:
        pool = store.backend._opened.connections
        first, second = pool.take(sys._getframe()), pool.take(sys._getframe())
        assert first is not second
        for connection in (first, second):
            assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        pool.give_back(first)
        pool.give_back(second)


@pytest.mark.parametrize(("synchronous", "pages"), [("normal", 4_000), ("full", 500)])
def test_the_log_begins_anew_sooner_where_each_commit_waits_for_the_disk(tmp_path, synchronous, pages):
    """What is written over does not grow, and so costs the disk less."""
    with connect(f"{tmp_path}/a.db?synchronous={synchronous}") as store:
        agent = store.agent("u", "a")
        for number in range(1_000):
            agent.set(f"k{number}", "x" * 300)
        size = (tmp_path / "a.db-wal").stat().st_size / 4_120
        assert pages <= size < pages + 50 or (synchronous == "normal" and 1_000 < size < pages)


@pytest.mark.parametrize("mmap", [True, False])
def test_a_memory_map_is_used_where_the_url_asks_for_one(tmp_path, mmap):
    with connect(f"{tmp_path}/a.db" + "?mmap=true" * mmap) as store:
        connections = store.backend._opened.connections
        reading = connections.take(sys._getframe())
        assert (reading.execute("PRAGMA mmap_size").fetchone()[0] > 0) is mmap
        connections.give_back(reading)


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite://:memory:"])
def test_both_spellings_of_a_database_in_memory_are_one(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with datastore.connect(url) as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        assert agent.get("k") == 1
        assert agent.list_keys() == ["k"]
    assert not list(tmp_path.iterdir())


def test_timeouts_that_sqlite_cannot_count_are_refused(path):
    with pytest.raises(ConfigurationError, match="the longest is 2,147,483 s"):
        datastore.connect(f"sqlite:///{path}?timeout=1e7")


@pytest.mark.parametrize("place", ["~/agents.db", "~/not/here/agents.db", "/~/agents.db"])
def test_a_tilde_is_said_to_be_none_of_ours(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ann")
    written = place[place.index("~") + 1 :]
    with pytest.raises(datastore.ConfigurationError, match=f"only a shell .*write sqlite:////home/ann{written}$"):
        datastore.connect(f"sqlite:///{place}")

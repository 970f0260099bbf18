"""The right answer or the typed error, whatever fails: a restart, a cut connection, a replica, a full memory."""

import signal
import threading
import time

import pytest

import datastore
from datastore import (
    BackendUnavailableError,
    BackendUnusableError,
    ConfigurationError,
    DeadlineExceededError,
    PermissionDeniedError,
)
from tests.adapters.connections import SharedConnections
from tests.servers import redis
from tests.servers.processes import HOST, temporary_folder

pytestmark = pytest.mark.server("redis")


@pytest.fixture
def own():
    """A server of this test's own, to be harmed."""
    server = redis.new_server(temporary_folder("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def harmed(own):
    with datastore.connect(f"redis://{HOST}:{own.port}", retry_seconds=0, flush_interval=3_600) as store:
        yield store.agent("u", "a")


def test_a_restart_loses_nothing_and_the_scripts_are_sent_again(own, harmed):
    harmed.set_many({f"k{number}": number for number in range(100)})
    own.stop()
    with pytest.raises(BackendUnavailableError):
        harmed.get("k1")
    own.start()
    assert harmed.increment("k1") == 2
    assert harmed.set_many({"k1": 1, "new": 1}) == 2
    assert harmed.count() == 101
    assert harmed.clear() == 101


def test_what_was_acknowledged_survives_kills_in_the_middle_and_nothing_is_done_twice():
    server = redis.new_server(temporary_folder("redis"), "--appendfsync", "always")
    server.start()
    done = threading.Semaphore(0)

    def count(agent):
        for _ in range(200):
            agent.increment("n")
            done.release()

    try:
        with datastore.connect(f"redis://{HOST}:{server.port}", retry_seconds=60) as store:
            agent = store.agent("u", "a")
            worker = threading.Thread(target=count, args=(agent,))
            worker.start()
            for _ in range(3):
                for _ in range(40):
                    assert done.acquire(timeout=60)
                server._process.send_signal(signal.SIGKILL)
                server.stop()
                server.start()
            worker.join()
            assert agent.get("n") == 200
    finally:
        server.stop()


def test_a_connection_that_the_server_has_closed_is_replaced_before_it_is_used(own, harmed):
    harmed.set("k", 1)
    for _ in range(3):
        redis.command(own.port, "CLIENT", "KILL", "TYPE", "normal")
        assert harmed.increment("k") > 1


def test_a_read_only_replica_reads_and_takes_no_writes(own, harmed):
    harmed.set("k", 1)
    replica = redis.new_server(temporary_folder("redis"), "--replicaof", HOST, str(own.port))
    replica.start()
    try:
        while b"master_link_status:up" not in redis.command(replica.port, "INFO", "replication"):
            time.sleep(0.01)
        with datastore.connect(f"redis://{HOST}:{replica.port}?mode=ro") as store:
            assert store.agent("u", "a").get("k") == 1
            assert any("is a replica" in finding.text for finding in store.backend.examine(time.time()))
        with datastore.connect(f"redis://{HOST}:{replica.port}", retry_seconds=0, tracking="off") as store:
            agent = store.agent("u", "a")
            for call in (lambda: agent.set("k", 2), lambda: agent.delete("k"), lambda: agent.touch("k", ttl=1)):
                with pytest.raises(BackendUnavailableError, match="read-only replica"):
                    call()
            with pytest.raises(datastore.DataStoreError, match="read-only replica"):
                agent.set_many({"k": 1, "l": 2})
            with pytest.raises(BackendUnavailableError, match="read-only replica"):
                agent.clear()
            assert agent.get_all() == {"k": 1}
    finally:
        replica.stop()


def test_a_full_memory_refuses_writes_at_once_and_nothing_is_lost(own, harmed):
    harmed.set("k", 1)
    redis.command(own.port, "CONFIG", "SET", "maxmemory", "1")
    for call in (lambda: harmed.set("k", 2), lambda: harmed.set("new", 1), lambda: harmed.increment("k")):
        with pytest.raises(BackendUnusableError, match="no memory left"):
            call()
    assert harmed.get("k") == 1
    assert harmed.list_keys() == ["k"]
    redis.command(own.port, "CONFIG", "SET", "maxmemory", "0")
    assert harmed.increment("k") == 2


def test_too_few_replicas_refuse_a_new_user_for_now(own):
    """Redis 6 refuses plain commands, with which users are listed; Redis 7 refuses what scripts write, too."""
    with datastore.connect(f"redis://{HOST}:{own.port}", retry_seconds=0, tracking="off") as store:
        redis.command(own.port, "CONFIG", "SET", "min-replicas-to-write", "1")
        with pytest.raises(BackendUnavailableError, match="too few replicas follow it"):
            store.agent("u", "a").set("k", 1)
        redis.command(own.port, "CONFIG", "SET", "min-replicas-to-write", "0")
        store.agent("u", "a").set("k", 1)
        assert list(store.users()) == ["u"]


def test_a_disk_that_takes_no_snapshot_refuses_writes():
    folder = temporary_folder("redis")
    server = redis.new_server(folder, "--appendonly", "no", "--save", "3600", "1", "--dbfilename", "taken")
    server.start()
    try:
        with datastore.connect(f"redis://{HOST}:{server.port}", tracking="off") as store:
            agent = store.agent("u", "a")
            agent.set("k", 1)
            (folder / "taken").mkdir()  # where the snapshot belongs
            redis.command(server.port, "BGSAVE")
            while b"rdb_last_bgsave_status:err" not in redis.command(server.port, "INFO", "persistence"):
                pass
            for call in (lambda: agent.set("k", 2), lambda: agent.set("new", 1), agent.clear):
                with pytest.raises(BackendUnusableError, match="cannot save to its disk"):
                    call()
            assert agent.get_all() == {"k": 1}
    finally:
        server.stop()


def test_a_user_is_forgotten_though_the_memory_is_full(own):
    with datastore.connect(f"redis://{HOST}:{own.port}", tracking="off") as store:
        store.agent("full", "a").set("k", 1)
        redis.command(own.port, "CONFIG", "SET", "maxmemory", "1")
        try:
            assert store.forget("full").records == 1
        finally:
            redis.command(own.port, "CONFIG", "SET", "maxmemory", "0")
        assert "full" not in store.users()


def test_a_user_whose_mark_says_so_stays_listed_though_the_memory_is_full(own):
    """Somebody has died between taking the user off the list and looking whether others have written meanwhile."""
    with datastore.connect(f"redis://{HOST}:{own.port}", tracking="off") as store:
        store.agent("there", "a").set("k", 1)
        store.agent("there", "a").set("old", 1, ttl=1e-6)
        names, ask = store.backend._session.names, store.backend._session.ask
        ask(("ZREM", names.users, "there"), ("ZADD", names.leaving, 0, "there\0mark", 0, "gone\0mark"))
        redis.command(own.port, "CONFIG", "SET", "maxmemory", "1")
        try:
            assert store.purge_expired() == 1
        finally:
            redis.command(own.port, "CONFIG", "SET", "maxmemory", "0")
        assert list(store.users()) == ["there"]
        assert ask(("ZRANGE", names.leaving, 0, -1)) == [[b"there\0mark"]]
        store.purge_expired()
        assert ask(("ZRANGE", names.users, 0, -1), ("EXISTS", names.leaving)) == [[b"there"], 0]


def test_a_server_that_hangs_is_waited_for_no_longer_than_the_call_may_take(own):
    with datastore.connect(f"redis://{HOST}:{own.port}", max_seconds=0.3, tracking="off") as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        own._process.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises((DeadlineExceededError, BackendUnavailableError)):
                agent.get("k")
            assert time.monotonic() - began < 8  # and not the ten seconds of the URL's timeout
        finally:
            own._process.send_signal(signal.SIGCONT)
        assert agent.get("k") == 1


def test_credentials_that_may_not_write(url, agent, ask):
    agent.set("k", 1)
    ask("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+@connection", "+info")
    try:
        with datastore.connect(url.replace("redis://", "redis://reader:pw@"), tracking="off") as store:
            reader = store.agent("u", "a")
            assert reader.get_all() == {"k": 1}
            with pytest.raises(PermissionDeniedError) as caught:
                reader.set("k", 2)
            assert "pw" not in str(caught.value)
    finally:
        ask("ACL", "DELUSER", "reader")


def test_a_node_of_a_cluster_that_lacks_slots_is_said_so(monkeypatch):
    server = redis.new_server(temporary_folder("redis"), "--cluster-enabled", "yes")
    server.start()
    try:
        with pytest.raises((BackendUnavailableError, ConfigurationError)):
            datastore.connect(f"redis://{HOST}:{server.port}", retry_seconds=0)
    finally:
        server.stop()


def test_an_interrupted_call_leaves_no_answer_to_the_next(agent, backend, monkeypatch):
    agent.set_many({"k": 1, "l": 2})
    kind = backend._session.settings.kind
    read = kind.read_response

    def interrupt(connection, *arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(kind, "read_response", interrupt)
        with pytest.raises(KeyboardInterrupt):
            agent.get("k")
    assert kind.read_response is read
    assert agent.get("l") == 2


class TestSharedConnections(SharedConnections):
    pass

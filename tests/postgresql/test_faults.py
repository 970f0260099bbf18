"""The right answer or the typed error, whatever fails: a restart, a cut connection, locks, deadlocks, no writes."""

import os
import signal
import threading
import time
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

import datastore
from datastore import BackendUnavailableError, BackendUnusableError, DeadlineExceededError, PermissionDeniedError
from datastore.errors import InternalError
from datastore_postgresql.failures import not_connected
from tests.adapters.connections import SharedConnections
from tests.patience import PATIENCE
from tests.servers import postgresql
from tests.servers.processes import HOST, temporary_folder

pytestmark = pytest.mark.server("postgresql")


@pytest.fixture(scope="module", name="own")
def _own():
    """A server of this module's own, to be harmed. What it acknowledges outlives its processes."""
    server = postgresql.new_server(temporary_folder("postgresql"), "synchronous_commit=on")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_url(own):
    return f"postgresql://agents@{HOST}:{own.port}/postgres"


@pytest.fixture
def harmed(own_url):
    with datastore.connect(own_url, retry_seconds=0, flush_interval=3_600) as store:
        yield store.agent("u", "a")
        store.forget("u")


@contextmanager
def administrator(url):
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@contextmanager
def setting(url, name, value):
    """Sets something for all connections that begin from now on."""
    with administrator(url) as connection:
        connection.execute(f"ALTER ROLE agents SET {name} = {value}")
        try:
            yield
        finally:
            connection.execute(f"ALTER ROLE agents RESET {name}")


@contextmanager
def rows_in_order(url):
    """Lets connections that begin from now on change the rows of a batch in its order, whatever the statistics say.

    With two rows PostgreSQL may read the table instead, and take them in the order in which they lie there.
    """
    with ExitStack() as settings:
        for way in ("enable_hashjoin", "enable_mergejoin", "enable_seqscan", "enable_bitmapscan"):
            settings.enter_context(setting(url, way, "off"))
        yield


def test_a_restart_loses_nothing(own, harmed):
    harmed.set_many({f"k{number}": number for number in range(100)})
    own.stop()
    with pytest.raises(BackendUnavailableError):
        harmed.get("k1")
    own.start()
    assert harmed.increment("k1") == 2
    assert harmed.set_many({"k1": 1, "new": 1}) == 2
    assert harmed.count() == 101
    assert harmed.clear() == 101


def test_a_restart_in_the_middle_of_writes_makes_each_of_them_once(own, own_url, harmed):
    """By a stop that rolls back what is under way, and by one that recovers from the log as after a crash."""
    stores = [datastore.connect(own_url, tracking="off") for _ in range(3)]
    results = [[] for _ in stores]
    goes_on = threading.Event()

    def work(store, made):
        agent = store.agent("u", "b")
        while not goes_on.is_set():
            made.append(agent.increment("count"))
            agent.set_many({f"k{made[-1]}": 1, f"l{made[-1]}": 1})

    threads = [threading.Thread(target=work, args=pair) for pair in zip(stores, results, strict=True)]
    for thread in threads:
        thread.start()
    try:
        for end in (signal.SIGINT, signal.SIGQUIT):
            until = time.monotonic() + PATIENCE
            seen = [len(made) for made in results]
            while any(len(made) < one + 5 for made, one in zip(results, seen, strict=True)):
                assert time.monotonic() < until
                time.sleep(0.01)
            own._end = end
            with own.outage():
                pass
    finally:
        own._end = signal.SIGINT
        goes_on.set()
        for thread in threads:
            thread.join(PATIENCE)
        for store in stores:
            store.close()
    counted = sorted(number for made in results for number in made)
    assert counted == list(range(1, len(counted) + 1))
    assert harmed.get("count") == len(counted)
    assert harmed.count(prefix="k") == harmed.count(prefix="l") == len(counted)


def test_a_connection_that_the_server_has_closed_is_replaced_before_it_is_used(own_url, harmed):
    harmed.set("k", 1)
    with administrator(own_url) as connection:
        for _ in range(3):
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
                "WHERE application_name = 'agent-datastore'"
            ).fetchall()
            assert (True,) in ended
            assert harmed.increment("k") > 1


@pytest.mark.parametrize("read_only", ["default_transaction_read_only"])
def test_where_no_writes_are_taken_reads_work(own_url, harmed, read_only):
    harmed.set("k", 1)
    with setting(own_url, read_only, "on"):
        with datastore.connect(f"{own_url}?mode=ro") as store:
            assert store.agent("u", "a").get("k") == 1
            assert any("takes no writes" in finding.text for finding in store.backend.examine(time.time()))
        with datastore.connect(own_url, retry_seconds=0, tracking="off") as store:
            agent = store.agent("u", "a")
            for call in (lambda: agent.set("k", 2), lambda: agent.delete("k"), agent.clear):
                with pytest.raises(BackendUnavailableError, match="takes no writes"):
                    call()
            assert agent.get_all() == {"k": 1}


def test_a_lock_of_another_transaction_is_waited_for_as_long_as_the_server_says(own_url, harmed):
    harmed.set("k", 1)
    with setting(own_url, "lock_timeout", "'20ms'"), psycopg.connect(own_url) as other:
        other.execute("SELECT * FROM agent_data_store FOR UPDATE")
        with datastore.connect(own_url, retry_seconds=0, tracking="off") as store:
            agent = store.agent("u", "b")
            with pytest.raises(BackendUnavailableError, match=r"held a lock on the record \(55P03\)"):
                agent.set("k", 2)
            assert agent.get("k") == 1
            other.rollback()
            agent.set("k", 3)
            assert harmed.get("k") == 3


def waiting(connection):
    """Wait until a statement of the store waits for a lock."""
    until = time.monotonic() + PATIENCE
    while True:
        ((number,),) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE application_name = 'agent-datastore' AND wait_event_type = 'Lock'"
        ).fetchall()
        if number:
            return
        assert time.monotonic() < until
        time.sleep(0.01)


@contextmanager
def meanwhile(call):
    """Makes a call in another thread; yields a list that has its result, or its error, at the end."""
    results = []

    def made():
        try:
            results.append(call())
        except datastore.DataStoreError as error:
            results.append(error)

    thread = threading.Thread(target=made)
    thread.start()
    try:
        yield results
    finally:
        thread.join(PATIENCE)


@pytest.mark.parametrize("retry_seconds", [0, 30])
def test_a_serialization_failure_is_rolled_back_and_repeated(own_url, harmed, retry_seconds):
    harmed.set("k", 1)
    with (
        setting(own_url, "default_transaction_isolation", "'repeatable read'"),
        administrator(own_url) as connection,
        psycopg.connect(own_url) as other,
        datastore.connect(own_url, retry_seconds=retry_seconds, tracking="off") as store,
    ):
        other.execute('UPDATE agent_data_store SET "accessCount" = 7')
        with meanwhile(lambda: store.agent("u", "b").increment("k")) as results:
            waiting(connection)
            other.commit()
    if retry_seconds:
        assert results == [2]
    else:
        assert isinstance(results[0], BackendUnavailableError)
        assert "(40001)" in str(results[0])
    record = harmed.get_record("k")
    assert (record.value, record.access_count) == (2 if retry_seconds else 1, 7)


@pytest.mark.parametrize("retry_seconds", [0, 30])
def test_what_loses_a_deadlock_is_rolled_back_and_repeated(own_url, harmed, retry_seconds):
    """A trigger holds up the batch between two rows, until the other transaction waits for the first of them."""
    harmed.set_many({"k1": 1, "k2": 1})
    with administrator(own_url) as connection, psycopg.connect(own_url) as other:
        connection.execute(
            """
            CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF NEW."key" = 'k1' AND current_setting('application_name') = 'agent-datastore' THEN
                    PERFORM pg_advisory_xact_lock_shared(7);
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER held BEFORE UPDATE ON agent_data_store FOR EACH ROW EXECUTE FUNCTION held();
            SELECT pg_advisory_lock(7)"""
        )
        other.execute("SET deadlock_timeout = '1h'")
        other.execute("SELECT FROM agent_data_store WHERE \"key\" = 'k2' FOR UPDATE")
        try:
            with (
                rows_in_order(own_url),
                setting(own_url, "deadlock_timeout", "'10ms'"),
                datastore.connect(own_url, retry_seconds=retry_seconds, tracking="off") as store,
                meanwhile(lambda: store.agent("u", "b").set_many({"k1": 2, "k2": 2})) as results,
            ):
                waiting(connection)
                with meanwhile(lambda: other.execute("SELECT FROM agent_data_store WHERE \"key\" = 'k1' FOR UPDATE")):
                    until = time.monotonic() + PATIENCE
                    while not connection.execute(
                        "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'",
                        (other.info.backend_pid,),
                    ).fetchall():
                        assert time.monotonic() < until
                        time.sleep(0.01)
                    connection.execute("SELECT pg_advisory_unlock(7)")
                other.commit()
        finally:
            connection.execute("SELECT pg_advisory_unlock_all()")
            other.rollback()  # if something has failed: the function cannot be removed before
            connection.execute("DROP FUNCTION held() CASCADE")
    if retry_seconds:
        assert results == [2]
    else:
        assert isinstance(results[0], BackendUnavailableError)
        assert "(40P01)" in str(results[0])
    assert harmed.get_all() == dict.fromkeys(("k1", "k2"), 2 if retry_seconds else 1)


@pytest.mark.parametrize("isolation", ["'serializable'", "'repeatable read'", "'read committed'"])
def test_writers_that_compete_lose_nothing_in_any_isolation(own_url, harmed, isolation):
    """Where transactions are serializable, most of these are rolled back at first, and repeated."""
    names = [f"k{number}" for number in range(6)]
    with setting(own_url, "default_transaction_isolation", isolation):
        stores = [datastore.connect(own_url, tracking="off") for _ in range(4)]
        failed = []

        def work(store, order):
            agent = store.agent("u", "b")
            try:
                for _ in range(8):
                    agent.increment("count")
                    agent.set_many(dict.fromkeys(order, 1))
            except datastore.DataStoreError as error:
                failed.append(error)

        threads = [
            threading.Thread(target=work, args=(store, names if number % 2 else names[::-1]))
            for number, store in enumerate(stores)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for store in stores:
            store.close()
    assert failed == []
    assert harmed.get("count") == 32


def test_a_server_that_hangs_is_waited_for_no_longer_than_the_call_may_take(own, own_url):
    with datastore.connect(own_url, max_seconds=0.3, tracking="off") as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        (pid,) = store.backend._session.ask("SELECT pg_backend_pid()")[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises((DeadlineExceededError, BackendUnavailableError)):
                agent.get("k")
            assert time.monotonic() - began < 8  # and not the ten seconds of the URL's timeout
        finally:
            os.kill(pid, signal.SIGCONT)
        assert agent.get("k") == 1


def test_a_statement_that_takes_longer_than_the_server_allows_is_rolled_back(own_url, harmed):
    harmed.set("k", 1)
    with setting(own_url, "statement_timeout", "'50ms'"), psycopg.connect(own_url) as other:
        other.execute("SET statement_timeout = 0; SELECT * FROM agent_data_store FOR UPDATE")
        with datastore.connect(own_url, retry_seconds=0, tracking="off") as store:
            agent = store.agent("u", "b")
            with pytest.raises(BackendUnavailableError, match=r"longer than the server allows, .* \(57014\)"):
                agent.increment("k")
    assert harmed.get("k") == 1


@pytest.mark.parametrize(
    ("code", "said"),
    [("53100", "its disk is full"), ("53200", "no memory left"), ("58030", "its disk fails"), ("XX001", "damaged")],
)
def test_a_server_that_is_at_its_end_is_said_so_at_once_and_nothing_is_changed(agent, sql, wire, code, said):
    """The second of two rows fails, as a trigger says."""
    agent.set_many({"k1": 1, "k2": 1})
    sql(f"""
        CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'at line 7 of secret' USING ERRCODE = '{code}'; END $$;
        CREATE TRIGGER fails BEFORE UPDATE ON agent_data_store
            FOR EACH ROW WHEN (NEW."key" = 'k2') EXECUTE FUNCTION fails()""")
    wire.requests.clear()
    with pytest.raises(BackendUnusableError, match=rf"{said}.*\({code}\)") as caught:
        agent.set_many({"k1": 2, "k2": 2})
    assert len(wire.requests) == 1
    assert "secret" not in str(caught.value)
    assert agent.get_all() == {"k1": 1, "k2": 1}


def test_a_connection_that_is_cut_in_the_middle_of_a_write_is_in_doubt_and_written_once(own_url, harmed):
    harmed.set("k", 1)
    with administrator(own_url) as connection, psycopg.connect(own_url) as other:
        other.execute("SELECT * FROM agent_data_store FOR UPDATE")
        with (
            datastore.connect(own_url, tracking="off") as store,
            meanwhile(lambda: store.agent("u", "b").increment("k")) as results,
        ):
            waiting(connection)
            ((ended,),) = connection.execute(
                "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE application_name = 'agent-datastore' AND wait_event_type = 'Lock'"
            ).fetchall()
            other.rollback()
    assert (ended, results, harmed.get("k")) == (1, [2], 2)


def test_a_replica_is_read_and_takes_no_writes(own, own_url, harmed):
    """This one waits for a primary that never comes, until it is promoted."""
    harmed.set_many({f"k{number}": {"n": number} for number in range(10)})
    own.stop()
    signal_file = own._folder / "data" / "standby.signal"
    signal_file.touch()
    try:
        own.start()
        with datastore.connect(f"{own_url}?mode=ro") as store:
            agent = store.agent("u", "a")
            assert len(agent.get_all()) == agent.count() == 10
            assert agent.find({"n": {"$gt": 8}}) == {"k9": {"n": 9}}
            assert any("it is a replica" in finding.text for finding in store.backend.examine(time.time()))
        with datastore.connect(own_url, retry_seconds=0, tracking="off") as store:
            agent = store.agent("u", "a")
            for call in (lambda: agent.set("k1", 2), lambda: agent.delete("k1"), lambda: store.ensure_index(["n"])):
                with pytest.raises(BackendUnavailableError, match="takes no writes"):
                    call()
            with administrator(own_url) as connection:
                assert connection.execute("SELECT pg_promote()").fetchone() == (True,)
            agent.set("k1", 2)
    finally:
        signal_file.unlink(missing_ok=True)
    assert harmed.get("k1") == 2


def test_a_server_that_has_no_connection_left_is_an_outage_and_no_wrong_password(own_url, harmed):
    with administrator(own_url) as connection:
        connection.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 1; GRANT pg_read_all_data TO few")
        try:
            url = f"{own_url.replace('agents@', 'few@')}?mode=ro"
            with datastore.connect(url, tracking="off") as store:
                harmed.set("k", 1)
                with pytest.raises(BackendUnavailableError):
                    datastore.connect(url, retry_seconds=0)
                assert store.agent("u", "b").get("k") == 1
        finally:
            connection.execute("DROP OWNED BY few; DROP ROLE few")


@pytest.mark.parametrize(
    "words",
    [
        "sorry, too many clients already",
        'too many connections for database "agents"',
        "remaining connection slots are reserved for roles with the SUPERUSER attribute",
        "the database system is starting up",
        "the database system is shutting down",
        "the database system is not yet accepting connections",
    ],
)
def test_a_server_that_is_full_or_starting_is_an_outage(words):
    error = not_connected(
        psycopg.OperationalError(f'connection to server at "h", port 5432 failed: FATAL:  {words}'), "h"
    )
    assert isinstance(error, BackendUnavailableError)


def test_a_role_that_may_only_read(url, agent, sql):
    agent.set("k", 1)
    schema = url.rpartition("/")[2]
    sql("DROP ROLE IF EXISTS reader")
    sql(f'CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA "{schema}" TO reader')
    sql("GRANT SELECT ON agent_data_store TO reader")
    try:
        with datastore.connect(url.replace("agents@", "reader:pw@"), tracking="off") as store:
            reader = store.agent("u", "a")
            assert reader.get_all() == {"k": 1}
            with pytest.raises(PermissionDeniedError) as caught:
                reader.set("k", 2)
            assert "pw" not in str(caught.value)
    finally:
        sql("DROP OWNED BY reader; DROP ROLE reader")


def test_a_connection_is_kept_if_its_server_has_refused_a_statement_and_not_if_nobody_knows(store, wire):
    session = store.backend._session
    session.ask("SELECT 1")
    connection = session._idle[-1]
    with pytest.raises(InternalError):
        session.ask("SELECT nonsense(")
    assert list(session._idle) == [connection]
    wire.meet("unanswered")
    with pytest.raises(BackendUnavailableError):
        session.ask("SELECT 1")
    assert not session._idle
    assert connection.closed


def test_nothing_is_kept_in_a_session_so_a_pooler_may_change_it_for_each_request(url, wire):
    """As PgBouncer does in transaction mode."""
    with datastore.connect(f"{url}?prepare=false", tracking="off") as store:
        agent = store.agent("u", "a")
        for number in range(8):
            agent.set("k", number)
            assert agent.get("k") == number
            connection = store.backend._session._idle[-1]
            assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchall() == [(0,)]
            if number % 2:
                store.backend._session._idle.pop().close()
    assert not any(
        statement.strip().startswith(("BEGIN", "SET ", "PREPARE", "DEALLOCATE")) for statement in wire.requests
    )


def test_an_interrupted_call_leaves_no_answer_to_the_next(agent, backend, monkeypatch):
    from datastore_postgresql.client import Connection

    agent.set_many({"k": 1, "l": 2})

    def interrupt(connection, gen, *arguments):
        next(gen)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            agent.get("k")
    assert agent.get("l") == 2


class TestSharedConnections(SharedConnections):
    pass

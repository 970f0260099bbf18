"""Another version, and a pooler in between: what depends on the server, or on whose connection carries a request."""

import threading

import psycopg
import pytest

import datastore
from datastore import UnsupportedError
from tests.adapters.finding import AgainstTheReference, check, put
from tests.adapters.stores import everything
from tests.full import times
from tests.servers import postgresql
from tests.servers.postgresql import DATABASE


@pytest.mark.server("postgresql-15")
class TestVersion15:
    """Debian's, which knows collations of ICU."""

    @pytest.fixture
    def url(self):
        yield postgresql.borrow(postgresql.server_15())
        postgresql.give_back(postgresql.server_15())

    def test_every_kind_of_call(self, store, agent):
        assert all("fsync" in fault for fault in everything(store, agent))

    def test_a_server_without_pgvector_searches_exactly(self, agent):
        agent.memory.add("a", key="a", vector=[1.0, 2.0])
        with pytest.raises(UnsupportedError, match="no pgvector"):
            agent.memory.ensure_index()
        assert [one.key for one in agent.memory.search([1.0, 0.0], exact=False)] == ["a"]

    test_every_answer = AgainstTheReference.test_every_answer_is_the_same
    examples = times(2, 20)

    def test_the_order_of_texts_is_that_of_bytes_whatever_the_collation_of_the_database(self):
        """That of ``jsonb`` is not."""
        server = postgresql.address(postgresql.server_15())
        with psycopg.connect(server, autocommit=True) as connection:
            german = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de' LOCALE 'C' ENCODING 'UTF8'"
            connection.execute(f"CREATE DATABASE german {german}")
            try:
                with datastore.connect(server.replace(f"/{DATABASE}", "/german")) as store:
                    agent = store.agent("u", "a")
                    documents = [
                        {"a": text} for text in ("a", "B", "ä", "Z", "z", "ß", "\uffee", "🔑", "A", "Ab", "aB")
                    ]
                    put(agent, documents)
                    for fields in ([], ["a"]):
                        if fields:
                            store.ensure_index(fields)
                        for document in documents:
                            for operator in ("$gt", "$lte", "$eq"):
                                check(agent, documents, {"a": {operator: document["a"]}})
                    assert agent.list_keys() == sorted(agent.list_keys())
                    for sort in ("a", "-a"):
                        assert list(agent.find({}, sort=sort, limit=10)) == list(agent.find({}, sort=sort))[:10]
                        assert not agent.explain({}, sort=sort, limit=10)["sorted_here"]
            finally:
                connection.execute("DROP DATABASE german WITH (FORCE)")


@pytest.mark.server("postgresql")
@pytest.mark.server("pgbouncer")
class TestPgBouncer:
    """In transaction mode, with two connections for everybody."""

    @pytest.fixture
    def url(self):
        yield postgresql.borrow(postgresql.pooler())
        postgresql.give_back()

    def test_every_kind_of_call(self, store, agent):
        assert all("fsync" in fault for fault in everything(store, agent))

    def test_threads_share_its_connections(self, url, agent, stranger):
        def work(one):
            for number in range(20):
                one.increment("count")
                one.set(f"k{number}", number)
                assert one.get(f"k{number}") == number

        threads = [threading.Thread(target=work, args=(one,)) for one in (agent, stranger) * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert agent.get("count") == 120
        assert agent.count() == 21

"""What lies in several namespaces of a user, and what only the host can do: look at all users, and be no agent."""

from __future__ import annotations

from typing import Any

import pytest

from datastore import (
    AgentDataStore,
    DataStore,
    InvalidNameError,
    InvalidValueError,
    Item,
    NamespaceStats,
    QueryError,
    UnsupportedError,
)
from datastore.conformance.clock import Clock
from datastore.conformance.faults import Wrapped
from datastore.conformance.samples import in_order
from datastore.conformance.topic import Opener, Topic, Wrapper, not_applicable
from datastore.conformance.topics.records import record_of
from datastore.ids import encode_name
from datastore.tenants import TenantBackend

NAMESPACES = [
    *(
        "job",
        "job-1",
        "job-10",
        "job-2",
        "job.x",
        "job x",
        "jobs",
        "Job",
        "a",
        "a:",
        "a:b",
        "a/b",
        "a%3A",
        "ab",
        "_",
        "_a",
    ),
    *("~", "\x01", "\x7f", "\x80", "é", "éa", "\ud7ff", "\ue000", "\uffee", "zz"),
]
BOUNDS = [None, "a", "a:", "job", "job-1", "job-99", "jobs", "é", "zz"]


def filled(store: DataStore) -> AgentDataStore:
    """Store a record in each namespace, and some of two other users; return the first user's store."""
    data_store = store.agent("user", "agent", "elsewhere")
    data_store.set_many([Item("key", name, namespace=name) for name in NAMESPACES])
    for neighbour in ("use", "user1", "user-"):
        store.agent(neighbour, "agent", "job").set("key", "not mine")
    return data_store


class Namespaces(Topic):
    """``list_namespaces``, ``find_in``, ``iter_records`` over namespaces, ``namespace_stats``; users, records, host."""

    def test_namespaces_are_in_the_order_of_ids(self, store: DataStore) -> None:
        """All of them, or so many from either end."""
        data_store = filled(store)
        expected = in_order(NAMESPACES)
        assert data_store.list_namespaces() == expected
        assert data_store.list_namespaces(reverse=True) == expected[::-1]
        for limit in (1, 3, len(expected), 1_000):
            assert data_store.list_namespaces(limit=limit) == expected[:limit]
            assert data_store.list_namespaces(reverse=True, limit=limit) == expected[::-1][:limit]

    def test_namespaces_of_a_range(self, store: DataStore) -> None:
        """From one on, up to another; neither need exist. With a prefix, too."""
        data_store = filled(store)
        expected = in_order(NAMESPACES)
        places = [None if bound is None else encode_name(bound, "bound") + ":" for bound in BOUNDS]
        for start, low in zip(BOUNDS, places, strict=True):
            for end, high in zip(BOUNDS, places, strict=True):
                among = [
                    name
                    for name in expected
                    if (low is None or encode_name(name, "name") + ":" >= low)
                    and (high is None or encode_name(name, "name") + ":" < high)
                ]
                assert data_store.list_namespaces(start=start, end=end) == among, (start, end)
                assert data_store.list_namespaces(start=start, end=end, limit=2) == among[:2], (start, end)
        jobs = in_order([name for name in NAMESPACES if name.startswith("job")])
        assert data_store.list_namespaces("job") == jobs
        assert data_store.list_namespaces("job", start="job-10", reverse=True) == jobs[jobs.index("job-10") :][::-1]

    def test_what_is_wrong_is_refused(self, data_store: AgentDataStore) -> None:
        """The message names the parameter."""
        calls: list[tuple[type[Exception], str, Any]] = [
            (InvalidNameError, "start", lambda: data_store.list_namespaces(start="")),
            (InvalidNameError, "end", lambda: data_store.list_namespaces(end="x" * 300)),
            (QueryError, "limit", lambda: data_store.list_namespaces(limit=0)),
            (InvalidValueError, "reverse", lambda: data_store.list_namespaces(reverse=1)),  # type: ignore[arg-type]  # this is what is tested
            (InvalidNameError, "namespace_prefix", lambda: data_store.find_in(3, {})),  # type: ignore[arg-type]  # this is what is tested
            (InvalidNameError, "namespace_prefix", lambda: data_store.iter_records(namespace_prefix="x" * 300)),
            (QueryError, "namespace_prefix", lambda: data_store.iter_records("a", namespace_prefix="")),
            (QueryError, "namespace_prefix", lambda: data_store.iter_records(end="a", namespace_prefix="")),
            (QueryError, "near", lambda: data_store.find_in("", {"a": {"$near": 1}})),
        ]
        for kind, message, call in calls:
            with pytest.raises(kind, match=message):
                call()

    def test_records_of_several_namespaces(self, store: DataStore) -> None:
        """One namespace after another, in either direction; no other user's."""
        data_store = filled(store)
        data_store.use_namespace("job").set_many({"z": 1, "a": 2})

        def listed(prefix: str, **options: Any) -> list[tuple[str, str]]:
            found = data_store.iter_records(namespace_prefix=prefix, **options)
            return [(record.namespace, record.key) for record in found]

        of_jobs = [("job", key) for key in ("a", "key", "z")]
        everything = [pair for name in in_order(NAMESPACES) for pair in (of_jobs if name == "job" else [(name, "key")])]
        jobs = [pair for pair in everything if pair[0].startswith("job")]
        assert listed("") == everything
        assert listed("", reverse=True) == everything[::-1]
        assert listed("job") == jobs
        assert listed("job", reverse=True, limit=3) == jobs[::-1][:3]
        assert listed("none") == []
        assert listed("job-1", limit=1) == [("job-10", "key")]

    def test_find_in_several_namespaces(self, store: DataStore) -> None:
        """By value, by metadata, sorted, cut, and with some fields; each record says its namespace."""
        data_store = store.agent("user", "agent")
        items = [
            Item(f"key {n}", {"n": n, "kind": kind, "more": [n]}, {"even": n % 2 == 0}, namespace=f"{kind}/{n % 3}")
            for n in range(12)
            for kind in ("log", "lot", "plan")
        ]
        data_store.set_many(items)
        store.agent("user2", "agent", "log/0").set("key 0", {"n": 100, "kind": "log"})

        def found(*arguments: Any, **options: Any) -> list[tuple[str, str]]:
            return [(record.namespace, record.key) for record in data_store.find_in(*arguments, **options)]

        logs = [(f"log/{n % 3}", f"key {n}") for n in range(12)]
        assert found("log/", {"kind": "log"}, sort="n") == logs
        assert found("lo", {"kind": "log"}, sort="-n", limit=3, skip=1) == logs[::-1][1:4]
        assert found("log/", {"n": {"$lt": 6}}) == sorted(logs[:6])
        assert found("log/", sort="-$key") == sorted(logs, reverse=True)
        assert found("log/1") == sorted(pair for pair in logs if pair[0] == "log/1")
        assert len(found("")) == 36
        assert found("", {"kind": "plan", "n": 7}) == [("plan/1", "key 7")]
        assert found("log/", meta={"metadata.even": True, "key": "key 4"}) == [("log/1", "key 4")]
        assert found("log/", {"$or": [{"$key": "key 4"}, {"n": 5}]}) == [("log/1", "key 4"), ("log/2", "key 5")]
        assert found("other") == []
        (one,) = data_store.find_in("log/", {"n": 3}, fields=["n"])
        assert (one.value, one.metadata, one.access_count) == ({"n": 3}, {"even": False}, 0)

    def test_an_index_of_one_namespace_answers_for_no_other(self, store: DataStore) -> None:
        """Where indexes can be declared, those for all namespaces help, and no record is missed."""
        if not store.capabilities.supports("ensure_index"):
            with pytest.raises(UnsupportedError):
                store.ensure_index(["n"], "a")
        else:
            store.ensure_index(["n"], "a")
        data_store = store.agent("user", "agent")
        names = ("a", "a:b", "ab", "b")
        data_store.set_many([Item(f"{n}", {"n": n}, namespace=name) for n in range(3) for name in names])
        for prefix, expected in (("a", ["a:b", "a", "ab"]), ("", ["a:b", "a", "ab", "b"]), ("a:", ["a:b"])):
            records = data_store.find_in(prefix, {"n": 1})
            assert [record.namespace for record in records] == in_order(expected), prefix

    def test_stats_sum_up_each_namespace(self, store: DataStore, clock: Clock) -> None:
        """Its live records, the bytes of their JSON, who wrote them, and when last."""
        first, second = store.agent("user", "first", "a"), store.agent("user", "second", "a:b")
        first.set_many({"x": "é", "y": [1, 2]})
        first.use_namespace("gone").set("old", 1, ttl=1)
        clock.advance(1)
        second.use_namespace("a").set("y", [1])
        last = record_of(second.use_namespace("a"), "y").updated_at
        second.set("z", "x" * 1_000)
        stats = first.namespace_stats()
        assert stats[0] == NamespaceStats("a:b", 1, 1_002, ("second",), record_of(second, "z").updated_at)
        assert stats[1] == NamespaceStats("a", 2, 7, ("first", "second"), last)
        assert len(stats) == 2
        assert first.namespace_stats("a:") == first.namespace_stats(end="a") == stats[:1]
        assert first.namespace_stats("a", start="a") == first.namespace_stats(start="a", end="b") == stats[1:]
        assert first.namespace_stats("none") == []
        assert store.agent("nobody", "agent").namespace_stats() == []

    def test_without_the_ability_the_sums_are_the_same(self, store: DataStore, wrapped: Wrapper) -> None:
        """Then every record is read."""
        data_store = filled(store)
        data_store.use_namespace("large").set("key", "é" * 100_000)
        without = wrapped(Wrapped).agent("user", "agent")
        assert without.namespace_stats() == data_store.namespace_stats()

    def test_users_are_those_who_have_records(self, store: DataStore) -> None:
        """Each once, however their names begin or look."""
        names = ["u", "u1", "u:", "u/x", "v", "_", "%", "é", "🔑", "u\x01", "U"]
        assert list(store.users()) == []
        for name in names:
            for namespace in ("a", "b"):
                store.agent(name, "agent", namespace).set_many({"x": 1, "y": 2})
        everybody = list(store.users())
        assert sorted(everybody) == sorted(names)
        pages, after = list[str](), None
        while page := list(store.users(after=after, limit=3)):
            pages += page
            after = page[-1]
        assert pages == everybody
        for prefix in ("", "u", "u/", "_", "%", "x", names[8]):
            alike = [name for name in everybody if name.startswith(prefix)]
            assert list(store.users(prefix=prefix)) == alike
            assert list(store.users(prefix=prefix, limit=2)) == alike[:2]
            if alike:
                assert list(store.users(prefix=prefix, after=alike[0])) == alike[1:]
        store.forget("u")
        assert sorted(store.users()) == sorted(set(names) - {"u"})

    def test_records_are_those_of_all_users(self, store: DataStore, clock: Clock) -> None:
        """Live ones, with all that is known of them. Looking is not an access."""
        if not store.capabilities.supports("all_documents"):
            not_applicable("the backend does not have 'all_documents'")
        expected = set()
        for user in ("u", "u1", "a:b"):
            for namespace in ("a", "b"):
                store.agent(user, "agent", namespace).set_many({"x": 1, "y": 2}, {"source": "web"})
                expected |= {(user, namespace, "x", 1), (user, namespace, "y", 2)}
        store.agent("u", "agent").set("old", 1, ttl=1)
        clock.advance(1)
        found = list(store.records())
        assert {(one.user_id, one.namespace, one.key, one.value) for one in found} == expected
        assert len(found) == len(expected)
        assert {(one.access_count, one.metadata["source"]) for one in found} == {(0, "web")}

    def test_without_the_ability_all_records_cannot_be_listed(self, wrapped: Wrapper) -> None:
        """It says so at once."""
        with pytest.raises(UnsupportedError):
            next(wrapped(Wrapped).records())

    def test_the_host_is_no_agent(self, store: DataStore) -> None:
        """It reads without counting, and what it writes is by nobody's name."""
        store.agent("user", "agent").set("key", {"a": 1})
        host = store.host("user")
        assert (host.user_id, host.agent, host.namespace) == ("user", "", "default")
        for read in (
            lambda: host.get("key"),
            lambda: host.get_many(["key"]),
            lambda: host.get_all(),
            lambda: host.find({"a": 1}),
            lambda: host.use_namespace("default").get("key", type=dict),
            lambda: host.get_record("key", count=True),
        ):
            read()
        assert record_of(host).access_count == 0
        host.update("key", {"b": 2})
        record = record_of(host)
        assert (record.created_by_agent, record.updated_by_agent) == ("agent", "")
        host.set("new", 1)
        assert (record_of(host, "new").created_by_agent, record_of(host, "new").updated_by_agent) == ("", "")
        assert list(host.find(meta={"createdByAgent": ""})) == ["new"]
        with pytest.raises(InvalidNameError):
            store.agent("user", "")
        for wrong in ("", "x" * 300):
            with pytest.raises(InvalidNameError):
                store.host(wrong)

    def test_purging_for_one_user_leaves_the_others(self, store: DataStore, clock: Clock) -> None:
        """All of his namespaces; an agent does it for its own user."""
        for user in ("user", "user1"):
            for namespace in ("a", "b:c"):
                data_store = store.agent(user, "agent", namespace)
                data_store.set("live", 1)
                data_store.set_many({"x": 1, "y": 1}, ttl=10)
        clock.advance(10)
        if not store.capabilities.supports("purge"):
            for call in (store.host("user").purge_expired, lambda: store.purge_expired("user")):
                with pytest.raises(UnsupportedError):
                    call()
            return
        assert store.purge_expired("user") == 4
        assert store.agent("user", "agent", "a").purge_expired() == 0
        assert store.agent("user1", "agent").purge_expired() == 4
        assert store.purge_expired() == 0
        assert store.agent("user", "agent", "a").list_keys() == ["live"]

    def test_what_agents_write_for_others_is_seen_by_all(self, store: DataStore, open_store: Opener) -> None:
        """A namespace is listed by every store on the database as soon as it holds a record."""
        other = open_store() if store.capabilities.shared else store
        data_store = store.agent("user", "agent", "new")
        data_store.set("key", 1)
        assert other.agent("user", "other").list_namespaces(limit=1) == ["new"]
        assert isinstance(other.backend, TenantBackend) or list(other.users()) == ["user"]
        data_store.delete("key")
        assert other.agent("user", "other").list_namespaces() == []

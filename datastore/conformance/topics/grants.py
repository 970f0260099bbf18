"""Grants: what an agent may read and write, in every call, before any request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from datastore import AgentDataStore, ConfigurationError, DataStore, InvalidNameError, Item, PermissionDeniedError
from datastore.conformance.calls import ACROSS, CALLS, WRITES, Call
from datastore.conformance.clock import Clock
from datastore.conformance.faults import Untouchable
from datastore.conformance.samples import in_order
from datastore.conformance.topic import Topic, Wrapper, not_applicable
from datastore.grants import Grant

NAMESPACES = ["log", "log/2", "logs", "mine", "mine/a", "mine/b", "shared", "shared/a", "shared/b", "_x", "a*", "a*b"]
GRANTS: list[tuple[dict[str, Grant], set[str], set[str]]] = [
    ({}, set(), set()),
    ({"*": "read"}, set(NAMESPACES), set()),
    ({"*": "write"}, set(NAMESPACES), set(NAMESPACES)),
    ({"mine": "write"}, {"mine"}, {"mine"}),
    ({"mine": "write", "shared/*": "read"}, {"mine", "shared/a", "shared/b"}, {"mine"}),
    ({"*": "write", "log": "read"}, set(NAMESPACES), set(NAMESPACES) - {"log"}),
    ({"log": "read", "*": "write"}, set(NAMESPACES), set(NAMESPACES) - {"log"}),
    ({"*": "read", "mine*": "write", "mine/*": "read", "mine/b": "write"}, set(NAMESPACES), {"mine", "mine/b"}),
    ({"shared/a": "read", "shared/b": "write"}, {"shared/a", "shared/b"}, {"shared/b"}),
    ({"a\\*": "read"}, {"a*"}, set()),
    ({"a\\**": "write"}, {"a*", "a*b"}, {"a*", "a*b"}),
    ({"_*": "read", "nothing": "write", "none/*": "write"}, {"_x"}, set()),
]
"""Grants, and where they let an agent read and write."""
each_grants = pytest.mark.parametrize(("grants", "readable", "writable"), GRANTS, ids=[str(one[0]) for one in GRANTS])
each_call = pytest.mark.parametrize(
    "call", [pytest.param(CALLS[name], id=name) for name in CALLS if name not in ACROSS]
)
each_write = pytest.mark.parametrize("call", [pytest.param(CALLS[name], id=name) for name in CALLS if name in WRITES])


def filled(store: DataStore) -> AgentDataStore:
    """Store two records in each namespace, and one of two other users in each; return the first user's host."""
    for neighbour in ("use", "user1"):
        store.host(neighbour).set_many([Item("key", "not mine", namespace=name) for name in NAMESPACES])
    host = store.host("user")
    host.set_many([Item(key, {"in": name}, namespace=name) for name in NAMESPACES for key in ("a", "b")])
    return host


def with_what_calls_need(store: DataStore, *namespaces: str) -> AgentDataStore:
    """Store what the calls of `CALLS` read, in namespaces of the user; return the host's store in the first."""
    values = {"key": 1, "other": 2, "list": [], "object": {"a": 1}}
    for name in namespaces:
        store.host("user", name).set_many(values)
    return store.host("user", namespaces[0])


def state(host: AgentDataStore) -> list[tuple[str, str, Any, str]]:
    """Return everything that the user has."""
    found = host.iter_records(namespace_prefix="")
    return [(one.namespace, one.key, one.value, one.revision) for one in found]


class Granted(Topic):
    """``DataStore.agent(grants=...)``."""

    @each_call
    def test_a_namespace_without_a_grant_is_refused(self, store: DataStore, wrapped: Wrapper, call: Call) -> None:
        """Each call on it raises before any request, and nothing changes."""
        host = with_what_calls_need(store, "closed")
        before = state(host)
        agent = wrapped(Untouchable).agent("user", "agent", "closed", grants={"open": "write"})
        with pytest.raises(PermissionDeniedError, match="'closed'"):
            call(agent)
        with pytest.raises(PermissionDeniedError, match="'closed'"):
            call(store.agent("user", "agent", "closed", grants={"open": "write"}))
        assert state(host) == before

    @each_write
    def test_a_call_that_writes_needs_the_grant_to_write(self, store: DataStore, wrapped: Wrapper, call: Call) -> None:
        """With the one to read it raises before any request: it does not read first."""
        host = with_what_calls_need(store, "shared")
        before = state(host)
        grants: dict[str, Grant] = {"shared": "read"}
        if call is not CALLS["purge_expired"]:  # which removes what may be removed: nothing
            with pytest.raises(PermissionDeniedError, match="'shared'"):
                call(wrapped(Untouchable).agent("user", "agent", "shared", grants=grants))
            with pytest.raises(PermissionDeniedError, match="'shared'"):
                call(store.agent("user", "agent", "shared", grants=grants))
        assert state(host) == before

    @pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
    def test_what_is_granted_is_as_without_grants(self, store: DataStore, call: Call) -> None:
        """Each call does the same, and returns the same."""

        def outcome(agent: AgentDataStore) -> str:
            result = call(agent)
            if isinstance(result, str):
                return ""  # a new revision, or a new key
            if isinstance(result, list):
                return repr([getattr(one, "namespace", one) for one in result])
            return repr(type(result))

        def keys(host: AgentDataStore) -> list[str]:
            return [key for _, key, _, _ in state(host) if len(key) < 20]  # a longer one was made by `create`

        with_what_calls_need(store, "granted")
        granted = outcome(store.agent("user", "agent", "granted", grants={"granted": "write"}))
        after = keys(store.host("user"))
        store.forget("user")
        with_what_calls_need(store, "granted")
        assert granted == outcome(store.agent("user", "agent", "granted"))
        assert after == keys(store.host("user"))

    @each_grants
    def test_listings_show_what_may_be_read(
        self, store: DataStore, grants: dict[str, Grant], readable: set[str], writable: set[str]
    ) -> None:
        """And nothing else, from either end, within any bounds, in every call about several namespaces."""
        filled(store)
        agent = store.agent("user", "agent", grants=grants)
        expected = in_order(list(readable))
        assert agent.list_namespaces() == expected
        assert agent.list_namespaces(reverse=True) == expected[::-1]
        for limit in (1, 2, 100):
            assert agent.list_namespaces(limit=limit) == expected[:limit]
            assert agent.list_namespaces(limit=limit, reverse=True) == expected[::-1][:limit]
        assert agent.vault.list_collections() == sorted(readable)
        for prefix in ("", "mine", "mine/", "shared/", "lo", "closed", "a*"):
            within = [name for name in expected if name.startswith(prefix)]
            assert agent.list_namespaces(prefix) == within
            assert [found.namespace for found in agent.namespace_stats(prefix)] == within
            records = [(name, key) for name in within for key in ("a", "b")]
            found = list(agent.iter_records(namespace_prefix=prefix))
            assert sorted((one.namespace, one.key) for one in found) == sorted(records)
            assert all(one.user_id == "user" for one in found)
            found = list(agent.iter_records(namespace_prefix=prefix, reverse=True))
            assert sorted((one.namespace, one.key) for one in found) == sorted(records)
            matching = agent.find_in(prefix, {"in": {"$exists": True}}, sort="-in")
            assert sorted((one.namespace, one.key) for one in matching) == sorted(records)
            assert [one.namespace for one in agent.find_in(prefix, meta={"key": "b"})] == within
        everything = in_order(NAMESPACES)
        span = everything[everything.index("mine") : everything.index("shared/b")]
        assert agent.list_namespaces(start="mine", end="shared/b") == [name for name in span if name in readable]
        assert agent.list_namespaces(start="shared/b", end="mine") == []

    @each_grants
    def test_a_namespace_can_be_used_as_far_as_it_is_granted(
        self, store: DataStore, grants: dict[str, Grant], readable: set[str], writable: set[str]
    ) -> None:
        """The longest pattern that matches counts. ``use_namespace`` refuses what cannot even be read."""
        filled(store)
        agent = store.agent("user", "agent", grants=grants)
        for name in NAMESPACES:
            bound = store.agent("user", "agent", name, grants=grants)
            if name in readable:
                assert agent.use_namespace(name).get("a") == bound.get("a") == {"in": name}
            else:
                for refused in (lambda name=name: agent.use_namespace(name), lambda bound=bound: bound.get("a")):
                    with pytest.raises(PermissionDeniedError, match="no grant to read"):
                        refused()
            if name in writable:
                bound.set("new", 1)
                assert bound.delete("new")
            else:
                with pytest.raises(PermissionDeniedError, match="no grant to write"):
                    bound.set("a", "overwritten")
        assert [value for _, _, value, _ in state(store.host("user"))] == [
            {"in": name} for name, _, _, _ in state(store.host("user"))
        ]

    def test_a_missing_record_is_refused_as_one_that_is_there(self, store: DataStore, clock: Clock) -> None:
        """Nobody learns from the error what there is in a namespace that is closed."""
        host = store.host("user", "closed")
        host.set("there", 1)
        host.set("expired", 1, ttl=1)
        clock.advance(10)
        agent = store.agent("user", "agent", "closed", grants={"open": "write"})
        calls: list[Callable[[str], object]] = [agent.get, agent.exists, agent.delete, agent.get_record, agent.pop]
        for call in calls:
            texts = set()
            for key in ("there", "expired", "missing"):
                with pytest.raises(PermissionDeniedError) as refused:
                    call(key)
                texts.add(str(refused.value).replace(key, ""))
            assert len(texts) == 1

    def test_a_batch_with_one_refused_item_stores_nothing(self, store: DataStore) -> None:
        """Whichever place the item has in the batch, and however many requests the batch takes."""
        agent = store.agent("user", "agent", "mine", grants={"mine": "write", "shared": "read"})
        items = [Item(f"key {number}", number) for number in range(1_100)]
        for place in (0, 500, 1_100):
            batch = [*items[:place], Item("key", 1, namespace="shared"), *items[place:]]
            for write in (agent.set_many, agent.add_many):
                with pytest.raises(PermissionDeniedError, match="'shared'"):
                    write(batch)
        assert store.host("user").list_namespaces() == []

    def test_the_other_interfaces_are_held_to_it(self, store: DataStore) -> None:
        """A collection is a namespace; so are the keys of an entity (``docs/key-value.md``)."""
        host = store.host("user", "flow")
        host.vault.store("closed", {"a": 1}, "document")
        host.key_value.insert("key", 1)
        agent = store.agent("user", "agent", "flow", grants={"open": "write", "flow": "write"})
        assert agent.vault.store("open", {"a": 1}, "document") == "document"
        assert agent.vault.list_collections() == ["open"]
        refused: list[Callable[[], object]] = [
            lambda: agent.vault.retrieve("closed"),
            lambda: agent.vault.query("closed"),
            lambda: agent.vault.store("closed", {}),
            lambda: agent.vault.clear("closed"),
            lambda: agent.key_value.retrieve("key"),
            lambda: agent.key_value.insert("key", 2),
            lambda: agent.key_value.remove("*"),
        ]
        for call in refused:
            with pytest.raises(PermissionDeniedError):
                call()
        assert agent.key_value.list_entities() == []
        assert host.vault.retrieve("closed", "document") == {"_id": "document", "a": 1}
        assert store.agent("user", "agent", "flow", grants={"kv!flow": "read"}).key_value.retrieve("key") == 1

    @pytest.mark.parametrize(
        ("grants", "collections"), [({"shared/*": "read"}, 2), ({"mine": "write"}, 1), ({}, 0)], ids=str
    )
    def test_a_vault_is_well_whatever_namespace_its_agent_is_bound_to(
        self, store: DataStore, grants: dict[str, Grant], collections: int
    ) -> None:
        """That the agent may not read its own namespace is not the fault of the database."""
        filled(store)
        report = store.agent("user", "agent", grants=grants).vault.health()
        assert (report["ok"], report["collections"], report["error"]) == (True, collections, None)
        assert (report["latency"] is not None) is (collections > 0)

    def test_moving_an_expiry_while_reading_is_a_write(self, store: DataStore) -> None:
        """Counting an access is none: whoever may read a record is seen to have read it."""
        host = store.host("user", "shared")
        host.set("key", 1, ttl=60)
        agent = store.agent("user", "agent", "shared", grants={"shared": "read"})
        with pytest.raises(PermissionDeniedError):
            agent.get("key", touch=120)
        assert agent.get("key") == 1
        assert agent.get_record("key", count=True) is not None
        record = host.get_record("key")
        assert record is not None
        assert (record.access_count, record.last_accessed_by_agent) == (2, "agent")

    def test_one_of_many_computes_where_it_may_write(self, store: DataStore) -> None:
        """The lease that `get_or_set` holds meanwhile is the store's own record, and needs no grant."""
        agent = store.agent("user", "agent", "mine", grants={"mine": "write"})
        assert [agent.get_or_set("key", lambda: 1), agent.get_or_set("key", lambda: 2)] == [1, 1]

    def test_purging_keeps_to_where_the_agent_may_write(self, store: DataStore, clock: Clock) -> None:
        """What has expired elsewhere is still stored."""
        if not store.capabilities.supports("purge"):
            not_applicable("the backend does not have 'purge'")
        for name in ("mine", "shared", "closed"):
            store.host("user", name).set_many({"a": 1, "b": 2}, ttl=1)
        clock.advance(10)
        agent = store.agent("user", "agent", grants={"mine": "write", "shared": "read"})
        assert [agent.purge_expired(), agent.purge_expired()] == [2, 0]
        assert store.host("user").purge_expired() == 4

    def test_many_records_are_listed_over_several_grants(self, store: DataStore) -> None:
        """However many pages each of the namespaces takes."""
        number = store.capabilities.scan_page + 5 if store.capabilities.scan_page <= 1_000 else 1_200
        keys = [f"{one:05}" for one in range(number)]
        for name in ("a", "b", "c", "d"):
            store.host("user", name).set_many(dict.fromkeys(keys, name))
        agent = store.agent("user", "agent", grants={"a": "read", "c": "read", "d": "write"})
        for reverse in (False, True):
            found = [(one.namespace, one.key) for one in agent.iter_records(namespace_prefix="", reverse=reverse)]
            assert len(found) == 3 * number
            assert sorted(found) == [(name, key) for name in ("a", "c", "d") for key in keys]
        assert len(agent.find_in("", meta={"key": {"$lt": keys[7]}})) == 21

    def test_grants_are_of_one_user(self, store: DataStore) -> None:
        """The star stands for the namespaces of the user alone."""
        for user in ("user", "user1", "use"):
            store.host(user, "mine").set("key", user)
        agent = store.agent("user", "agent", "mine", grants={"*": "write"})
        assert [one.user_id for one in agent.iter_records(namespace_prefix="")] == ["user"]
        assert agent.get("key") == "user"
        assert agent.clear() == 1
        assert store.host("user1", "mine").get("key") == "user1"

    @pytest.mark.parametrize(
        ("grants", "error"),
        [
            (["mine"], ConfigurationError),
            ("mine", ConfigurationError),
            ({"mine": "all"}, ConfigurationError),
            ({"mine": True}, ConfigurationError),
            ({"a*b": "read"}, ConfigurationError),
            ({"**": "read"}, ConfigurationError),
            ({"a\\*": "read", "a*": "read", "a**": "read"}, ConfigurationError),
            ({f"n{number}": "read" for number in range(257)}, ConfigurationError),
            ({"": "read"}, InvalidNameError),
            ({7: "read"}, InvalidNameError),
            ({"n" * 256: "read"}, InvalidNameError),
            ({"n" * 256 + "*": "read"}, InvalidNameError),
            ({"a\ud800": "read"}, InvalidNameError),
        ],
    )
    def test_what_is_no_grant_is_refused(self, store: DataStore, grants: Any, error: type[Exception]) -> None:
        """When the agent is bound: a grant that is misspelt is not one that is missing."""
        with pytest.raises(error):
            store.agent("user", "agent", grants=grants)

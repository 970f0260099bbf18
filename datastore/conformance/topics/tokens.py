"""Tokens: who holds one is one agent of one user, within what it grants, until it ends."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any

import pytest

from datastore import (
    AgentDataStore,
    ConfigurationError,
    DataStore,
    DataStoreError,
    InvalidNameError,
    InvalidTokenError,
    InvalidValueError,
    PermissionDeniedError,
    Quota,
    QuotaExceededError,
    UnsupportedError,
)
from datastore.backend import Backend, Delete, Fields
from datastore.conformance.clock import Clock
from datastore.conformance.topic import Opener, Topic, not_applicable
from datastore.ids import encode_key, system_prefix
from datastore.tokens import KIND

PLACE = system_prefix("", KIND)
GRANTS: dict[str, Any] = {"shared/*": "read", "mine/*": "write"}


def refused(call: Callable[[], object]) -> str:
    """Return the text of the error for a token that is not valid."""
    with pytest.raises(InvalidTokenError) as caught:
        call()
    return str(caught.value)


class Tokens(Topic):
    """``store.tokens``."""

    def test_a_token_binds_one_agent_of_one_user(self, store: DataStore) -> None:
        """It reads and writes that user's data, under that agent's name, in the token's namespace."""
        store.host("ann", "plans").set("theirs", 1)
        token = store.tokens.mint("ann", "planner", "plans")
        agent = store.tokens.agent(token)
        assert (agent.user_id, agent.agent, agent.namespace) == ("ann", "planner", "plans")
        assert agent.get("theirs") == 1
        agent.set("mine", 2)
        record = store.host("ann", "plans").get_record("mine")
        assert record is not None
        assert record.created_by_agent == "planner"
        assert store.agent("bob", "planner", "plans").list_keys() == []

    def test_a_token_is_random_and_only_its_hash_is_kept(self, store: DataStore, backend: Backend) -> None:
        """Nothing in the database is the token, or a part of it."""
        tokens = [store.tokens.mint("ann", "planner", label=f"run {number}") for number in range(20)]
        assert len(set(tokens)) == 20
        for token in tokens:
            assert re.fullmatch(r"dst_[A-Za-z0-9_-]{43}", token)
            name = sha256(token.encode()).hexdigest()
            document = backend.read([PLACE + encode_key(name)], Fields.ALL)[PLACE + encode_key(name)]
            assert token not in repr(document)
            assert token[4:] not in repr(document)
            assert store.tokens.check(token).id == name[:16]

    def test_grants_and_quota_of_a_token_hold(self, store: DataStore) -> None:
        """As if the host had bound the agent with them."""
        token = store.tokens.mint("ann", "planner", "mine/a", grants=GRANTS, quota=Quota(records=2, bytes=1_000))
        agent = store.tokens.agent(token)
        agent.set_many({"a": 1, "b": 2})
        with pytest.raises(QuotaExceededError):
            agent.set("c", 3)
        with pytest.raises(PermissionDeniedError):
            agent.use_namespace("shared/x").set("a", 1)
        with pytest.raises(PermissionDeniedError):
            agent.use_namespace("other")
        allowed = store.tokens.check(token)
        assert (allowed.grants, allowed.quota) == (GRANTS, Quota(records=2, bytes=1_000))

    @pytest.mark.parametrize(
        "wrong",
        [
            "",
            "dst_",
            "x",
            "dst_" + "A" * 43,
            "dst_" + "A" * 42,
            "dst_" + "é" * 43,
            "dst_" + "A" * 10_000,
            "a\0b",
            "\ud800",
        ],
        ids=["empty", "prefix", "x", "unknown", "short", "not ASCII", "long", "NUL", "surrogate"],
    )
    def test_what_is_no_token_is_refused(self, store: DataStore, wrong: str) -> None:
        """Whatever is wrong with it, the error is the same, and does not quote it."""
        text = refused(lambda: store.tokens.check(wrong))
        assert text == refused(lambda: store.tokens.agent(wrong)) == refused(lambda: store.tokens.narrow(wrong))
        assert len(wrong) < 2 or wrong not in text
        for other in (None, 7, b"dst_", ["dst_"]):
            given: Any = other
            assert refused(partial(store.tokens.check, given)) == text

    def test_a_part_of_a_token_or_a_changed_one_is_refused(self, store: DataStore) -> None:
        """So are its hash, its id, and itself with something around it."""
        token = store.tokens.mint("ann", "planner")
        name = sha256(token.encode()).hexdigest()
        changed = [token[:-1], token[4:], token + "A", f" {token}", token + "\n", token.upper(), token.lower(), name]
        for text in [*changed, f"dst_{name}", name[:16], token[:-1] + ("B" if token[-1] != "B" else "C")]:
            refused(partial(store.tokens.check, text))
        assert store.tokens.check(token)

    def test_a_token_ends_by_itself(self, store: DataStore, clock: Clock) -> None:
        """When its time is over it is as one that never was."""
        token = store.tokens.mint("ann", "planner", ttl=60)
        text = refused(lambda: store.tokens.check("dst_" + "A" * 43))
        ends = store.tokens.check(token).expires_at
        assert ends is not None
        assert abs((ends - datetime.fromtimestamp(clock(), UTC)).total_seconds() - 60) < 1
        clock.advance(61)
        assert refused(lambda: store.tokens.agent(token)) == text
        assert store.tokens.list() == []
        assert store.tokens.revoke(token) == 0

    def test_a_token_that_was_revoked_is_refused(self, store: DataStore, open_store: Opener) -> None:
        """At once, in every process, by its id or by itself."""
        tokens = [store.tokens.mint("ann", "planner") for _ in range(3)]
        stores = [store, open_store()] if store.capabilities.persistent else [store]
        assert store.tokens.revoke(store.tokens.check(tokens[0]).id) == 1
        assert store.tokens.revoke(tokens[1]) == 1
        for one in stores:
            refused(partial(one.tokens.agent, tokens[0]))
            refused(partial(one.tokens.agent, tokens[1]))
            assert one.tokens.agent(tokens[2]).user_id == "ann"
        assert store.tokens.revoke(tokens[0]) == store.tokens.revoke("0" * 16) == 0
        for wrong in ("", "abc", "g" * 16, "../" * 10):
            with pytest.raises(InvalidValueError):
                store.tokens.revoke(wrong)
        assert len(store.tokens.list()) == 1

    def test_tokens_are_listed(self, store: DataStore, clock: Clock) -> None:
        """The oldest first, all or those for one user, with everything but the token."""
        expected = []
        for number, user in enumerate(("ann", "bob", "ann")):
            token = store.tokens.mint(user, f"agent {number}", "plans", grants=GRANTS, ttl=100, label=f"run {number}")
            expected.append(store.tokens.check(token))
            assert token not in repr(expected[-1])
            clock.advance(1)
        assert store.tokens.list() == expected
        assert [one.label for one in store.tokens.list()] == ["run 0", "run 1", "run 2"]
        assert store.tokens.list("ann") == [expected[0], expected[2]]
        assert store.tokens.list("nobody") == []

    def test_many_tokens_are_listed_completely(self, store: DataStore) -> None:
        """However many pages they take."""
        for number in range(25):
            store.tokens.mint("ann", f"agent {number}")
        assert {one.agent for one in store.tokens.list()} == {f"agent {number}" for number in range(25)}

    def test_a_narrower_token_may_do_a_part(self, store: DataStore, clock: Clock) -> None:
        """For the same user and agent, and no longer than the one it was made from."""
        parent = store.tokens.mint("ann", "planner", "mine/a", grants=GRANTS, quota=Quota(records=10), ttl=100)
        child = store.tokens.narrow(
            parent,
            namespace="mine/b",
            grants={"mine/b": "write", "shared/b*": "read"},
            quota=Quota(records=2, bytes=50),
        )
        allowed, given = store.tokens.check(child), store.tokens.check(parent)
        assert (allowed.user_id, allowed.agent, allowed.namespace) == ("ann", "planner", "mine/b")
        assert allowed.quota == Quota(records=2, bytes=50)
        assert (allowed.expires_at, allowed.parent) == (given.expires_at, given.id)
        agent = store.tokens.agent(child)
        agent.set("a", 1)
        with pytest.raises(PermissionDeniedError):
            agent.use_namespace("mine/a")
        longer = store.tokens.check(store.tokens.narrow(parent, ttl=1_000))
        assert longer.expires_at == given.expires_at
        same = store.tokens.check(store.tokens.narrow(child, ttl=10, label="same"))
        assert (same.grants, same.quota, same.label) == (allowed.grants, allowed.quota, "same")
        assert same.expires_at is not None
        assert allowed.expires_at is not None
        assert same.expires_at < allowed.expires_at
        clock.advance(101)
        for token in (parent, child):
            refused(partial(store.tokens.check, token))

    @pytest.mark.parametrize(
        "wider",
        [
            {"grants": {"*": "read"}},
            {"grants": {"shared/a": "write"}},
            {"grants": {"shared": "read"}},
            {"grants": {"shared*": "read"}},
            {"grants": {"mine/*": "write", "mine": "read"}},
            {"quota": Quota(records=11)},
            {"quota": Quota(records=5, bytes=1_001)},
        ],
        ids=str,
    )
    def test_a_token_cannot_be_made_wider(self, store: DataStore, wider: dict[str, Any]) -> None:
        """Neither in what it grants nor in how much it may store; and nothing is stored for the attempt."""
        parent = store.tokens.mint("ann", "planner", grants=GRANTS, quota=Quota(records=10, bytes=1_000))
        with pytest.raises(PermissionDeniedError, match="only be narrowed"):
            store.tokens.narrow(parent, **wider)
        assert len(store.tokens.list()) == 1

    def test_to_revoke_a_token_revokes_all_that_were_made_from_it(self, store: DataStore) -> None:
        """At any depth, and no other."""
        parent, other = store.tokens.mint("ann", "planner"), store.tokens.mint("ann", "planner")
        line = [parent]
        for _ in range(4):
            line.append(store.tokens.narrow(line[-1]))
        aside, of_other = store.tokens.narrow(line[1]), store.tokens.narrow(other)
        assert store.tokens.revoke(line[2]) == 3
        for token in line[2:]:
            refused(partial(store.tokens.check, token))
        for token in (*line[:2], aside, other, of_other):
            assert store.tokens.check(token)
        assert store.tokens.revoke(parent) == 3
        assert {one.id for one in store.tokens.list()} == {store.tokens.check(one).id for one in (other, of_other)}

    def test_a_token_whose_parent_is_gone_is_refused(self, store: DataStore, backend: Backend) -> None:
        """Even if it was made while its parent was being revoked."""
        parent = store.tokens.mint("ann", "planner")
        child = store.tokens.narrow(store.tokens.narrow(parent))
        id = PLACE + encode_key(sha256(parent.encode()).hexdigest())
        document = backend.read([id], Fields.ALL)[id]
        backend.write([Delete(id, document.updated_at)])
        refused(lambda: store.tokens.check(child))

    def test_tokens_descend_only_so_far(self, store: DataStore) -> None:
        """A chain of them ends."""
        token = store.tokens.mint("ann", "planner")
        with pytest.raises(PermissionDeniedError, match="descends from"):
            for _ in range(20):
                token = store.tokens.narrow(token)
        assert store.tokens.check(token)

    def test_no_agent_and_no_listing_leads_to_tokens(self, store: DataStore) -> None:
        """They are the store's own, and of no user."""
        store.tokens.mint("ann", "planner")
        assert list(store.users()) == []
        try:
            assert list(store.records()) == []
        except UnsupportedError:
            assert not store.capabilities.supports("all_documents")
        for user in ("ann", "tokens", "%.", "%", ".", "%.:tokens"):
            agent = store.agent(user, "planner", KIND)
            assert agent.list_namespaces() == agent.list_keys() == []
            assert list(agent.iter_records(namespace_prefix="")) == []
            assert agent.find_in("") == []
        for empty in ("", None):
            given: Any = empty
            with pytest.raises(InvalidNameError):
                store.agent(given, "planner", KIND)

    def test_to_forget_a_user_ends_the_tokens_for_it(self, store: DataStore) -> None:
        """Those for others stay."""
        ann, bob = store.tokens.mint("ann", "planner"), store.tokens.mint("bob", "planner")
        child = store.tokens.narrow(ann)
        store.forget("ann")
        for token in (ann, child):
            refused(partial(store.tokens.check, token))
        assert [one.user_id for one in store.tokens.list()] == ["bob"]
        assert store.tokens.agent(bob).list_keys() == []

    def test_expired_tokens_are_purged(self, store: DataStore, clock: Clock) -> None:
        """With the other expired records of all."""
        if not store.capabilities.supports("purge"):
            not_applicable("the backend does not have 'purge'")
        store.tokens.mint("ann", "planner", ttl=1)
        store.tokens.mint("ann", "planner")
        clock.advance(2)
        assert store.purge_expired() == 1
        assert len(store.tokens.list()) == 1

    def test_tokens_are_there_after_the_store_was_opened_again(self, store: DataStore, open_store: Opener) -> None:
        """They are kept where the records are."""
        if not store.capabilities.persistent:
            not_applicable("persistent is not declared")
        token = store.tokens.mint("ann", "planner", label="run 7")
        store.close()
        assert open_store().tokens.check(token).label == "run 7"

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ({"user_id": ""}, InvalidNameError),
            ({"user_id": "n" * 256}, InvalidNameError),
            ({"agent": ""}, InvalidNameError),
            ({"namespace": ""}, InvalidNameError),
            ({"grants": {"mine": "all"}}, ConfigurationError),
            ({"grants": {"a*b": "read"}}, ConfigurationError),
            ({"quota": 5}, ConfigurationError),
            ({"ttl": 0}, InvalidValueError),
            ({"ttl": "1h"}, InvalidValueError),
            ({"label": 5}, InvalidValueError),
            ({"label": "x" * 201}, InvalidValueError),
        ],
        ids=str,
    )
    def test_a_token_that_could_not_be_used_is_not_made(
        self, store: DataStore, arguments: dict[str, Any], error: type[DataStoreError]
    ) -> None:
        """The error comes when it is minted, and nothing is stored."""
        with pytest.raises(error):
            store.tokens.mint(**{"user_id": "ann", "agent": "planner", **arguments})
        assert store.tokens.list() == []

    def test_tokens_show_no_secret_and_are_not_pickled(self, store: DataStore) -> None:
        """Neither does the text of an agent that was bound with one."""
        token = store.tokens.mint("ann", "planner", grants={"*": "read"})
        agent: AgentDataStore = store.tokens.agent(token)
        for shown in (repr(store.tokens), repr(agent), repr(store.tokens.list()), repr(store)):
            assert token[4:] not in shown
        with pytest.raises(TypeError):
            pickle.dumps(store.tokens)

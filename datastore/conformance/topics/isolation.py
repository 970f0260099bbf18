"""Isolation: an agent's store gives no access to another user or to the database."""

from __future__ import annotations

import contextlib
import copy
import inspect
import pickle
import types
from typing import Any

import pytest

from datastore import AgentDataStore, Backend, DataStore, UnsupportedError
from datastore.conformance.topic import Topic
from datastore.scope import scope_of


def reachable(start: object) -> list[tuple[str, object]]:
    """Return everything that attributes lead to, at any depth, with its path; double underscores are left out."""
    found = [("data_store", start)]
    seen = {id(start)}
    for path, thing in found:
        if len(found) > 10_000:
            raise AssertionError(f"attributes never end: {path}")
        for name in dir(thing):
            if name.startswith("__"):
                continue
            try:
                value = getattr(thing, name)
            except (AttributeError, UnsupportedError):
                continue
            if id(value) not in seen:
                seen.add(id(value))
                found.append((f"{path}.{name}", value))
    return found


class Isolation(Topic):
    """What an agent can reach."""

    def test_users_do_not_see_each_other(self, store: DataStore) -> None:
        """The same key in the same namespace is a different record for each user."""
        mine, theirs = store.agent("user_1", "agent_1"), store.agent("user_2", "agent_1")
        mine.set("key", "mine")
        assert theirs.get("key") is None
        assert theirs.get_record("key") is None
        assert not theirs.exists("key")
        assert theirs.get_many(["key"]) == theirs.get_all() == {}
        assert theirs.list_keys() == theirs.list_namespaces() == []
        assert list(theirs.iter_records()) == []

    def test_users_do_not_change_each_others_data(self, store: DataStore) -> None:
        """This holds for every kind of write."""
        mine, theirs = store.agent("user_1", "agent_1"), store.agent("user_2", "agent_2")
        revision = mine.set("key", "mine", {"owner": 1})
        mine.get("key")
        theirs.add("key", "theirs")
        theirs.set("key", "theirs", {"owner": 2})
        theirs.get("key")
        theirs.delete("key")
        theirs.delete_many(["key"])
        theirs.set_many({"key": "theirs"})
        theirs.clear()
        store.flush()
        record = mine.get_record("key")
        assert record is not None
        assert (record.value, record.metadata, record.revision) == ("mine", {"owner": 1}, revision)
        assert (record.access_count, record.last_accessed_by_agent) == (1, "agent_1")

    def test_agents_of_a_user_share_the_data(self, store: DataStore) -> None:
        """The agent's name says who acts, not whose data it is."""
        store.agent("user_1", "agent_1").set("key", 1)
        assert store.agent("user_1", "agent_2").get("key") == 1

    def test_another_namespace_is_another_object(self, data_store: AgentDataStore) -> None:
        """The original keeps its namespace. User and agent stay the same."""
        other = data_store.use_namespace("other")
        assert (other.user_id, other.agent, other.namespace) == ("user_1", "agent_1", "other")
        assert (data_store.user_id, data_store.agent, data_store.namespace) == ("user_1", "agent_1", "default")
        other.set("key", 1)
        assert not data_store.exists("key")
        assert other.use_namespace("default").list_keys() == []

    def test_attributes_do_not_lead_to_the_database(self, data_store: AgentDataStore) -> None:
        """They lead neither to the backend nor to the host's store, by any path without double underscores."""
        for path, thing in reachable(data_store):
            assert not isinstance(thing, Backend | DataStore), f"{path} is a {type(thing).__name__}"
            module = type(thing).__module__
            assert not module.startswith(("datastore.core", "datastore.scope", "datastore.access")), f"{path} leads on"

    def test_a_stream_does_not_lead_to_the_database(self, data_store: AgentDataStore) -> None:
        """A generator would lead there, by the local variables of its frame: the backend, and whatever is read."""
        data_store.set_many({"a": 1, "b": 2})
        stream = data_store.iter_records()
        assert next(stream).key == "a"
        assert not hasattr(stream, "gi_frame")
        for path, thing in reachable(stream):
            assert not isinstance(thing, Backend | DataStore | types.FrameType | types.GeneratorType), path

    def test_it_cannot_be_bound_anew(self, store: DataStore) -> None:
        """With two stores, one cannot be turned into the other."""
        mine, theirs = store.agent("user_1", "agent_1"), store.agent("user_2", "agent_2")
        mine.set("key", "mine")
        for arguments in ((theirs,), (), (scope_of(theirs),)):
            with contextlib.suppress(TypeError):
                mine.__init__(*arguments)  # type: ignore[misc]  # wrong on purpose
        assert (mine.user_id, mine.agent, mine.get("key")) == ("user_1", "agent_1", "mine")

    def test_attributes_cannot_be_assigned(self, data_store: AgentDataStore) -> None:
        """They cannot be deleted either, and none can be added."""
        data_store.set("key", 1)
        for name in ("user_id", "agent", "namespace", "_scope", "_user_id", "get", "anything"):
            with pytest.raises(AttributeError):
                setattr(data_store, name, "user_2")
            with pytest.raises(AttributeError):
                delattr(data_store, name)
        assert (data_store.user_id, data_store.agent, data_store.namespace) == ("user_1", "agent_1", "default")
        assert data_store.get("key") == 1

    def test_no_method_takes_a_user(self, data_store: AgentDataStore) -> None:
        """No parameter has ``user`` or ``agent`` in its name."""
        for name, method in inspect.getmembers(type(data_store), callable):
            if not name.startswith("_"):
                parameters = inspect.signature(method).parameters
                assert not any("user" in parameter or "agent" in parameter for parameter in parameters), name

    def test_a_copy_is_bound_to_the_same_user(self, data_store: AgentDataStore) -> None:
        """Neither a shallow nor a deep copy gives access to more."""
        data_store.set("key", 1)
        for duplicate in (copy.copy(data_store), copy.deepcopy(data_store)):
            assert (duplicate.user_id, duplicate.get("key")) == ("user_1", 1)

    def test_it_cannot_be_pickled(self, data_store: AgentDataStore) -> None:
        """A connection cannot be sent elsewhere."""
        with pytest.raises(TypeError):
            pickle.dumps(data_store)

    def test_the_text_of_it_shows_the_binding_alone(self, data_store: AgentDataStore) -> None:
        """That is the user, the agent and the namespace, and nothing about the database."""
        text = repr(data_store)
        assert all(name in text for name in ("user_1", "agent_1", "default"))
        assert "://" not in text

    def test_every_store_of_one_user_sees_the_same(self, store: DataStore) -> None:
        """Binding an agent a second time makes no difference."""
        one: Any = store.agent("user_1", "agent_1")
        two: Any = store.agent("user_1", "agent_1")
        one.set("key", 1)
        assert two.get("key") == 1
        two.delete("key")
        assert not one.exists("key")

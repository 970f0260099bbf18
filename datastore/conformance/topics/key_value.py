"""The key-value store for flows: entities, scopes, patterns and atomic changes."""

from __future__ import annotations

from functools import partial

import pytest

from datastore import AgentDataStore, DataStore, InvalidNameError, InvalidValueError, KeyValueStore
from datastore.conformance.races import race
from datastore.conformance.topic import Topic

ENTITIES = [
    "tenant_1", "tenant_10", "tenant:1", "a/b", "!", "!!", "a!b", "~", "~1", "kv", "kv!default", "default", "*",
    "_x", "None", "null", " ", "100%", "e\u0301", "\u00e9", "🔑",
]  # fmt: skip


class KeyValues(Topic):
    """``insert``, ``retrieve``, ``remove``, the listings, the scopes, ``increment``, ``append``, ``pop``."""

    @pytest.fixture
    def kv(self, data_store: AgentDataStore) -> KeyValueStore:
        """Return the key-value store of an agent."""
        return data_store.key_value

    def test_what_is_inserted_is_retrieved(self, kv: KeyValueStore) -> None:
        """It is there until it is removed."""
        kv.insert("step", {"n": 1})
        kv.insert("step", {"n": 2})
        assert kv.retrieve("step") == {"n": 2}
        assert kv.retrieve("other") is None
        assert (kv.remove("step"), kv.remove("step")) == (1, 0)
        assert kv.retrieve("step") is None

    def test_an_empty_key_is_no_key(self, kv: KeyValueStore) -> None:
        """It removes nothing either."""
        kv.insert("key", 1)
        with pytest.raises(InvalidNameError):
            kv.insert("", 1)
        with pytest.raises(InvalidNameError):
            kv.retrieve("")
        with pytest.raises(InvalidNameError):
            kv.remove("")
        with pytest.raises(InvalidNameError):
            kv.insert("key", 1, "")
        assert kv.list_keys() == ["key"]

    def test_every_entity_has_keys_of_its_own(self, kv: KeyValueStore) -> None:
        """This holds for every entity id. Keys without an entity are separate too."""
        kv.insert("key", "nobody's")
        for entity in ENTITIES:
            kv.insert("key", entity, entity)
            kv.insert(f"of {entity}", 1, entity)
        assert kv.retrieve("key") == "nobody's"
        assert kv.list_keys() == ["key"]
        for entity in ENTITIES:
            assert kv.retrieve("key", entity) == entity
            assert kv.list_keys(entity_id=entity) == ["key", f"of {entity}"]
        assert kv.list_entities() == sorted(ENTITIES)

    def test_an_entity_is_cleared_alone(self, kv: KeyValueStore) -> None:
        """Other entities keep their keys, even if their ids begin alike."""
        for entity in (None, "a", "a!b", "ab"):
            kv.insert("x", 1, entity)
            kv.insert("y", 1, entity)
        assert kv.clear_entity("a") == 2
        assert kv.clear_entity("a") == 0
        assert kv.list_entities() == ["a!b", "ab"]
        assert kv.list_keys() == ["x", "y"]
        with pytest.raises(InvalidNameError):
            kv.clear_entity(None)  # type: ignore[arg-type]  # wrong on purpose
        assert kv.list_keys() == ["x", "y"]

    def test_a_star_at_the_end_removes_by_prefix(self, kv: KeyValueStore) -> None:
        """It removes the keys of one entity, or those without an entity."""
        for key in ("job:1", "job:10", "job", "jobs", "other"):
            kv.insert(key, 1)
            kv.insert(key, 1, "entity")
        assert kv.remove("job:*") == 2
        assert kv.list_keys() == ["job", "jobs", "other"]
        assert kv.remove("*") == 3
        assert kv.list_keys() == []
        assert len(kv.list_keys(entity_id="entity")) == 5
        assert kv.remove("job*", "entity") == 4
        assert kv.list_keys(entity_id="entity") == ["other"]

    def test_a_literal_star_is_written_with_a_backslash(self, kv: KeyValueStore) -> None:
        """Only a star at the end is a pattern. A backslash escapes only a star or a backslash."""
        keys = ["a", "a*", "a*b", "a\\", "a\\*", "a\\b", "a**"]
        for key in keys:
            kv.insert(key, 1)
        for pattern, key in [("a\\*", "a*"), ("a*b", "a*b"), ("a\\\\", "a\\"), ("a\\b", "a\\b"), ("a\\\\\\*", "a\\*")]:
            assert kv.remove(pattern) == 1
            keys.remove(key)
            assert kv.list_keys() == sorted(keys)
        assert kv.remove("a\\**") == 1
        assert kv.list_keys() == ["a"]

    def test_keys_are_listed_by_prefix(self, kv: KeyValueStore) -> None:
        """The prefix is not a pattern."""
        for key in ("job:2", "job:1", "job*", "other"):
            kv.insert(key, 1)
        assert kv.list_keys("job") == ["job*", "job:1", "job:2"]
        assert kv.list_keys("job*") == ["job*"]
        assert kv.list_keys("x") == kv.list_keys("job", "entity") == []

    def test_keys_of_a_scope_are_those_of_its_id(self, kv: KeyValueStore) -> None:
        """Two runs do not see each other's keys, and neither do a run and a session with the same id."""
        one = kv(scopes={"run": "1", "session": "1", "flow": "onboarding"})
        two = kv(scopes={"run": "2", "flow": "onboarding"})
        one.insert("$run.step", "one")
        two.insert("$run.step", "two")
        one.insert("$session.step", "session")
        one.insert("$flow.step", "flow")
        one.insert("step", "plain")
        assert (one.retrieve("$run.step"), two.retrieve("$run.step")) == ("one", "two")
        assert one.retrieve("$session.step") == "session"
        assert two.retrieve("$flow.step") == "flow"
        assert kv.retrieve("step") == two.retrieve("step") == "plain"
        assert (kv.list_keys(), one.list_keys("$run."), one.list_keys("$")) == (["step"], ["$run.step"], [])
        assert kv.list_entities() == []

    def test_a_scope_ends(self, kv: KeyValueStore) -> None:
        """Everything that entities hold in it is removed, and nothing else."""
        one = kv(scopes={"run": "1", "flow": "f"})
        two = kv(scopes={"run": "1!a"})
        for bound in (one, two):
            bound.insert("$run.x", 1)
            bound.insert("$run.x", 1, "entity")
            bound.insert("$run.y", 1, "entity")
        one.insert("$flow.x", 1)
        one.insert("x", 1)
        assert one.end_scope("run") == 3
        assert one.end_scope("run") == 0
        assert one.retrieve("$run.x") is None
        assert one.retrieve("$run.x", "entity") is None
        assert (one.retrieve("x"), one.retrieve("$flow.x")) == (1, 1)
        assert two.list_keys("$run.", "entity") == ["$run.x", "$run.y"]
        one.insert("$run.x", 2)
        assert one.retrieve("$run.x") == 2

    def test_a_scope_that_is_not_bound_is_an_error(self, kv: KeyValueStore) -> None:
        """So is a scope that does not exist."""
        with pytest.raises(InvalidNameError, match="no run is bound"):
            kv.insert("$run.x", 1)
        with pytest.raises(InvalidNameError, match="no flow is bound"):
            kv(scopes={"run": "1"}).end_scope("flow")
        with pytest.raises(InvalidNameError, match="'task'"):
            kv(scopes={"task": "1"})
        with pytest.raises(InvalidNameError, match="run"):
            kv(scopes={"run": ""})
        kv.insert("$runs", 1)
        assert kv.list_keys() == ["$runs"]

    def test_an_entity_is_cleared_in_its_scopes_too(self, kv: KeyValueStore) -> None:
        """That is, in those scopes that the store is bound to."""
        one, two = kv(scopes={"run": "1"}), kv(scopes={"run": "2"})
        for bound in (one, two):
            bound.insert("$run.x", 1, "entity")
        one.insert("x", 1, "entity")
        assert one.clear_entity("entity") == 2
        assert two.retrieve("$run.x", "entity") == 1

    def test_patterns_and_changes_reach_into_a_scope(self, kv: KeyValueStore) -> None:
        """The beginning of a key names its scope."""
        bound = kv(scopes={"session": "s"})
        assert bound.increment("$session.n", 2, "entity") == 2
        assert bound.append("$session.queue", 1, 2, entity_id="entity") == [1, 2]
        assert bound.pop("$session.queue", entity_id="entity") == 1
        bound.insert("n", 1, "entity")
        assert bound.remove("$session.*", "entity") == 2
        assert bound.list_keys(entity_id="entity") == ["n"]

    def test_namespaces_have_keys_of_their_own(self, data_store: AgentDataStore) -> None:
        """The store uses the agent's namespace, even if namespaces look like names that it makes from it."""
        names = ["default", "default!a", "a!b", "a", "files:owner/repo"]
        for name in names:
            kv = data_store.use_namespace(name).key_value
            kv.insert("key", name)
            kv.insert("key", f"b of {name}", "b")
        for name in names:
            kv = data_store.use_namespace(name).key_value
            assert (kv.retrieve("key"), kv.retrieve("key", "b")) == (name, f"b of {name}")
            assert kv.list_entities() == ["b"]
        assert data_store.list_keys() == []

    def test_users_have_keys_of_their_own(self, store: DataStore) -> None:
        """The keys have the same names."""
        mine, theirs = (store.agent(user, "agent_1").key_value for user in ("user_1", "user_2"))
        mine.insert("key", 1, "entity")
        assert theirs.retrieve("key", "entity") is None
        assert theirs.list_entities() == []

    def test_counting_and_queueing(self, kv: KeyValueStore) -> None:
        """A missing record counts as zero, or as an empty queue."""
        assert (kv.increment("n"), kv.increment("n", -3), kv.increment("n", entity_id="e")) == (1, -2, 1)
        assert kv.append("queue", "a", "b") == ["a", "b"]
        assert (kv.pop("queue"), kv.pop("queue"), kv.pop("queue")) == ("a", "b", None)
        assert (kv.pop("queue", "empty"), kv.pop("missing", default=0)) == ("empty", 0)
        assert kv.retrieve("queue") == []
        assert kv.list_keys() == ["n", "queue"]
        with pytest.raises(InvalidValueError):
            kv.pop("n")

    def test_threads_that_drain_a_queue_take_each_item_once(self, kv: KeyValueStore) -> None:
        """Eight threads drain it, and nothing is left."""
        kv.append("queue", *range(60))

        def drain() -> list[int]:
            taken = []
            while (item := kv.pop("queue")) is not None:
                taken.append(item)
            return taken

        taken = race(*[drain] * 8)
        assert sorted(item for one in taken for item in one) == list(range(60))
        assert all(one == sorted(one) for one in taken), "an item was taken before an earlier one"
        assert kv.retrieve("queue") == []

    def test_threads_that_fill_and_drain_lose_nothing(self, kv: KeyValueStore) -> None:
        """Each item is either taken or left."""

        def fill(thread: int) -> list[int]:
            for n in range(10):
                kv.append("queue", thread * 10 + n)
            return []

        def drain(_: int) -> list[int]:
            return [item for _ in range(10) if (item := kv.pop("queue")) is not None]

        taken = race(*(partial(fill if n < 3 else drain, n) for n in range(6)))
        assert sorted([*kv.retrieve("queue"), *(item for one in taken for item in one)]) == list(range(30))

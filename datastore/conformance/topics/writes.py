"""Writing, reading and removing one record."""

from __future__ import annotations

import re

import pytest

from datastore import AgentDataStore, KeyExistsError
from datastore.conformance.topic import Topic


class Writes(Topic):
    """``set``, ``get``, ``add``, ``create``, ``delete``, ``exists``."""

    def test_what_is_set_can_be_got(self, data_store: AgentDataStore) -> None:
        """The value is returned for its key."""
        data_store.set("plan", {"steps": [1, 2]})
        assert data_store.get("plan") == {"steps": [1, 2]}

    def test_setting_again_replaces_the_value_whole(self, data_store: AgentDataStore) -> None:
        """Nothing of the earlier value is left."""
        data_store.set("plan", {"old": 1, "deep": {"old": 1}})
        data_store.set("plan", {"deep": {"new": 1}})
        assert data_store.get("plan") == {"deep": {"new": 1}}

    def test_a_missing_key_gives_the_default(self, data_store: AgentDataStore) -> None:
        """``None``, unless the caller says otherwise."""
        assert data_store.get("nowhere") is None
        assert data_store.get("nowhere", "default") == "default"

    def test_a_stored_null_is_not_missing(self, data_store: AgentDataStore) -> None:
        """The default is only for missing records."""
        data_store.set("nothing", None)
        assert data_store.get("nothing", "default") is None
        assert data_store.exists("nothing")
        assert data_store.get_many(["nothing"]) == {"nothing": None}
        assert data_store.get_all() == {"nothing": None}
        assert data_store.count() == 1

    @pytest.mark.parametrize("value", [0, False, "", [], {}], ids=repr)
    def test_an_empty_value_is_not_missing(self, data_store: AgentDataStore, value: object) -> None:
        """Values that are false in Python are values like any other."""
        data_store.set("empty", value)
        assert data_store.get("empty", "default") == value
        assert data_store.exists("empty")

    def test_add_stores_what_is_not_there(self, data_store: AgentDataStore) -> None:
        """It stores the value and its metadata under a free key."""
        data_store.add("plan", 1, {"source": "web"})
        record = data_store.get_record("plan")
        assert record is not None
        assert (record.value, record.metadata) == (1, {"source": "web"})

    def test_add_refuses_a_key_that_is_there(self, data_store: AgentDataStore) -> None:
        """The record stays as it was, even if its value is null."""
        data_store.set("plan", None, {"source": "web"})
        before = data_store.get_record("plan")
        with pytest.raises(KeyExistsError, match="plan"):
            data_store.add("plan", 2, {"source": "file"})
        assert data_store.get_record("plan") == before

    def test_a_deleted_key_can_be_added_again(self, data_store: AgentDataStore) -> None:
        """The deleted record does not prevent it."""
        data_store.add("plan", 1)
        data_store.delete("plan")
        data_store.add("plan", 2)
        assert data_store.get("plan") == 2

    def test_create_makes_a_key_of_its_own(self, data_store: AgentDataStore) -> None:
        """Each call creates another key, which begins with the prefix."""
        keys = [data_store.create(number, prefix="task-") for number in range(20)]
        assert len(set(keys)) == 20
        assert all(re.fullmatch(r"task-[\w-]{22}", key) for key in keys)
        assert data_store.get_many(keys) == dict(zip(keys, range(20), strict=True))

    def test_delete_removes_the_record(self, data_store: AgentDataStore) -> None:
        """It is gone in every call."""
        data_store.set("plan", 1)
        data_store.set("other", 2)
        assert data_store.delete("plan") is True
        assert data_store.get("plan", "gone") == "gone"
        assert data_store.get_record("plan") is None
        assert not data_store.exists("plan")
        assert data_store.list_keys() == ["other"]

    def test_delete_says_whether_there_was_a_record(self, data_store: AgentDataStore) -> None:
        """It returns ``False`` for a missing record, and for one that is gone already."""
        assert data_store.delete("plan") is False
        data_store.set("plan", 1)
        assert data_store.delete("plan") is True
        assert data_store.delete("plan") is False

    def test_exists_and_in_agree(self, data_store: AgentDataStore) -> None:
        """Both say whether there is a record."""
        assert not data_store.exists("plan")
        assert "plan" not in data_store
        data_store.set("plan", 1)
        assert data_store.exists("plan")
        assert "plan" in data_store

    def test_every_read_sees_the_write_before_it(self, data_store: AgentDataStore) -> None:
        """No read, by key or by listing, comes from a copy that is out of date."""
        for number in range(10):
            data_store.set("key", number)
            assert data_store.get("key") == number
            assert data_store.get_all() == {"key": number}
            data_store.set("other", number)
            assert data_store.list_keys() == ["key", "other"], "a key that was just set is not listed"
            data_store.delete("other")
            assert data_store.list_keys() == ["key"], "a key that was just deleted is still listed"

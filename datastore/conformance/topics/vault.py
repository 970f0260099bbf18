"""The document vault: collections of documents over the same records."""

from __future__ import annotations

import re
from typing import Any

import pytest

from datastore import AgentDataStore, DataStore, InvalidNameError, InvalidValueError, QueryError, Vault
from datastore.conformance.faults import Untouchable
from datastore.conformance.races import ROUNDS, race
from datastore.conformance.topic import Topic, Wrapper

COLLECTIONS = ["user_carts", "_private", "a_b_c", "a:b", "a", "files:owner/repo", "100%", "*", "Carts", "carts", "🔑"]


class Vaults(Topic):
    """``store``, ``retrieve``, ``query``, ``update``, ``delete``, ``clear``, ``count``, ``list_collections``."""

    @pytest.fixture
    def vault(self, data_store: AgentDataStore) -> Vault:
        """Return the vault of an agent."""
        return data_store.vault

    def test_a_document_comes_back_with_its_key(self, vault: Vault) -> None:
        """The key is in ``_id``, beside what was stored."""
        assert vault.store("carts", {"items": [1], "note": None}, "ann") == "ann"
        assert vault.retrieve("carts", "ann") == {"_id": "ann", "items": [1], "note": None}
        assert vault.retrieve("carts", "bob") is None
        assert vault.retrieve("other", "ann") is None

    def test_a_new_key_names_its_collection_and_cannot_be_guessed(self, vault: Vault) -> None:
        """It has at least 96 random bits, in hex."""
        keys = {vault.store("user_carts", {"n": n}) for n in range(20)}
        assert len(keys) == 20
        for key in keys:
            assert re.fullmatch(r"user_carts_[0-9a-f]{24,}", key)
            assert vault.retrieve("user_carts", key) is not None

    def test_the_longest_name_of_a_collection_has_room_for_new_keys(self, vault: Vault) -> None:
        """A key may be 512 bytes long, a collection 255."""
        key = vault.store("c" * 255, {})
        assert vault.retrieve("c" * 255) == [{"_id": key}]

    def test_a_retrieved_document_can_be_stored_back(self, vault: Vault, data_store: AgentDataStore) -> None:
        """It is stored under its own key, or as a copy under another key. ``_id`` itself is not stored."""
        key = vault.store("carts", {"total": 1})
        document: Any = vault.retrieve("carts", key)
        document["total"] = 2
        assert vault.store("carts", document) == key
        assert vault.store("carts", document, "copy") == "copy"
        assert data_store.use_namespace("carts").get_all() == {key: {"total": 2}, "copy": {"total": 2}}
        assert document["_id"] == key

    def test_storing_again_replaces_the_whole_document(self, vault: Vault) -> None:
        """An update does not do this."""
        vault.store("carts", {"a": 1, "b": 2}, "key")
        vault.store("carts", {"a": 3}, "key")
        assert vault.retrieve("carts") == [{"_id": "key", "a": 3}]

    def test_an_empty_key_is_an_error(self, vault: Vault) -> None:
        """It never means everything."""
        vault.store("carts", {"a": 1}, "key")
        with pytest.raises(InvalidNameError):
            vault.retrieve("carts", "")
        with pytest.raises(InvalidNameError):
            vault.delete("carts", "")
        with pytest.raises(InvalidNameError):
            vault.update("carts", "", {"a": 2})
        with pytest.raises(InvalidNameError):
            vault.store("carts", {"a": 2}, "")
        with pytest.raises(InvalidNameError):
            vault.store("carts", {"_id": "", "a": 2})
        assert vault.retrieve("carts") == [{"_id": "key", "a": 1}]

    def test_what_is_no_document_is_refused(self, wrapped: Wrapper) -> None:
        """It is refused before the database is asked."""
        vault = wrapped(Untouchable).agent("user_1", "agent_1").vault
        for data in (None, 1, "text", [1], [("a", 1)]):
            with pytest.raises(InvalidValueError):
                vault.store("carts", data, "key")  # type: ignore[arg-type]  # wrong on purpose
        with pytest.raises(InvalidNameError):
            vault.store("", {}, "key")

    def test_a_collection_is_a_namespace(self, vault: Vault, data_store: AgentDataStore) -> None:
        """This holds both ways. A record that is not a document is an error there, and is not left out."""
        vault.store("carts", {"a": 1}, "x")
        assert data_store.use_namespace("carts").get("x") == {"a": 1}
        data_store.use_namespace("carts").set("y", {"a": 2})
        assert vault.retrieve("carts", "y") == {"_id": "y", "a": 2}
        data_store.use_namespace("carts").set("z", [1])
        with pytest.raises(InvalidValueError, match="'z' of collection 'carts' holds a list"):
            vault.retrieve("carts")

    def test_names_of_collections_survive(self, vault: Vault) -> None:
        """They may have underscores, colons and anything else that names may have."""
        for name in COLLECTIONS:
            vault.store(name, {"name": name}, "key")
        assert vault.list_collections() == sorted(COLLECTIONS)
        for name in COLLECTIONS:
            assert vault.retrieve(name) == [{"_id": "key", "name": name}]

    def test_documents_are_listed_by_key(self, vault: Vault) -> None:
        """The order is that of code points."""
        keys = ["b", "a", "B", "ä", "a1", "_"]
        for key in keys:
            vault.store("carts", {}, key)
        assert [document["_id"] for document in vault.retrieve("carts")] == sorted(keys)

    def test_a_query_returns_what_matches(self, vault: Vault) -> None:
        """The result is sorted, skipped and limited."""
        for n in range(6):
            vault.store("carts", {"n": n, "odd": bool(n % 2)}, f"key {n}")
        found = vault.query("carts", {"odd": True}, sort=[("n", -1)], skip=1, limit=5)
        assert found == [{"_id": "key 3", "n": 3, "odd": True}, {"_id": "key 1", "n": 1, "odd": True}]
        assert vault.query("carts", {"n": 9}) == []
        assert len(vault.query("carts")) == 6
        assert vault.count("carts") == 6
        assert vault.count("carts", {"n": {"$gte": 4}}) == 2

    def test_text_is_found_whatever_its_case(self, vault: Vault) -> None:
        """It may be in any of several fields."""
        vault.store("memory", {"subject": "Refund", "body": "asked twice"}, "1")
        vault.store("memory", {"subject": "Address", "body": "wants a REFUND, too"}, "2")
        vault.store("memory", {"subject": "Address", "body": "moved"}, "3")
        words = {"$regex": "refund", "$options": "i"}
        found = vault.query("memory", {"$or": [{"subject": words}, {"body": words}]}, sort=[("subject", 1)])
        assert [document["_id"] for document in found] == ["2", "1"]

    def test_a_query_can_ask_for_keys(self, vault: Vault) -> None:
        """``_id`` can be used wherever a field can. Keys sort by code point."""
        for n in range(4):
            vault.store("carts", {"n": n}, f"key {n}")
        assert vault.query("carts", {"_id": "key 2"}) == [{"_id": "key 2", "n": 2}]
        some = {"_id": {"$in": ["key 1", "key 2", "x"]}, "n": {"$gt": 1}}
        assert vault.query("carts", some) == [{"_id": "key 2", "n": 2}]
        assert vault.count("carts", {"_id": {"$ne": "key 1"}}) == 3
        asked: list[tuple[dict[str, Any], list[int]]] = [
            ({"$or": [{"n": 0}, {"_id": "key 2"}]}, [0, 2]),
            ({"$and": [{"_id": {"$gte": "key 1"}}, {"$nor": [{"_id": "key 2"}, {"n": 3}]}]}, [1]),
            ({"_id": {"$not": {"$in": ["key 0", "key 3"]}}, "n": {"$ne": 1}}, [2]),
            ({"_id": {"$regex": "[13]$"}}, [1, 3]),
            ({"$or": [{"_id": "key 2"}, {"_id": "x"}]}, [2]),
            ({"_id": {"$in": []}}, []),
            ({"_id": None}, []),
            ({"_id": ""}, []),
            ({"$nor": [{"_id": "key 0"}]}, [1, 2, 3]),
        ]
        for filter, expected in asked:
            assert sorted(document["n"] for document in vault.query("carts", filter)) == expected, filter
            assert vault.count("carts", filter) == len(expected), filter
        assert vault.query("carts", {"_id": {"$in": ["key 3", "key 0"]}}, sort=[("n", -1)], limit=1)[0]["n"] == 3
        with pytest.raises(QueryError, match=r"^\$or\[1\].n: unknown operator"):
            vault.query("carts", {"$or": [{"_id": 1}, {"n": {"$foo": 1}}]})
        with pytest.raises(QueryError, match=r"^\$or\[0\]._id: unknown operator \$foo"):
            vault.query("carts", {"$or": [{"_id": {"$foo": 1}}]})
        with pytest.raises(QueryError, match=r"^sort\[1\]: '_id' is named twice"):
            vault.query("carts", sort=[("_id", 1), ("_id", -1)])
        with pytest.raises(QueryError, match="_id and \\$key mean the same"):
            vault.query("carts", {"_id": "key 1", "$key": "key 2"})

    @pytest.mark.parametrize("sort", ["_id", [("_id", 1)], {"_id": 1}], ids=["text", "pair", "dict"])
    def test_documents_can_be_sorted_by_key(self, vault: Vault, sort: Any) -> None:
        """The order is that of code points, and not that of ids."""
        keys = ["b", "a", "~", "B", "ä", "a1", "_", "-", "🔑", "\uffee"]
        for key in keys:
            vault.store("carts", {"long": len(key) > 1}, key)
        assert [document["_id"] for document in vault.query("carts", sort=sort)] == sorted(keys)
        down = vault.query("carts", sort=[("long", -1), ("_id", -1)], skip=1, limit=3)
        assert [document["_id"] for document in down] == sorted(set(keys) - {"a1"}, reverse=True)[:3]

    def test_the_key_is_among_the_fields_unless_it_is_left_out(self, vault: Vault) -> None:
        """This is how MongoDB does it."""
        vault.store("carts", {"a": 1, "b": 2}, "key")
        assert vault.query("carts", fields=["a"]) == [{"_id": "key", "a": 1}]
        assert vault.query("carts", fields=["a", "_id"]) == [{"_id": "key", "a": 1}]
        assert vault.query("carts", fields={"a": 0}) == [{"_id": "key", "b": 2}]
        assert vault.query("carts", fields={"a": 1, "_id": 0}) == [{"a": 1}]
        assert vault.query("carts", fields={"_id": 0}) == [{"a": 1, "b": 2}]
        assert vault.query("carts", fields={"_id": 1}) == [{"_id": "key"}]

    def test_an_update_changes_in_part(self, vault: Vault) -> None:
        """It takes fields or update operators."""
        vault.store("carts", {"a": 1, "items": []}, "key")
        assert vault.update("carts", "key", {"b": 2}) is True
        assert vault.update("carts", "key", {"$inc": {"a": 1}, "$push": {"items": "book"}}) is True
        assert vault.retrieve("carts", "key") == {"_id": "key", "a": 2, "b": 2, "items": ["book"]}

    def test_an_update_creates_nothing(self, vault: Vault) -> None:
        """It reports that there is no such document."""
        assert vault.update("carts", "key", {"b": 2}) is False
        assert vault.retrieve("carts") == []
        assert vault.list_collections() == []

    def test_an_update_leaves_the_key_alone(self, vault: Vault) -> None:
        """A whole document may be merged in, but a different ``_id`` is refused."""
        vault.store("carts", {"a": 1}, "key")
        assert vault.update("carts", "key", {"_id": "key", "a": 2})
        for changes in ({"_id": "other"}, {"$set": {"_id": "other"}}, {"$rename": {"a": "_id"}}):
            with pytest.raises(InvalidValueError, match="_id"):
                vault.update("carts", "key", changes)
        assert vault.retrieve("carts") == [{"_id": "key", "a": 2}]

    def test_an_update_does_not_bring_back_what_is_deleted(self, vault: Vault) -> None:
        """It makes no difference which of the two comes first."""

        def update() -> bool:
            return vault.update("carts", "key", {"updated": True})

        def delete() -> bool:
            return vault.delete("carts", "key")

        for _ in range(ROUNDS):
            vault.store("carts", {}, "key")
            *_, deleted = race(update, update, delete)
            assert deleted
            assert vault.retrieve("carts") == [], "an update brought back a deleted document"

    def test_what_is_deleted_is_gone(self, vault: Vault) -> None:
        """That is one document, or a collection with everything in it."""
        for n in range(3):
            vault.store("carts", {}, str(n))
        vault.store("carts_old", {}, "0")
        assert (vault.delete("carts", "0"), vault.delete("carts", "0")) == (True, False)
        assert vault.clear("carts") == 2
        assert vault.clear("carts") == 0
        assert vault.list_collections() == ["carts_old"]

    def test_users_have_vaults_of_their_own(self, store: DataStore) -> None:
        """The same collection and key are different documents for different users."""
        mine, theirs = (store.agent(user, "agent_1").vault for user in ("user_1", "user_10"))
        mine.store("carts", {"of": 1}, "key")
        assert theirs.retrieve("carts", "key") is None
        assert theirs.list_collections() == []
        assert theirs.clear("carts") == 0
        assert mine.count("carts") == 1

    def test_a_retrieved_document_counts_an_access(self, vault: Vault, data_store: AgentDataStore) -> None:
        """``count`` and ``list_collections`` count nothing."""
        vault.store("carts", {"a": 1}, "key")
        vault.retrieve("carts", "key")
        vault.retrieve("carts")
        vault.query("carts", {"a": 1})
        vault.count("carts", {"a": 1})
        vault.list_collections()
        record = data_store.use_namespace("carts").get_record("key")
        assert record is not None
        assert record.access_count == 3

    def test_health_says_how_the_database_does(self, store: DataStore, vault: Vault) -> None:
        """It does not raise if the database is in a bad state."""
        vault.store("carts", {}, "key")
        report = vault.health()
        assert report["ok"] is True
        assert (report["backend"], report["collections"], report["error"]) == (store.backend.name, 1, None)
        assert 0 <= report["latency"] < 60
        store.close()
        report = vault.health()
        assert report["ok"] is False
        assert report["backend"] == store.backend.name
        assert "closed" in report["error"]

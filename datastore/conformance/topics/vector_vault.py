"""The vector vault: texts by number, kept at once, and found by meaning once they have vectors."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from datastore import (
    AgentDataStore,
    DataStore,
    Embedder,
    EmbedderError,
    InvalidValueError,
    PermissionDeniedError,
    QueryError,
    UnsupportedError,
    VectorVault,
)
from datastore.conformance.clock import Clock
from datastore.conformance.faults import Untouchable, Wrapped
from datastore.conformance.topic import Opener, Topic, Wrapper
from datastore.conformance.topics.memory import SIZE, WORDS, words
from datastore.memory.vector_vault import GRACE, LOG, NOT_HERE, key_of


def texts(items: list[dict[str, Any]]) -> list[Any]:
    """Return the texts of items."""
    return [item["data"] for item in items]


class VectorVaults(Topic):
    """``data_store.vector_vault(name)``."""

    @pytest.fixture
    def store(self, open_store: Opener) -> DataStore:
        """Return an open store with an embedder."""
        return open_store(embedder=WORDS)

    @pytest.fixture
    def support(self, data_store: AgentDataStore) -> VectorVault:
        """Return a vault of an agent."""
        return data_store.vector_vault("customer_support")

    def test_what_is_published_runs_as_written(self, support: VectorVault) -> None:
        """Add, make vectors, save, find, and look at data and metadata."""
        metadata = {"name": "Lifestyle in LA", "country": "United States", "city": "LA"}
        support.add("life in the city of angels", meta=metadata)
        support.add("a city in the north", name="North")
        support.get_vectors()
        support.save()
        similar_data = support.get_similar("city of angels")
        assert similar_data[0]["data"] == "life in the city of angels"
        assert {**similar_data[0]["metadata"], **metadata} == similar_data[0]["metadata"]
        assert similar_data[1]["metadata"]["name"] == "North"
        assert set(similar_data[1]["metadata"]) == {"name", "item_id", "vault", "created", "updated", "time"}
        assert all(set(item) == {"data", "metadata"} for item in similar_data)
        assert [item["metadata"]["item_id"] for item in similar_data] == [0, 1]
        assert texts(support.get_similar("north", n=1)) == ["a city in the north"]
        assert support.get_total_items() == 2
        for number in range(support.get_total_items()):
            (item,) = support.get_items([number])
            assert item is not None
            assert item["metadata"]["item_id"] == number
        support.edit_item(1, "a desert in the south")
        assert texts(support.get_similar("desert", 1)) == ["a desert in the south"]
        support.delete_items([0])
        assert texts(support.get_similar("city of angels")) == ["a desert in the south"]

    def test_what_was_added_is_kept_at_once(self, support: VectorVault, wrapped: Wrapper) -> None:
        """Nothing is lost before `save`: another store has it, and makes the vectors of what this one has added."""
        support.add("cat", {"a": 1})
        other = wrapped(Wrapped, embedder=WORDS).agent("user_1", "agent_2").vector_vault("customer_support")
        (item,) = other.get_items([0])
        assert item is not None
        assert (item["data"], item["metadata"]["a"]) == ("cat", 1)
        assert support.get_similar("cat") == []
        assert other.get_vectors() == 1
        assert texts(support.get_similar("cat")) == ["cat"]
        assert support.get_vectors() == other.get_vectors() == 0

    def test_vectors_are_made_of_what_has_none(self, open_store: Opener) -> None:
        """Once, in batches; what was edited or given a vector has one; a failure keeps what was made."""
        batches = list[list[str]]()

        def counted(some: list[str]) -> list[list[float]]:
            batches.append(some)
            if "bad" in some:
                raise OSError
            return words(some)

        store = open_store(embedder=Embedder(counted, SIZE, "words", batch=40))
        data_store = store.agent("user_1", "agent_1")
        vault = data_store.vector_vault("v")
        for number in range(50):
            vault.add(f"word{number}")
        vault.add_item_with_vector("given", [1.0] * SIZE)
        vault.edit_item(3, "edited")
        batches.clear()
        assert vault.get_vectors() == 49
        assert [len(some) for some in batches] == [40, 9]
        assert len(vault.get_similar("word7", 100)) == 51
        before = {record.key: record.revision for record in data_store.use_namespace("v").iter_records()}
        vault.add("good")
        vault.get_vectors()
        vault.add("bad")
        for _ in range(2):
            with pytest.raises(EmbedderError, match="OSError"):
                vault.get_vectors()
        assert "good" in texts(vault.get_similar("good", 3))
        assert vault.edit_item(52, "better")
        assert vault.get_vectors() == 0
        after = {record.key: record.revision for record in data_store.use_namespace("v").iter_records()}
        assert {**after, **before} == after, "to make a vector is not to write a record"

    def test_an_item_that_is_being_added_is_waited_for(
        self, data_store: AgentDataStore, support: VectorVault, clock: Clock
    ) -> None:
        """Its writer has its number, and stores it after others have made all vectors; after an hour it has died."""
        place = data_store.use_namespace("customer_support")
        late = place.log_append(LOG, None) - 1
        support.add("dog")
        assert support.get_vectors() == 1
        place.add(key_of(late), "cat")
        assert support.get_vectors() == 1
        assert place.log_read(LOG) == []
        dead = place.log_append(LOG, None)
        support.add("bird")
        support.get_vectors()
        assert [entry.number for entry in place.log_read(LOG)] == [dead, dead + 1]
        clock.advance(GRACE)
        support.add("fish")
        assert support.get_vectors() == 1
        assert place.log_read(LOG) == []
        assert set(texts(support.get_similar("cat", 10))) == {"cat", "dog", "bird", "fish"}

    def test_a_number_is_given_once(self, support: VectorVault, wrapped: Wrapper) -> None:
        """Whoever adds at the same moment, and whatever was deleted."""
        other = wrapped(Wrapped, embedder=WORDS).agent("user_1", "agent_2").vector_vault("customer_support")
        with ThreadPoolExecutor(4) as pool:
            numbers = list(pool.map(lambda n: (support, other)[n % 2].add(f"text {n}"), range(20)))
        assert sorted(numbers) == list(range(20))
        assert [texts([item])[0] for item in support.get_items(numbers) if item] == [f"text {n}" for n in range(20)]
        assert support.get_vectors() == 20
        assert support.delete_items([18, 19, 77]) == 2
        assert support.add("new") == 20
        assert support.delete() == 19
        assert support.get_total_items() == 0
        assert other.add_n_save("again") == 21
        assert support.get_items([18, 20, 21])[:2] == [None, None]
        assert texts(support.get_similar("again")) == ["again"]

    def test_items_of_several_vaults(self, data_store: AgentDataStore, support: VectorVault) -> None:
        """Each has its guaranteed places, as `Memory.search_across` gives them, and all have distances, in order."""
        for name, text in (("legal_docs", "far far far"), ("support_tickets", "cat far"), ("engineering", "cat")):
            one = data_store.vector_vault(name)
            for _ in range(6):
                one.add(text)
            one.get_vectors()
        found = support.get_similar_from_vaults(
            "cat", n=10, vaults={"legal_docs": 3, "support_tickets": 2, "engineering": None}
        )
        assert [item["metadata"]["vault"] for item in found] == [
            *["engineering"] * 5,
            *["support_tickets"] * 2,
            *["legal_docs"] * 3,
        ]
        distances = [item["distance"] for item in found]
        assert distances == sorted(distances)
        a, b = words(["cat", "far far far"])
        unit = [[x / math.hypot(*vector) for x in vector] for vector in (a, b)]
        assert math.isclose(distances[-1], math.dist(*unit), rel_tol=1e-6)
        assert [item["distance"] for item in support.get_similar("cat", 1, True, "engineering")] == distances[:1]
        assert [item["distance"] for item in support.get_items_by_vector(a, 1, True, "engineering")] == distances[:1]
        by_list = support.get_similar_from_vaults("cat", n=7, vaults=["legal_docs", "support_tickets"])
        assert [item["metadata"]["vault"] for item in by_list] == [*["support_tickets"] * 6, "legal_docs"]
        assert len(support.get_similar_from_vaults("cat", vaults="legal_docs")) == 4

    def test_metadata_can_be_edited(self, support: VectorVault) -> None:
        """What is not named stays, and so does the vector."""
        support.add_n_save("cat", {"a": 1, "b": 2})
        assert support.edit_item_meta(0, {"a": 3, "b": None, "item_id": 7})
        (item,) = support.get_similar("cat")
        assert item["metadata"]["a"] == 3
        assert "b" not in item["metadata"]
        assert item["metadata"]["item_id"] == 0
        assert not support.edit_item_meta(5, {"a": 1})
        assert not support.edit_item(5, "text")

    def test_vaults_within_vaults(self, data_store: AgentDataStore) -> None:
        """Names with ``/`` are listed by what is directly within; those of other users are not there."""
        for name in ("science/physics", "science/chemistry/lab notes", "science/chemistry/reactions", "science", "art"):
            data_store.vector_vault(name).add("text")
        science = data_store.vector_vault("science")
        assert science.get_vaults() == ["chemistry", "physics"]
        assert science.get_vaults("science/chemistry") == ["lab notes", "reactions"]
        assert science.get_vaults("") == ["art", "science"]
        assert data_store.vector_vault("none").get_vaults() == []

    def test_any_record_with_a_vector_is_an_item(self, data_store: AgentDataStore, support: VectorVault) -> None:
        """It is found, and has its key in the place of a number."""
        data_store.use_namespace("customer_support").memory.add("a cat", key="cat")
        (item,) = support.get_similar("cat")
        assert item["metadata"]["item_id"] == "cat"
        assert support.get_items(["cat"]) == [item]
        assert support.delete_items("cat") == 1

    def test_what_is_no_matter_of_storage_says_so(self, support: VectorVault) -> None:
        """Chat, prompts, flows and files; and what is nowhere is no attribute."""
        for name in NOT_HERE:
            with pytest.raises(UnsupportedError, match=f"^{name} is not there: "):
                getattr(support, name)
        with pytest.raises(UnsupportedError, match="ask a model with what get_similar returns"):
            support.get_chat("text", get_context=True)
        assert not hasattr(support, "nothing")

    def test_grants_of_the_namespace_are_those_of_the_vault(self, store: DataStore) -> None:
        """Reading needs to read, and adding to write."""
        store.agent("user_1", "agent_1").vector_vault("shared").add_n_save("cat")
        store.agent("user_1", "agent_1").vector_vault("shared").add("bird")
        reader = store.agent("user_1", "agent_2", grants={"shared": "read"}).vector_vault("shared")
        assert texts(reader.get_similar("cat")) == ["cat"]
        calls: list[Any] = [
            lambda: reader.add("dog"),
            lambda: reader.get_vectors(),
            lambda: reader.edit_item(0, "dog"),
            lambda: reader.delete_items([0]),
            lambda: reader.get_similar("cat", vault="secret"),
            lambda: reader.get_similar_from_vaults("cat", vaults=["shared", "secret"]),
        ]
        for call in calls:
            with pytest.raises(PermissionDeniedError):
                call()
        assert reader.get_total_items() == 2

    def test_a_vault_refuses_what_is_wrong_before_a_request(self, wrapped: Wrapper) -> None:
        """The message names the parameter."""
        vault: Any = wrapped(Untouchable, embedder=WORDS).agent("user_1", "agent_1").vector_vault("v")
        values: list[tuple[Any, str]] = [
            (lambda: vault.add(7), "text is an int"),
            (lambda: vault.add("a", ["x"]), "meta is a list"),
            (lambda: vault.add("a", name=7), "name is an int"),
            (lambda: vault.add_item_with_vector("a", [0.0]), "vector is a zero vector"),
            (lambda: vault.get_similar(7), "text is an int"),
            (lambda: vault.get_similar("a", include_distances="yes"), "include_distances"),
            (lambda: vault.get_similar_from_vaults("a", 3), "vaults is a NoneType"),
            (lambda: vault.get_similar_from_vaults("a", 3, []), "vaults is empty"),
            (lambda: vault.get_items([-1]), r"ids\[0\] is -1"),
            (lambda: vault.get_items("12"), "ids is a str"),
            (lambda: vault.edit_item(1.5, "a"), "item_id is 1.5"),
            (lambda: vault.edit_item(1, None), "new_text is a NoneType"),
            (lambda: vault.edit_item_meta(1, None), "metadata is None"),
            (lambda: vault.delete_items([True]), r"item_ids\[0\] is True"),
        ]
        for call, message in values:
            with pytest.raises(InvalidValueError, match=message):
                call()
        with pytest.raises(QueryError, match=r"vaults|namespaces\['a'\] is -1"):
            vault.get_similar_from_vaults("a", 3, {"a": -1})

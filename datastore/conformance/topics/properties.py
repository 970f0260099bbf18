"""Properties of ids and values, on names and values that nobody thought of. Needs Hypothesis."""

from __future__ import annotations

from typing import Any

import pytest

from datastore import AgentDataStore, DataStore
from datastore.conformance.samples import in_order, same
from datastore.conformance.topic import Topic


class Properties(Topic):
    """What holds for all names and values."""

    def test_records_of_different_names_are_different_records(self, store: DataStore) -> None:
        """No two triples of user, namespace and key share one, and what is listed is what went in."""
        hypothesis = pytest.importorskip("hypothesis")
        from datastore.conformance import strategies

        @strategies.examples(self.harness)
        @hypothesis.given(strategies.triples)  # type: ignore[untyped-decorator]  # from `importorskip`
        @hypothesis.example(strategies.splits(["a"] * 4, ":"))  # type: ignore[untyped-decorator]  # from `importorskip`
        def check(triples: list[tuple[str, str, str]]) -> None:
            places = {triple: store.agent(triple[0], "agent_1", triple[1]) for triple in triples}
            for user, namespace, key in triples:
                places[user, namespace, key].set(key, [user, namespace, key])
            for (user, namespace, key), place in places.items():
                record = place.get_record(key)
                assert record is not None
                assert (record.user_id, record.namespace, record.key) == (user, namespace, key)
                assert record.value == [user, namespace, key]
            of_users = {user: place for (user, _, _), place in places.items()}
            of_namespaces = {(user, namespace): place for (user, namespace, _), place in places.items()}
            for user, place in of_users.items():
                assert place.list_namespaces() == in_order({n for u, n, _ in triples if u == user})
            for names, place in of_namespaces.items():
                assert place.list_keys() == sorted(k for u, n, k in triples if (u, n) == names)
            for (_, _, key), place in places.items():
                assert place.delete(key), "deleting one record removed another"
            assert [place.list_namespaces() for place in of_users.values()] == [[]] * len(of_users)

        check()

    def test_what_comes_back_equals_what_went_in(self, data_store: AgentDataStore) -> None:
        """Type for type, alone and in company."""
        hypothesis = pytest.importorskip("hypothesis")
        from datastore.conformance import strategies

        values = strategies.values(without=self.harness.loses)

        @strategies.examples(self.harness)
        @hypothesis.given(values, values)  # type: ignore[untyped-decorator]  # from `importorskip`
        def check(one: Any, two: Any) -> None:
            data_store.set("one", one)
            data_store.set_many({"two": two, "both": [one, {"two": two}]})
            assert same(data_store.get("one"), one)
            assert same(data_store.get_all(), {"both": [one, {"two": two}], "one": one, "two": two})

        check()

    def test_metadata_comes_back_as_it_was_merged(self, data_store: AgentDataStore) -> None:
        """A shallow merge in which ``None`` removes, however often."""
        hypothesis = pytest.importorskip("hypothesis")
        from datastore.conformance import strategies

        @strategies.examples(self.harness)
        @hypothesis.given(strategies.metadata_changes(without=self.harness.loses))  # type: ignore[untyped-decorator]  # from `importorskip`
        def check(changes: list[dict[str, Any]]) -> None:
            data_store.delete("key")
            expected: dict[str, Any] = {}
            for change in changes:
                data_store.set("key", 1, change)
                expected = {name: value for name, value in {**expected, **change}.items() if value is not None}
                record = data_store.get_record("key")
                assert record is not None
                assert same(record.metadata, expected)

        check()

"""The grants for a key-value store: they open its keys, all of them, and nothing else of the user's."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

import datastore
from datastore import ConfigurationError, InvalidNameError, PermissionDeniedError, key_value_grants
from datastore.grants import Grants
from datastore.ids import encode_name, namespace_prefix
from datastore.interfaces.key_value import SCOPES
from tests.interfaces.test_key_value_names import NAMES, PLACES, place


def allowed(namespace, grants):
    """Whether an agent with these grants may read and write a namespace."""
    found = Grants("ann", grants)
    prefix = namespace_prefix("ann", encode_name(namespace, "namespace"))
    return prefix in found.readable, prefix in found.writable


@given(st.one_of(NAMES, st.text("*\\!~a", min_size=1, max_size=5)), PLACES)
def test_all_places_of_the_namespace_are_granted_and_no_others(namespace, other):
    grants = key_value_grants(namespace)
    assert allowed(place(*other), grants) == ((other[0] == namespace,) * 2)
    assert allowed(place(namespace, *other[1:]), grants) == (True, True)
    assert allowed(namespace, grants) == (False, False)


@given(PLACES, st.dictionaries(st.sampled_from(SCOPES), NAMES), NAMES)
def test_with_scopes_other_runs_are_left_out(where, scopes, namespace):
    _, scope, id, entity = where
    grants = key_value_grants(namespace, "read", scopes=scopes)
    is_bound = scope is None or scopes.get(scope) == id
    assert allowed(place(namespace, scope, id, entity), grants) == (is_bound, False)


def test_every_call_of_the_store_works_with_them_and_no_other_does():
    with datastore.connect("memory://") as store:
        store.host("ann", "flow").set("own", 1)
        grants = key_value_grants("flow", scopes={"run": "7"})
        agent = store.agent("ann", "runner", "flow", grants=grants)
        kv = agent.key_value({"run": "7"})
        for entity in (None, "ticket:17", "a*b"):
            for key in ("k", "$run.k"):
                kv.insert(key, 1, entity)
                assert kv.increment(key, 1, entity) == 2
                assert kv.retrieve(key, entity) == 2
                assert kv.append(f"{key}-list", 1, 2, entity_id=entity) == [1, 2]
                assert kv.pop(f"{key}-list", entity_id=entity) == 1
                assert kv.list_keys(key, entity) == [key, f"{key}-list"]
        assert kv.list_entities() == ["a*b", "ticket:17"]
        assert kv.clear_entity("a*b") == 4
        assert kv.end_scope("run") == 4
        assert kv.remove("*") == 2
        for refused in (
            lambda: agent.get("own"),
            lambda: agent.key_value({"run": "8"}).insert("$run.k", 1),
            lambda: agent.key_value({"session": "7"}).retrieve("$session.k"),
            lambda: agent.use_namespace("other"),
        ):
            with pytest.raises(PermissionDeniedError):
                refused()


def test_who_may_read_may_not_write():
    with datastore.connect("memory://") as store:
        store.agent("ann", "writer").key_value.insert("k", 1)
        kv = store.agent("ann", "reader", grants=key_value_grants(grant="read")).key_value
        assert kv.retrieve("k") == 1
        with pytest.raises(PermissionDeniedError):
            kv.insert("k", 2)
        assert asyncio.run(_retrieved(kv._records)) == 1


async def _retrieved(records):
    return await records.asynchronous.key_value.retrieve("k")


@pytest.mark.parametrize("grant", ["own", "", None, 1, ["read"]])
def test_what_is_no_grant_is_refused(grant):
    with pytest.raises(ConfigurationError, match="it must be 'read' or 'write'"):
        key_value_grants("flow", grant)


@pytest.mark.parametrize(
    ("namespace", "scopes"),
    [("", None), (7, None), ("n" * 256, None), ("n", {"task": "1"}), ("n", {"run": ""}), ("n", [])],
)
def test_what_is_no_name_is_refused(namespace, scopes):
    with pytest.raises(InvalidNameError):
        key_value_grants(namespace, scopes=scopes)

"""Where the keys of a key-value store are stored: no two places are the same, and each can be read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import datastore
from datastore.conformance.samples import ODD_NAMES
from datastore.interfaces.key_value import SCOPES, KeyValueStore

NAMES = st.one_of(st.sampled_from(ODD_NAMES), st.text("!~01ab-", min_size=1, max_size=6))


class InNamespace:
    """Stands for an agent's store, of which only the namespace matters here."""

    def __init__(self, namespace):
        self.namespace = namespace


def place(namespace, scope, id, entity):
    store = KeyValueStore(InNamespace(namespace), {scope: id} if scope else {})
    return store._scoped(scope, entity) if scope else store._name("kv", entity)


PLACES = st.tuples(NAMES, st.none() | st.sampled_from(SCOPES), NAMES, st.none() | NAMES).map(
    lambda place: (place[0], place[1], place[2] if place[1] else None, place[3])
)


@given(PLACES, PLACES)
def test_different_places_have_different_namespaces(one, other):
    assert (place(*one) == place(*other)) == (one == other)


@given(PLACES)
def test_a_place_can_be_read_back(given_place):
    kind, *parts = place(*given_place).split("!", 3 if given_place[1] else 2)
    plain = [part.replace("~1", "!").replace("~0", "~") for part in parts[: 2 if given_place[1] else 1]]
    entity = parts[len(plain)] if len(parts) > len(plain) else None
    scope = kind.partition("-")[2] or None
    assert (plain[0], scope, plain[1] if scope else None, entity) == given_place


@pytest.mark.parametrize("namespace", ["default", "files:owner/repo", "a!b~c"])
def test_every_odd_name_is_an_entity(namespace):
    with datastore.connect("memory://") as store:
        kv = store.agent("ann", "assistant", namespace).key_value
        for entity in ODD_NAMES:
            kv.insert("key", entity, entity)
        assert kv.list_entities() == sorted(ODD_NAMES)
        assert [kv.retrieve("key", entity) for entity in ODD_NAMES] == ODD_NAMES

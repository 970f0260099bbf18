"""What lies in Redis, and that it comes back exactly."""

import json

import pytest

from datastore.backend import Fields
from datastore.conformance.topics.moving import document, restoring
from datastore.ids import encode_id

pytestmark = pytest.mark.server("redis")

VALUES = [
    None, True, 0, -1, 1.0, -0.0, 5e-324, 1.7976931348623157e308, 2**53 + 1, 2**70, "", "\0", "é\U0001f600", [], {},
    {"": {"": []}}, {"__proto__": 1, "a.b": {"$x": None}}, [[[1], 1.0], "1"],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_type_for_type(agent, value):
    agent.set("key", value, {"m": value})
    found = agent.get_record("key")
    for one in (agent.get("key"), found.value, found.metadata["m"] if value is not None else None):
        assert json.dumps(one) == json.dumps(value)


def test_a_record_is_a_hash_that_people_can_read(store, ask):
    store.agent("ann", "planner").use_namespace("trips").set("rome", {"days": 3}, {"source": "mail"}, ttl=60)
    fields = dict(zip(*[iter(ask("HGETALL", key_of(ask)))] * 2, strict=True))
    shown = {name.decode(): value.decode() for name, value in fields.items()}
    assert shown["value"] == '{"days":3}'
    assert json.loads(shown["metadata"]) == {"source": "mail"}
    names = ("userId", "namespace", "key", "createdByAgent", "updatedByAgent", "accessCount")
    assert [shown[name] for name in names] == ["ann", "trips", "rome", "planner", "planner", "0"]
    assert {"token", "revision", "recentWrites", "createdAt", "updatedAt", "expiresAt"} <= shown.keys()


def key_of(ask):
    (found,) = (key for key in ask("KEYS", "*") if key.count(b":") == 3)
    return found


def test_all_keys_of_a_user_have_the_user_as_hash_tag(store, ask):
    for user in ("ann", "a{b}c", "}", "a:b", "ä b"):
        store.agent(user, "w").set("k", 1, ttl=60)
        with store.agent(user, "w").lease("work", renew=False):
            pass
    keys = [key.decode() for key in ask("KEYS", "*{*")]
    tags = {key[key.index("{") + 1 : key.index("}")] for key in keys}
    assert len(keys) >= 15
    assert {"ann", "a{b%7Dc", "%7D", "a%3Ab", "ä b"} <= tags
    assert "" not in tags


def test_an_id_is_listed_once_whatever_becomes_of_its_expiry(agent, ask):
    id = encode_id("u", "default", "k").encode()

    def listed():
        name = next(key for key in ask("KEYS", "*}"))
        return ask("ZRANGE", name, 0, -1), ask("ZCARD", name + b":expiring")

    agent.set("k", 1)
    assert listed() == ([id], 0)
    for call in (lambda: agent.set("k", 2, ttl=60), lambda: agent.touch("k", ttl=90), lambda: agent.set("k", 3, ttl=9)):
        call()
        (member,), expiring = listed()
        assert member == id + b"\0" + ask("HGET", key_of(ask), "expiresAt")
        assert expiring == 1
    agent.touch("k", ttl=None)
    assert listed() == ([id], 0)
    assert ask("HEXISTS", key_of(ask), "expiresAt") == 0


def test_a_document_is_restored_field_for_field_over_another(backend, agent):
    whole = document("key")
    backend.restore([restoring(whole)])
    bare = whole._replace(
        metadata={}, last_accessed_by_agent=None, last_accessed_at=None, updated_by_agent=None, expires_at=None,
        access_count=0, revision="another",
    )  # fmt: skip
    assert backend.restore([restoring(bare, whole.revision, moment=1)])[0].done
    assert backend.read([whole.id], Fields.ALL) == {whole.id: bare}

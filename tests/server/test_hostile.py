"""What a hostile client can tell from answers, by what it names: nothing of another user, nor of what is forbidden."""

from __future__ import annotations

import json

import pytest

import datastore
from datastore import DataStore
from datastore.conformance.faults import Wrapped, backend_of
from datastore.conformance.topics.memory import SIZE, WORDS
from datastore.server import ServerLimits
from datastore.wire.calls import CALLS
from tests.server.serving import served
from tests.server.test_calls import SOME

ACROSS = {"list_namespaces", "namespace_stats", "find_in", "purge_expired"}
"""The calls that leave out what may not be read."""
PUT = {"name": "blob", "version": "v" * 22, "handle": "0" * 32}
ARGUMENTS = {
    **SOME,
    "blob_write": {**PUT, "at": 0, "data": "AAAA"},
    "blob_finish": {**PUT, "written": 0, "digest": "0" * 64, "data": "AAAA"},
    "blob_abandon": {**PUT, "written": 0},
    "blob_read": {"name": "blob", "version": "v" * 22, "numbers": [0]},
    "memory_add": {"text": "a cat", "vector": [1.0] * SIZE},
    "memory_search": {"text_or_vector": [1.0] * SIZE},
    "memory_explain": {"text_or_vector": [1.0] * SIZE},
}
RUN = {"id": "run"}
HELD = {**RUN, "fence": 1, "handle": "0" * 32, "number": 1}
ARGUMENTS |= {
    **dict.fromkeys(("run_resume", "run_result", "run_cancel", "run_retry", "run_history"), RUN),
    "run_append": {**HELD, "entry": {"kind": "end"}},
    "run_wait": {**HELD, "name": "approval"},
    "run_join": {**HELD, "children": ["other"]},
    "run_begin_children": {**HELD, "at": 1},
    "run_read": {**RUN, "fence": 1, "handle": "0" * 32, "after": 0},
    "run_signal": {**RUN, "name": "approval"},
    "run_fork": {**RUN, "at": 1},
}


class Counts(Wrapped):
    """Counts what the database is asked."""

    def __init__(self, inner):
        super().__init__(inner)
        self.asked = 0

    def read(self, *args, **kwargs):
        self.asked += 1
        return super().read(*args, **kwargs)

    def write(self, writes):
        self.asked += 1
        return super().write(writes)

    def scan(self, *args, **kwargs):
        self.asked += 1
        return super().scan(*args, **kwargs)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A server, and what its database is asked: there is a namespace that the token has no grant for."""
    with datastore.connect("memory://") as plain:
        backend = Counts(backend_of(plain))
        store = DataStore(backend, embedder=WORDS)
        payroll = store.host("ann", "payroll")
        payroll.set_many({"k": 1, "number": 1, "list": [], "object": {"a": 1}, "other": 2})
        payroll.blobs.put("blob", b"secret")
        payroll.memory.add("a cat", key="dog")
        payroll.log("log").append(1)
        token = store.tokens.mint("ann", "reader", "mine", grants={"mine": "write"})
        with served(store, tmp_path_factory.mktemp("hostile"), ServerLimits(token_seconds=1e6)) as server:
            client = server.client(token)
            client.call("whoami")
            yield client, backend
            client.close()


@pytest.mark.parametrize("call", sorted(CALLS.keys() - ACROSS - {"lease_renew", "lease_release"}))
def test_a_forbidden_namespace_is_refused_alike_and_unasked_whatever_is_in_it(world, call):
    """The same words after the same requests, which are none: so neither the answer nor its time tells them apart."""
    client, backend = world
    arguments = ARGUMENTS.get(call, {})
    if call == "memory_search_across":
        there, missing = [
            client.call(call, {**arguments, "text_or_vector": [1.0] * SIZE, "namespaces": {name: 1}})
            for name in ("payroll", "nothing")
        ]
    else:
        backend.asked = 0
        there, missing = [client.call(call, arguments, namespace=name) for name in ("payroll", "nothing")]
    assert backend.asked == 0
    assert (there.status, there.error) == (403, "PermissionDeniedError")
    assert there.body.replace(b"payroll", b"nothing") == missing.body
    assert there.status == missing.status


def test_leases_of_a_forbidden_namespace_are_those_of_nobody(world):
    client, backend = world
    backend.asked = 0
    for call in ("lease_renew", "lease_release"):
        for name in ("payroll", "nothing"):
            lease = {"namespace": name, "name": "work", "number": 1, "handle": "0" * 32}
            answered = client.call(call, {"leases": [lease]})
            assert answered.status == 403 or answered.result == [False]
    assert backend.asked == 0


@pytest.mark.parametrize("call", sorted(ACROSS - {"purge_expired"}))
def test_calls_about_several_namespaces_leave_out_what_is_forbidden(world, call):
    client, _ = world
    client.call("set", {"key": "own", "value": 1})
    answered = client.call(call, ARGUMENTS.get(call, {}))
    assert answered.status == 200
    assert b"payroll" not in answered.body
    assert len(answered.items) == 1


# ------------------------------------------------------------------------------------------------------- other users


@pytest.mark.parametrize("call", ["scan", "find_records"])
def test_a_cursor_of_another_user_leads_nowhere(server, store, call):
    store.host("bob").set_many({"a": "secret", "b": "secret", "c": "secret"})
    store.host("ann").set_many({"a": 1, "b": 2, "c": 3})
    sort = {"sort": "$createdAt"} if call == "find_records" else {}
    bobs = server.client(store.tokens.mint("bob", "tester")).call(call, {"limit": 1, **sort})
    cursor = json.loads(bobs.body.splitlines()[-1])["end"]["cursor"]
    assert cursor is not None
    answered = server.client(store.tokens.mint("ann", "tester")).call(call, {"cursor": cursor, "limit": 5, **sort})
    assert b"secret" not in answered.body
    assert answered.status == 400
    assert "cursor" in answered.json["error"]["message"]


NAMES = ["..", "../bob", "..%2Fbob", "%2e%2e%2fbob", "bob:default", "bob%3Adefault", "bob;", "_bob", "%", "a/../../b"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_looks_like_a_way_is_a_name(server, store, name):
    """As a key, as a namespace and as a prefix: it is exactly this one, of this user."""
    store.host("bob").set("k", "secret")
    ann = server.client(store.tokens.mint("ann", "tester"))
    assert ann.call("set", {"key": name, "value": 1}, namespace=name).status == 200
    assert ann.call("get", {"key": name}, namespace=name).result == {"found": True, "value": 1}
    assert ann.call("list_keys", {"prefix": name}, namespace=name).items == [name]
    assert ann.call("list_namespaces").items == [name]
    assert store.host("ann", name).get(name) == 1
    assert store.host("bob").get_all() == {"k": "secret"}
    assert store.host("bob").list_namespaces() == ["default"]


@pytest.mark.parametrize("name", ["", "x" * 600, "\ud800", 7, None, ["k"], {"k": 1}], ids=repr)
def test_a_name_that_is_none_is_refused(client, name):
    answered = client.call("get", {"key": name})
    assert answered.status == 400
    assert answered.error.startswith("Invalid")


def test_a_nul_is_a_character_like_others(client):
    """It ends no name: neither of a key, nor of a namespace."""
    for namespace in (None, "n\x00", "n"):
        client.call("set", {"key": "k", "value": 1}, namespace=namespace)
        assert client.call("get", {"key": "k\x00"}, namespace=namespace).result == {"found": False}
        client.call("set", {"key": "k\x00", "value": 2}, namespace=namespace)
        assert client.call("get_all", namespace=namespace).items == [["k", 1], ["k\x00", 2]]


@pytest.mark.parametrize(
    "path", ["/v1/../v1/get", "/v1/%67et", "/v1/get/", "//v1/get", "/v1/get%00", "/v1/..%2Fget", "/v1/", "/v1/_note"]
)
def test_a_path_is_exactly_that_of_a_call(server, token, path):
    client = server.client(token)
    client.connection.request(
        "POST",
        path,
        '{"arguments":{"key":"k"}}',
        {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    answered = client.connection.getresponse()
    answered.read()
    assert answered.status == 404 or (
        path == "/v1/%67et" and answered.status == 200
    )  # that is how a path may be written

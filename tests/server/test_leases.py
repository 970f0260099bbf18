"""Leases whose holder is elsewhere: what they cost, whoever serves them, and what nobody may do with another's."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

import datastore
from datastore.backend import Fields
from datastore.calls.leases import record_of
from datastore.conformance.faults import backend_of
from datastore.scope import scope_of
from tests.server.serving import served


def claim(taken, name="work", namespace="default", **other):
    return {"namespace": namespace, "name": name, **taken, **other}


def write(client, *claims, key="k", value=1, namespace=None):
    body = {"namespace": namespace, "arguments": {"key": key, "value": value}, "leases": list(claims)}
    return client.call("set", body=json.dumps(body))


def recorded(store, name="work"):
    scope = scope_of(store.host("ann"))
    return backend_of(store).read([record_of(scope, name).id], Fields.ALL)[record_of(scope, name).id]


@pytest.fixture
def taken(client):
    return client.call("lease_take", {"name": "work", "ttl": 60}).result


@pytest.fixture
def other(server, store):
    """Another client with the same rights: of the same user, under the same name."""
    return server.client(store.tokens.mint("ann", "tester"))


@pytest.fixture
def asked(store, monkeypatch):
    """What the database is asked for, of what is no token."""
    backend, made = backend_of(store), list[str]()

    def counting(name, ask):
        def counted(first, *rest, **more):
            if not any(":tokens:" in str(getattr(one, "id", one)) for one in first):
                made.append(name)
            return ask(first, *rest, **more)

        return counted

    for name in ("read", "write"):
        monkeypatch.setattr(backend, name, counting(name, getattr(backend, name)))
    return made


def test_the_record_says_who_has_it_and_keeps_no_handle(store, taken):
    value = recorded(store).value
    assert (value["holder"], value["number"], value["name"]) == ("tester", taken["number"], "work")
    assert value["handle"] == sha256(taken["handle"].encode()).hexdigest()
    assert taken["handle"] not in json.dumps(value)


def test_what_a_later_holder_has_written_is_out_of_reach(client, taken):
    assert write(client, claim(taken)).status == 200
    assert client.call("lease_release", {"leases": [claim(taken)]}).result == [True]
    again = client.call("lease_take", {"name": "work", "ttl": 60}).result
    assert again["number"] > taken["number"]
    assert write(client, claim(again)).status == 200
    assert write(client, claim(taken)).error == "LeaseLostError"


@pytest.mark.parametrize(
    "forged",
    [
        lambda taken: {"number": taken["number"] + 1},
        lambda taken: {"number": 10**11},
        lambda taken: {"number": 10**30},
        lambda taken: {"number": -1},
        lambda taken: {"handle": "0" * 32},
        lambda taken: {"handle": ""},
        lambda taken: {"handle": sha256(taken["handle"].encode()).hexdigest()},
        lambda taken: {"name": "another"},
        lambda taken: {"namespace": "another"},
    ],
    ids=["next-number", "high-number", "endless-number", "negative", "handle", "no-handle", "digest", "name", "place"],
)
def test_a_forged_lease_is_over_and_ends_nobodys(client, store, other, taken, forged):
    assert write(client, claim(taken)).status == 200
    forgery = claim(taken) | forged(taken)
    for one in (client, other):
        assert write(one, forgery, value="forged").error == "LeaseLostError"
        assert one.call("lease_renew", {"leases": [forgery]}).result == [False]
        assert one.call("lease_release", {"leases": [forgery]}).result == [False]
    assert other.call("lease_take", {"name": "work", "ttl": 60}).error == "LeaseHeldError"
    assert store.host("ann").get("k") == 1
    assert write(client, claim(taken), value=2).status == 200
    assert client.call("lease_renew", {"leases": [claim(taken)]}).result == [True]


def test_a_lease_of_this_process_is_nobodys_elsewhere(client, store):
    with store.agent("ann", "tester").lease("work") as lease:
        forgery = claim({"number": lease.number, "handle": ""})
        assert write(client, forgery).error == "LeaseLostError"
        assert client.call("lease_release", {"leases": [forgery]}).result == [False]
        lease.renew()


def test_another_users_lease_is_out_of_reach(server, store, client, taken):
    ben = server.client(store.tokens.mint("ben", "tester"))
    assert ben.call("lease_take", {"name": "work", "ttl": 60}).status == 200
    assert write(ben, claim(taken)).error == "LeaseLostError"
    assert ben.call("lease_release", {"leases": [claim(taken)]}).result == [False]
    assert client.call("lease_renew", {"leases": [claim(taken)]}).result == [True]


def test_grants_hold_for_leases_whatever_namespace_they_name(server, store, taken):
    grants = {"mine": "write", "default": "read"}
    limited = server.client(store.tokens.mint("ann", "tester", "mine", grants=grants))
    for answered in (
        limited.call("lease_take", {"name": "other", "ttl": 60}, namespace="default"),
        limited.call("lease_renew", {"leases": [claim(taken)]}),
        limited.call("lease_release", {"leases": [claim(taken)]}),
        write(limited, claim(taken), namespace="mine"),
    ):
        assert answered.error == "PermissionDeniedError"
    assert limited.call("lease_take", {"name": "work", "ttl": 60}).status == 200


def test_a_token_without_the_call_takes_none(server, store):
    client = server.client(store.tokens.mint("ann", "tester", calls=["get"]))
    for call, arguments in (("lease_take", {"name": "a", "ttl": 1}), ("lease_release", {"leases": []})):
        assert client.call(call, arguments).error == "PermissionDeniedError"
    assert (
        server.client(store.tokens.mint("ann", "tester", calls=["lock"]))
        .call("lease_take", {"name": "a", "ttl": 1})
        .result
    )


@pytest.mark.parametrize(
    "leases",
    [{}, [1], [{"name": "work"}], "work", [claim({"number": 1, "handle": "x", "fence": 9})],
     [claim({"number": "1", "handle": "x"})], [claim({"number": 1, "handle": 5})],
     [claim({"number": True, "handle": "x"})],
     [claim({"number": 1, "handle": "x"}, name="")], [claim({"number": 1, "handle": "x"}, name="n" * 600)],
     [claim({"number": 1, "handle": "x"}, namespace="n" * 300)], [claim({"number": 1, "handle": "x"})] * 1_001],
    ids=["object", "number", "parts", "text", "more", "text-number", "number-handle", "boolean", "no-name", "long-name",
         "long-place", "many"],
)  # fmt: skip
def test_what_is_no_lease_is_refused(client, leases):
    assert client.call("lease_renew", {"leases": leases}).status == 400
    assert client.call("set", body=json.dumps({"arguments": {"key": "k", "value": 1}, "leases": leases})).status == 400
    assert client.call("exists", {"key": "k"}).result is False


def test_a_write_under_a_lease_asks_the_database_what_it_asks_without(client, asked, taken):
    for name, arguments, made in (
        ("lease_take", {"name": "other", "ttl": 60}, ["read", "write"]),
        ("lease_take", {"name": "work", "ttl": 60}, ["read"]),
        ("lease_renew", {"leases": [claim(taken)]}, ["write"]),
    ):
        asked.clear()
        client.call(name, arguments)
        assert asked == made, name
    asked.clear()
    for value in range(3):
        assert write(client, claim(taken), value=value).status == 200
    assert asked == ["write"] * 3
    asked.clear()
    assert client.call("lease_release", {"leases": [claim(taken)]}).result == [True]
    assert asked[:1] == ["write"]


def test_two_servers_of_one_store_serve_one_lease(client, store, tmp_path, taken):
    """Each of them renews it, and writes under it, whatever the other one has done meanwhile."""
    (tmp_path / "other").mkdir()
    with (
        datastore.connect(f"sqlite:///{tmp_path}/agents.db") as second,
        served(second, tmp_path / "other") as elsewhere,
    ):
        there = elsewhere.client(client.token)
        for one in (there, client, there, there, client):
            assert one.call("lease_renew", {"leases": [claim(taken)]}).result == [True]
            assert write(one, claim(taken)).status == 200
        assert there.call("lease_release", {"leases": [claim(taken)]}).result == [True]
        for one in (client, there):
            assert one.call("lease_renew", {"leases": [claim(taken)]}).result == [False]
        again = there.call("lease_take", {"name": "work", "ttl": 60}).result
        assert write(there, claim(again)).status == 200
        assert write(client, claim(taken)).error == "LeaseLostError"


def test_a_lease_that_is_over_is_renewed_by_nobody(client, store, taken, monkeypatch):
    now = store._core.clock()
    monkeypatch.setattr(store._core, "clock", lambda: now + 61)
    assert client.call("lease_renew", {"leases": [claim(taken)]}).result == [False]
    assert write(client, claim(taken)).error == "LeaseLostError"


def test_many_are_renewed_in_one_request_to_the_database(client, asked):
    names = [f"work {number}" for number in range(20)]
    claims = [claim(client.call("lease_take", {"name": name, "ttl": 60}).result, name) for name in names]
    asked.clear()
    assert client.call("lease_renew", {"leases": claims + claims}).result == [True] * 40
    assert asked == ["write"]
    asked.clear()
    assert client.call("lease_release", {"leases": claims}).result == [True] * 20
    assert asked == ["write"]


def test_a_false_handle_beside_the_right_one_changes_nothing(client, store, taken):
    store._core.lent.clear()  # as in a process that was started since
    both = [claim(taken, handle="0" * 32), claim(taken), claim(taken, handle="1" * 32)]
    assert client.call("lease_renew", {"leases": both}).result == [False, True, False]
    store._core.lent.clear()
    assert client.call("lease_release", {"leases": both}).result == [False, True, False]


def test_one_lease_under_another_needs_both(client, taken):
    body = {"arguments": {"name": "inner", "ttl": 60}, "leases": [claim(taken)]}
    inner = claim(client.call("lease_take", body=json.dumps(body)).result, "inner")
    assert write(client, claim(taken), inner).status == 200
    assert client.call("lease_release", {"leases": [claim(taken)]}).result == [True]
    assert write(client, claim(taken), inner).error == "LeaseLostError"
    assert write(client, inner).status == 200


def test_leases_that_are_taken_and_never_ended_are_limited(client, monkeypatch):
    monkeypatch.setattr("datastore.server.running._MOST_LEASES", 2)
    first = client.call("lease_take", {"name": "a", "ttl": 60}).result
    assert client.call("lease_take", {"name": "b", "ttl": 60}).status == 200
    assert client.call("lease_take", {"name": "c", "ttl": 60}).error == "ThrottledError"
    client.call("lease_release", {"leases": [claim(first, "a")]})
    assert client.call("lease_take", {"name": "c", "ttl": 60}).status == 200


def test_leases_of_a_client_that_died_count_until_they_expire(tmp_path, monkeypatch):
    """Whoever takes them again and again, and never ends one, is not refused for good."""
    monkeypatch.setattr("datastore.server.running._MOST_LEASES", 2)
    now = [1_800_000_000.0]
    with datastore.connect("memory://", clock=lambda: now[0]) as store, served(store, tmp_path) as server:
        client = server.client(store.tokens.mint("ann", "tester"))
        kept = client.call("lease_take", {"name": "kept", "ttl": 60}).result
        client.call("lease_take", {"name": "left", "ttl": 30})
        now[0] += 40
        assert client.call("lease_renew", {"leases": [claim(kept, "kept")]}).result == [True]
        assert client.call("lease_take", {"name": "other", "ttl": 60}).status == 200
        now[0] += 40  # what was renewed lasts still
        assert client.call("lease_take", {"name": "third", "ttl": 60}).error == "ThrottledError"
        assert client.call("lease_renew", {"leases": [claim(kept, "kept")]}).result == [True]

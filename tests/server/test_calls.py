"""Calls over HTTP: each does what the call of the agent does, and the answer says so."""

from __future__ import annotations

import json

import pytest

import datastore
from datastore import Quota
from datastore.server.openapi import document
from datastore.wire.calls import CALLS
from tests.server.serving import new_key


def test_what_is_set_is_there_for_the_host_and_says_who_set_it(client, store):
    revision = client.call("set", {"key": "plan", "value": {"a": [1, 2.0]}, "metadata": {"m": 1}}).result
    record = store.host("ann").get_record("plan")
    assert (record.revision, record.value, record.created_by_agent) == (revision, {"a": [1, 2.0]}, "tester")
    assert client.call("get", {"key": "plan"}).result == {"found": True, "value": {"a": [1, 2.0]}}


def test_a_missing_record_is_told_from_null(client):
    client.call("set", {"key": "null", "value": None})
    assert client.call("get", {"key": "null"}).result == {"found": True, "value": None}
    assert client.call("get", {"key": "nothing"}).result == {"found": False}


def test_get_counts_an_access_and_without_counting_none(client, store):
    client.call("set", {"key": "k", "value": 1})
    client.call("get", {"key": "k", "count": False})
    assert client.call("get_record", {"key": "k"}).result["accessCount"] == 0
    client.call("get", {"key": "k"})
    client.call("note", {"keys": ["k", "k", "nothing"]})
    assert client.call("get_record", {"key": "k"}).result["accessCount"] == 2


SOME = {
    "get": {"key": "k"},
    "get_record": {"key": "k"},
    "set": {"key": "k", "value": 1},
    "add": {"key": "new", "value": 1},
    "create": {"value": 1},
    "delete": {"key": "k"},
    "pop": {"key": "k"},
    "touch": {"key": "k", "ttl": 60},
    "exists": {"key": "k"},
    "increment": {"key": "number"},
    "append": {"key": "list", "items": [1, 2]},
    "update": {"key": "object", "changes": {"a": 1}},
    "get_many": {"keys": ["k"]},
    "get_records": {"keys": ["k"]},
    "set_many": {"items": {"k": 1}},
    "add_many": {"items": [{"key": "new", "value": 1}]},
    "delete_many": {"keys": ["k"]},
    "find_in": {"namespace_prefix": ""},
    "delete_where": {"filter": {"a": 1}},
    "update_where": {"filter": {"a": 1}, "changes": {"$set": {"b": 1}}},
    "find_one_and_update": {"filter": None, "changes": {"$set": {"b": 1}}, "prefix": "object"},
    "claim": {"ttl": 60, "prefix": "object"},
    "modify_begin": {"key": "k"},
    "modify_end": {"key": "new", "value": 1, "revision": None},
    "compute_begin": {"key": "new"},
    "compute_end": {"key": "new", "value": 1, "lease": "x", "revision": None},
    "compute_abandon": {"key": "new", "lease": "x"},
    "note": {"keys": ["k"]},
    "lease_take": {"name": "work", "ttl": 60},
    "lease_renew": {"leases": []},
    "lease_release": {"leases": []},
    "blob_put": {"name": "blob", "data": "AAAA"},
    "blob_begin": {"name": "blob"},
    "blob_find": {"name": "blob"},
    "blob_delete": {"name": "blob"},
    "run_start": {"input": {"a": 1}},
    "run_get": {"id": "none"},
    "run_ends": {"children": []},
    "log_append": {"name": "log", "entries": [1, 2]},
    "log_read": {"name": "log"},
    "log_trim": {"name": "log", "before": 2},
    "memory_add": {"text": "a cat"},
    "memory_add_many": {"texts": ["a cat", {"value": "a dog", "key": "dog"}]},
    "memory_edit": {"key": "k", "metadata": {"a": 1}},
    "memory_delete": {"key": "k"},
    "memory_get": {"key": "k"},
    "memory_search": {"text_or_vector": "cat"},
    "memory_search_across": {"namespaces": {"default": 1}, "text_or_vector": "cat"},
    "memory_explain": {"text_or_vector": "cat", "exact": False},
    "memory_embed": {"keys": ["k"]},
}


IN_ORDER = {"blob_write", "blob_finish", "blob_abandon", "blob_read"} | {
    *("run_resume", "run_append", "run_wait", "run_join", "run_begin_children", "run_read"),
    *("run_result", "run_signal", "run_cancel", "run_retry", "run_fork", "run_history"),
}
"""The calls that need the answer of another one; test_blobs.py and test_runs.py make them."""


@pytest.mark.parametrize("name", sorted(CALLS.keys() - IN_ORDER))
def test_every_call_succeeds_and_answers_what_the_table_says(client, name):
    for key, value in (("k", 1), ("number", 1), ("list", []), ("object", {})):
        client.call("set", {"key": key, "value": value})
    answered = client.call(name, SOME.get(name, {}))
    assert answered.status == 200, answered.body
    if CALLS[name].in_lines:
        assert answered.headers["Content-Type"] == "application/x-ndjson"
        assert isinstance(answered.items, list)
    else:
        assert int(answered.headers["Content-Length"]) == len(answered.body)
        assert set(answered.json) == {"result"}


def test_integers_beyond_64_bits_and_floats_are_exact(client):
    body = b'{"arguments":{"key":"n","value":[123456789012345678901234567890,1.0,1]}}'
    assert client.call("set", body=body).status == 200
    assert client.call("get", {"key": "n"}).body == (
        b'{"result":{"found":true,"value":[123456789012345678901234567890,1.0,1]}}'
    )


def test_another_namespace_is_that_of_the_request(client, store):
    client.call("set", {"key": "k", "value": 1}, namespace="other/place")
    assert store.host("ann", "other/place").get("k") == 1
    assert client.call("list_namespaces").items == ["other/place"]


def test_a_long_listing_comes_in_lines_and_says_that_it_is_whole(client, store):
    store.host("ann").set_many({f"k{number:04}": "x" * 500 for number in range(2_000)})
    answered = client.call("iter_records")
    assert [record["key"] for record in answered.items] == [f"k{number:04}" for number in range(2_000)]
    assert answered.body.count(b"\n") > 10
    assert len(client.call("get_all").items) == 2_000


def test_pages_go_on_where_their_cursor_says(client, store):
    store.host("ann").set_many({f"k{number}": number for number in range(5)})
    first = client.call("scan", {"limit": 3})
    cursor = json.loads(first.body.splitlines()[-1])["end"]["cursor"]
    second = client.call("scan", {"limit": 3, "cursor": cursor})
    assert [record["key"] for record in (*first.items, *second.items)] == [f"k{number}" for number in range(5)]


def test_modify_is_told_in_two_requests_and_keeps_expiry_and_metadata(client, store):
    store.host("ann").set("k", 1, {"m": 1}, ttl=1_000)
    before = store.host("ann").get_record("k")
    seen = client.call("modify_begin", {"key": "k"}).result
    assert seen == {"found": True, "value": 1, "revision": before.revision}
    written = client.call("modify_end", {"key": "k", "value": 2, "revision": seen["revision"]}).result
    after = store.host("ann").get_record("k")
    assert written == {"done": True, "revision": after.revision}
    assert (after.value, after.metadata, after.expires_at) == (2, {"m": 1}, before.expires_at)
    outpaced = client.call("modify_end", {"key": "k", "value": 3, "revision": seen["revision"]}).result
    assert outpaced == {"done": False, "revision": after.revision}


def test_of_those_who_compute_one_gets_the_lease_and_the_others_wait(client, store):
    begun = client.call("compute_begin", {"key": "k", "lease": 60}).result
    assert begun["found"] is False
    assert client.call("compute_begin", {"key": "k"}).result == {"found": False}
    arguments = {"key": "k", "value": 7, "lease": begun["lease"], "revision": begun["revision"]}
    assert client.call("compute_end", arguments).result is True
    assert client.call("compute_begin", {"key": "k"}).result == {"found": True, "value": 7}
    assert store.host("ann").get_or_set("k", list) == 7


def test_an_abandoned_lease_is_free(client):
    begun = client.call("compute_begin", {"key": "k"}).result
    client.call("compute_abandon", {"key": "k", "lease": begun["lease"]})
    assert "lease" in client.call("compute_begin", {"key": "k"}).result


@pytest.mark.parametrize(
    ("call", "arguments", "status", "error"),
    [
        ("get", {"key": ""}, 400, "InvalidNameError"),
        ("get", {"key": 7}, 400, "InvalidNameTypeError"),
        ("get", {}, 400, "InvalidValueError"),
        ("get", {"key": "k", "user_id": "bob"}, 400, "InvalidValueError"),
        ("find", {"filter": {"$bad": 1}}, 400, "QueryError"),
        ("add", {"key": "there", "value": 1}, 409, "KeyExistsError"),
        ("set", {"key": "there", "value": 1, "if_revision": "x"}, 409, "ConflictError"),
        ("set", {"key": "k", "value": "x" * 1_000_001}, 413, "ValueTooLargeError"),
        ("set_many", {"items": [{"key": "there", "value": 1, "if_revision": "x"}]}, 409, "BatchError"),
        ("set_many", {"items": [["k", 1]]}, 400, "InvalidValueError"),
        ("append", {"key": "there", "items": "abc"}, 400, "InvalidValueError"),
        ("nonsense", {}, 404, "UnsupportedError"),
        ("use_namespace", {"namespace": "x"}, 404, "UnsupportedError"),
        ("../get", {"key": "k"}, 404, "UnsupportedError"),
        ("get%2F..", {"key": "k"}, 404, "UnsupportedError"),
        ("get%00", {"key": "k"}, 404, "UnsupportedError"),
        ("_uncounted", {}, 404, "UnsupportedError"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_call_that_fails_says_why_by_status_and_type(client, call, arguments, status, error):
    client.call("set", {"key": "there", "value": 1})
    answered = client.call(call, arguments)
    assert (answered.status, answered.error) == (status, error)
    assert int(answered.headers["Content-Length"]) == len(answered.body)


def test_whoami_says_what_the_client_needs(client, token, store):
    who = client.call("whoami").result
    assert (who["userId"], who["agent"], who["namespace"], who["label"]) == ("ann", "tester", "default", "of the test")
    assert who["backend"] == "sqlite"
    assert who["instance"] == client.instance
    assert token not in json.dumps(who)


def test_a_token_mints_a_narrower_one_and_no_other(client, server, store):
    child = client.call("narrow", {"calls": ["get"], "quota": {"records": 5}, "label": "child"}).result
    allowed = store.tokens.check(child)
    assert (allowed.calls, allowed.quota, allowed.label) == (("get",), Quota(records=5), "child")
    narrower = server.client(child)
    assert narrower.call("get", {"key": "k"}).result == {"found": False}
    refused = narrower.call("set", {"key": "k", "value": 1})
    assert (refused.status, refused.error) == (403, "PermissionDeniedError")
    assert narrower.call("narrow", {"calls": ["set"]}).status == 403
    assert narrower.call("narrow", {"user_id": "bob"}).status == 400
    for wrong in ({"grants": {"*": "own"}}, {"grants": [1]}, {"quota": {"records": -1}}, {"calls": ["fly"]}):
        assert narrower.call("narrow", wrong).status == 400


def test_the_steps_of_a_call_are_allowed_with_it_alone(server, store):
    modifier = server.client(store.tokens.mint("ann", "modifier", calls=["modify"]))
    assert modifier.call("modify_begin", {"key": "k"}).result == {"found": False}
    assert modifier.call("compute_begin", {"key": "k"}).status == 403
    assert modifier.call("get", {"key": "k"}).status == 403


def test_health_is_answered_to_anybody_on_the_socket(server):
    answered = server.client(None).get("/health")
    assert (answered.status, answered.json) == (200, {"status": "ok"})


def test_the_health_of_a_closed_database_is_told_without_its_reason(server, store):
    store.backend.read = lambda ids, fields: 1 / 0
    answered = server.client(None).get("/health")
    assert (answered.status, answered.json) == (503, {"status": "unavailable"})


def test_openapi_describes_every_call_with_its_parameters(client):
    described = client.get("/openapi.json").json
    assert described == json.loads(json.dumps(document(datastore.__version__)))
    for name, call in CALLS.items():
        operation = described["paths"][f"/v1/{name}"]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert set(schema["properties"]["arguments"]["properties"]) == set(call.parameters)
        assert operation["summary"]
    assert {"/v1/whoami", "/v1/narrow", "/health"} < set(described["paths"])


# -------------------------------------------------------------------------------------------------- writes, once each


def test_a_repeated_write_is_answered_as_the_first_and_not_done_again(client):
    key, instance = new_key(), client.instance
    first = client.once("increment", {"key": "n"}, key)
    again = client.once("increment", {"key": "n"}, key, instance)
    assert first.body == again.body == b'{"result":1}'
    assert client.call("get", {"key": "n"}).result["value"] == 1


def test_a_repeat_that_the_server_has_not_seen_is_done(client):
    assert client.once("increment", {"key": "n"}, new_key(), client.instance).result == 1


@pytest.mark.parametrize("instance", ["0" * 32, "unknown"], ids=["another", "unknown"])
def test_a_repeat_of_a_write_to_another_process_is_not_done(client, instance):
    answered = client.once("increment", {"key": "n"}, new_key(), instance)
    assert (answered.status, answered.error) == (503, "BackendUnavailableError")
    assert "may or may not have reached" in answered.json["error"]["message"]
    assert client.call("get", {"key": "n"}).result == {"found": False}


def test_a_failed_write_is_answered_the_same_again(client):
    key, instance = new_key(), client.instance
    client.call("set", {"key": "k", "value": 1})
    assert client.once("add", {"key": "k", "value": 2}, key).error == "KeyExistsError"
    client.call("delete", {"key": "k"})
    assert client.once("add", {"key": "k", "value": 2}, key, instance).error == "KeyExistsError"


def test_a_key_that_names_another_call_is_refused(client):
    key = new_key()
    client.once("increment", {"key": "n"}, key)
    assert client.once("increment", {"key": "m"}, key).error == "InvalidValueError"
    assert client.call("get", {"key": "m"}).result == {"found": False}


def test_keys_of_two_tokens_have_nothing_to_do_with_each_other(client, server, store):
    key, other = new_key(), server.client(store.tokens.mint("ann", "other"))
    assert client.once("increment", {"key": "n"}, key).result == 1
    assert other.once("increment", {"key": "n"}, key).result == 2


@pytest.mark.parametrize("key", ["short", "x" * 65, "with spaces in the key", "ümlaut-ümlaut-ümlaut"], ids=str)
def test_a_key_of_another_form_is_refused(client, key):
    assert client.call("increment", {"key": "n"}, headers={"Idempotency-Key": key.encode()}).status == 400


def test_an_answer_that_is_too_large_to_keep_is_known_to_be_given(client):
    key = new_key()
    client.call("set", {"key": "list", "value": ["x" * 70_000]})
    assert len(client.once("append", {"key": "list", "items": [1]}, key).result) == 2
    again = client.once("append", {"key": "list", "items": [1]}, key, client.instance)
    assert again.error == "OutcomeUnknownError"
    assert len(client.call("get", {"key": "list"}).result["value"]) == 2

"""What the host of a server is told: each call of whoever holds a token, and what was refused before it was one."""

import pytest

import datastore
from datastore import Quota
from tests.server.serving import served


@pytest.fixture
def events():
    return []


@pytest.fixture
def store(tmp_path, events):
    with datastore.connect(f"sqlite:///{tmp_path}/agents.db", on_call=events.append) as store:
        yield store


@pytest.fixture
def server(store, tmp_path):
    with served(store, tmp_path) as server:
        yield server


def told(events):
    found = [(one.token, one.user, one.agent, one.call, one.namespace, one.key, one.found, one.error) for one in events]
    events.clear()
    return found


def test_a_call_is_told_with_the_label_of_its_token(server, client, events):
    client.call("set", {"key": "plan", "value": {"goal": "sell"}}, namespace="notes")
    assert client.call("get", {"key": "plan"}, namespace="notes").result
    assert client.call("exists", {"key": "no"}).result is False
    assert client.call("iter_records", {}, namespace="notes").items
    who = ("of the test", "ann", "tester")
    assert told(events) == [
        (*who, "set", "notes", "plan", None, None),
        (*who, "get", "notes", "plan", 1, None),
        (*who, "exists", "default", "no", 0, None),
        (*who, "iter_records", "notes", None, 1, None),
    ]


def test_who_has_no_valid_token_is_told_and_the_token_is_not(server, events):
    wrong = "dst_" + "x" * 43
    assert server.client(wrong).call("get", {"key": "plan"}).status == 401
    assert server.client(None).call("get", {"key": "plan"}).status == 401
    assert wrong not in repr(events)
    assert told(events) == [(None, "", "", "get", None, None, None, "InvalidTokenError")] * 2


def test_what_a_token_does_not_allow_is_told(server, store, events):
    token = store.tokens.mint("ann", "tester", calls=["get"], grants={"mine": "read"}, namespace="mine", label="narrow")
    client = server.client(token)
    assert client.call("set", {"key": "plan", "value": 1}).status == 403
    assert client.call("get", {"key": "plan"}, namespace="yours").status == 403
    assert client.call("no_such_call").status == 404
    who = ("narrow", "ann", "tester")
    assert told(events) == [
        (*who, "set", None, None, None, "PermissionDeniedError"),
        (*who, "use_namespace", "yours", None, None, "PermissionDeniedError"),
        (*who, "no_such_call", None, None, None, "UnsupportedError"),
    ]


def test_more_calls_than_a_token_may_make_are_told(server, store, events):
    token = store.tokens.mint("ann", "tester", quota=Quota(calls_per_minute=1), label="slow")
    client = server.client(token)
    assert client.call("get", {"key": "plan"}).status == 200
    assert client.call("get", {"key": "plan"}).status == 429
    first, second = told(events)
    assert first[-1] is None
    assert second == ("slow", "ann", "tester", "get", None, None, None, "QuotaExceededError")


def test_a_token_that_makes_a_narrower_one_is_told(server, client, events):
    assert client.call("narrow", {"label": "child"}).result.startswith("dst_")
    assert client.call("narrow", {"label": 7}).status == 400
    client.call("whoami")
    who = ("of the test", "ann", "tester", "narrow", None, None, None)
    assert told(events) == [(*who, None), (*who, "InvalidValueError")]


def test_a_refused_call_is_told_once(server, client, events):
    assert client.call("add", {"key": "plan", "value": 1}).status == 200
    assert client.call("add", {"key": "plan", "value": 1}).status == 409
    assert [event[-1] for event in told(events)] == [None, "KeyExistsError"]


def test_the_steps_of_a_call_are_told_by_their_own_names(client, events):
    client.call("modify_begin", {"key": "k"})
    client.call("modify_end", {"key": "k", "value": "secret", "revision": None})
    client.call("compute_begin", {"key": "k"})
    client.call("modify_begin", {"key": ""})
    client.call("note", {"keys": ["k"]})
    assert "secret" not in repr(events)
    who = ("of the test", "ann", "tester")
    assert told(events) == [
        (*who, "modify_begin", "default", "k", 0, None),
        (*who, "modify_end", "default", "k", None, None),
        (*who, "compute_begin", "default", "k", 1, None),
        (*who, "modify_begin", "default", "", None, "InvalidNameError"),
        (*who, "note", "default", None, None, None),
    ]


def test_a_read_that_counts_no_access_is_told_as_any_other(client, events):
    client.call("set", {"key": "k", "value": 1})
    client.call("get", {"key": "k", "count": False})
    client.call("find", {"filter": None, "count": False})
    assert [(event[3], event[6]) for event in told(events)] == [("set", None), ("get", 1), ("find", 1)]


def test_what_lies_beside_records_is_told_once_and_by_the_names_that_it_has_in_process(store, server, client, events):
    assert client.call("blob_put", {"name": "b", "data": "MTIz"}).result["size"] == 3
    assert client.call("blob_list", {}).items
    assert client.call("blob_delete", {"name": "b"}).result is True
    assert client.call("run_start", {"id": "r", "input": "in"}).result["id"] == "r"
    assert client.call("run_signal", {"id": "r", "name": "question", "payload": 1}).result is True
    client.call("run_cancel", {"id": "r"})
    assert client.call("memory_get", {"key": "k"}).result is None
    over_http = [(call, key) for _, _, _, call, _, key, _, error in told(events) if error is None]
    ann = store.agent("ann", "tester")
    ann.blobs.put("b", b"123")
    ann.blobs.list()
    ann.blobs.delete("b")
    ann.runs.start("s")
    ann.runs.signal("s", "question", 1)
    ann.runs.cancel("s")
    ann.memory.get("k")
    in_process = [(call, key) for _, _, _, call, _, key, _, error in told(events) if error is None]
    assert over_http == [(call, "r" if key == "s" else key) for call, key in in_process]
    assert len(over_http) == 7

"""Whoever has a token gets no more of the server by making narrower ones, and fills no database past its quota."""

from __future__ import annotations

import asyncio
import json

import pytest

import datastore
from datastore.errors import OutcomeUnknownError
from datastore.server import ServerLimits, create_app
from datastore.wire.answered import Answer, Answers, OwnAnswers, mark_of
from tests.server.serving import new_key, served
from tests.server.test_leases import claim


@pytest.fixture
def events():
    return []


@pytest.fixture
def store(events):
    with datastore.connect("memory://", on_call=events.append) as store:
        yield store


@pytest.fixture
def few(store, tmp_path):
    """A server with few new names."""
    with served(store, tmp_path, ServerLimits(names_per_day=3, narrowed_per_minute=3)) as server:
        yield server


def take(client, name, ttl=60):
    return client.call("lease_take", {"name": name, "ttl": ttl})


def test_all_that_descend_from_a_token_have_one_place_in_the_queues(store):
    app = create_app(store)
    token = store.tokens.mint("ann", "tester")
    child = store.tokens.narrow(token)
    tokens = [token, child, store.tokens.narrow(child), store.tokens.mint("ann", "tester")]

    async def families():
        return [(await app.access.holder(b"Bearer " + one.encode())).family for one in tokens]

    try:
        first, second, third, other = asyncio.run(families())
    finally:
        app.stop()
    assert first is second is third is not other


def test_narrower_tokens_make_no_more_of_them_than_one(few, token):
    client = few.client(token)
    child = few.client(client.call("narrow").result)
    grandchild = few.client(child.call("narrow").result)
    assert grandchild.call("narrow").status == 200
    assert [one.call("narrow").status for one in (client, child, grandchild)] == [429] * 3


def test_new_names_of_leases_runs_and_tokens_are_limited(few, token, store, events):
    client = few.client(token)
    child = few.client(client.call("narrow").result)
    taken = take(client, "a").result
    assert child.call("run_start", {"id": "run"}).status == 200
    events.clear()
    for one in (client, child):
        for answered in (take(one, "b"), one.call("run_start"), one.call("narrow")):
            assert (answered.status, answered.error) == (403, "QuotaExceededError")
            told = answered.json["error"]
            assert (told["unit"], told["limit"]) == ("new names in a day", 3)
    assert [(one.call, one.error) for one in events[:3]] == [
        ("lease_take", "QuotaExceededError"),
        ("run_start", "QuotaExceededError"),
        ("narrow", "QuotaExceededError"),
    ]
    # A name that has its record costs nothing more, and so does a lease that another one has.
    assert child.call("lease_release", {"leases": [claim(taken, "a")]}).result == [True]
    assert take(client, "a").status == 200
    assert take(child, "a").error == "LeaseHeldError"
    assert take(few.client(store.tokens.mint("ann", "tester")), "b").status == 200


def test_what_leaves_no_record_costs_no_name(few, token, store):
    client = few.client(token)
    with store.agent("ann", "other").lease("held"):
        for _ in range(5):
            assert take(client, "held").error == "LeaseHeldError"
    assert take(client, "").error == "InvalidNameError"
    for number in range(5):
        key = {"key": f"computed {number}"}
        begun = client.call("compute_begin", key).result
        assert client.call("compute_begin", key).result == {"found": False}
        assert client.call("compute_abandon", {**key, "lease": begun["lease"]}).status == 200
        client.call("compute_abandon", {**key, "lease": begun["lease"]})
    for name in "abc":
        assert take(client, name).status == 200
    for _ in range(3):
        assert take(client, "a").error == "LeaseHeldError"
    assert take(client, "d").error == "QuotaExceededError"


def test_begun_values_that_are_never_stored_are_limited(few, token):
    client = few.client(token)
    begun = [client.call("compute_begin", {"key": str(number), "lease": 0.001}) for number in range(4)]
    assert [one.status for one in begun] == [200, 200, 200, 403]


def test_a_child_has_no_answer_of_its_parent(few, token):
    client = few.client(token)
    child = few.client(client.call("narrow").result)
    key = new_key()
    assert client.once("increment", {"key": "n"}, key).result == 1
    assert child.once("increment", {"key": "n"}, key).result == 2
    assert client.once("increment", {"key": "n"}, key, client.instance).result == 1


def test_answers_of_several_share_their_bound():
    async def scenario():
        both = Answers(600, 10)
        own, others = OwnAnswers(both, "a:"), OwnAnswers(both, "b:")
        mark = mark_of("set", b"{}")
        assert await own.before("key", mark, is_repeat=False) is None
        own.after("key", Answer(200, b"x" * 8))
        assert await others.before("key", mark, is_repeat=False) is None
        assert await own.before("key", mark, is_repeat=True) == Answer(200, b"x" * 8)
        others.after("key", Answer(200, b"y" * 8))
        assert await others.before("key", mark, is_repeat=True) == Answer(200, b"y" * 8)
        with pytest.raises(OutcomeUnknownError):
            await own.before("key", mark, is_repeat=True)
        assert not own.is_empty()

    asyncio.run(scenario())


def test_what_is_refused_before_it_is_made_is_told(few, token, events):
    """Whatever a client sends once its token is known, the host sees that it came."""
    client = few.client(token)
    for call, sent in (
        ("set", b"{"),
        ("set", b'{"arguments": {"key": "k"}}'),
        ("set", json.dumps({"arguments": {"key": "k", "value": 1, "more": 1}}).encode()),
        ("set", json.dumps({"arguments": {"key": "k", "value": 1}, "leases": [claim({"number": 1, "handle": "x"})]})),
        ("set_many", b'{"arguments": {"items": [1]}}'),
        ("find", b'{"arguments": {"nothing": 1}}'),
        ("memory_search", b'{"arguments": {"text_or_vector": "a", "n": 1000000}}'),
        ("memory_get", b'{"arguments": {"key": 1}}'),
    ):
        events.clear()
        assert client.call(call, body=sent).status >= 400
        assert [(one.call, one.error is not None) for one in events] == [(call, True)], sent

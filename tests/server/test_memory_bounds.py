"""What one token can make a server hold in memory: bounded, whatever it asks for and however slowly it reads."""

from __future__ import annotations

import contextlib
import json
import socket

import pytest

import datastore
from datastore.allowances import Gathered, at_most
from datastore.errors import ValueTooLargeError
from datastore.server import ServerLimits
from tests.full import FULL
from tests.remote.processes import ServerProcess
from tests.server.serving import Client, served

VALUE = "x" * 50_000
NUMBER = 30
KEYS = [f"k{number:02}" for number in range(NUMBER)]
SMALL = ServerLimits(answer_bytes=1_000_000)
"""Two thirds of what there is."""


@pytest.fixture
def store():
    with datastore.connect("memory://") as store:
        yield store


@pytest.fixture
def client(store, tmp_path):
    with served(store, tmp_path, SMALL) as server:
        ann = store.agent("ann", "tester")
        ann.set_many({key: {"n": number, "text": VALUE} for number, key in enumerate(KEYS)})
        for number in range(NUMBER):
            ann.log_append("log", {"n": number, "text": VALUE})
        yield server.client(store.tokens.mint("ann", "tester"))


WHOLE = {
    "get_many": ({"keys": KEYS}, {"keys": KEYS[:15]}),
    "get_records": ({"keys": KEYS}, {"keys": KEYS[:15]}),
    "find, sorted": ({"filter": None, "sort": "-n"}, {"filter": None, "sort": "-n", "limit": 5}),
    "find, sorted, the last ones": (
        {"filter": None, "sort": "-n", "skip": 25, "limit": 2},
        {"filter": None, "sort": "-n", "skip": 10, "limit": 2},
    ),
    "find_records": ({"filter": None, "limit": 100}, {"filter": None, "limit": 5}),
    "find_records, sorted": ({"filter": None, "sort": "-n", "limit": 100}, {"filter": None, "sort": "-n", "limit": 5}),
    "find_records, of a filter": (
        {"filter": {"n": {"$gte": 0}}, "limit": 100},
        {"filter": {"n": {"$gte": 20}}, "limit": 100},
    ),
    "find_in": ({"namespace_prefix": ""}, {"namespace_prefix": "", "limit": 5}),
    "log_read": ({"name": "log"}, {"name": "log", "limit": 5}),
    "log_read, backwards": ({"name": "log", "reverse": True}, {"name": "log", "reverse": True, "limit": 5}),
}
"""Calls that are made as a whole: with arguments that ask for all, and for less."""


@pytest.mark.parametrize("case", WHOLE)
def test_a_call_that_returns_too_much_as_a_whole_is_refused(client, case):
    too_much, less = WHOLE[case]
    call = case.partition(",")[0]
    refused = client.call(call, too_much)
    assert (refused.status, refused.error) == (413, "ValueTooLargeError")
    assert "1,000,000 bytes" in refused.json["error"]["message"]
    assert VALUE not in refused.body.decode()
    assert client.call(call, less).items


def test_a_search_that_returns_too_much_is_refused(client, store):
    memory = store.agent("ann", "tester").memory
    for key in KEYS:
        memory.add(VALUE, key=f"m{key}", vector=[1.0, 2.0])
    question = {"text_or_vector": [1.0, 2.0]}
    assert client.call("memory_search", {**question, "n": NUMBER}).error == "ValueTooLargeError"
    assert len(client.call("memory_search", {**question, "n": 10}).items) == 10


def test_what_is_sent_while_it_is_read_may_be_of_any_length(client):
    for call, arguments in (("get_all", {}), ("scan", {}), ("iter_records", {}), ("find", {"filter": None})):
        assert len(client.call(call, arguments).items) == NUMBER, call
    wanted = {"filter": {"n": {"$gte": 0}}}
    assert len(client.call("find", wanted).items) == NUMBER
    assert client.call("count", wanted).result == NUMBER


def test_in_process_there_is_no_such_limit(client, store):
    ann = store.agent("ann", "tester")
    assert len(ann.get_many(KEYS)) == len(ann.find(None, sort="-n")) == NUMBER


def test_what_is_not_kept_is_not_counted_in_full():
    with at_most(100):
        few = Gathered(3)
        for _ in range(1_000):
            few.add(["x" * 10])
        with pytest.raises(ValueTooLargeError, match="100 bytes"):
            few.add(["x" * 100])


def ask(path: str, token: str, call: str, arguments: object) -> socket.socket:
    """Send a call on a connection of its own, and do not read the answer."""
    body = json.dumps({"arguments": arguments}).encode()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    head = f"POST /v1/{call} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


@pytest.mark.parametrize("call", ["get_many", "iter_records", "find"])
def test_answers_that_nobody_reads_do_not_fill_the_memory(tmp_path, call):
    """Hundreds of answers of 20 MB each, and the server stays below what 16 of them and a page of the database take."""
    server, opened = ServerProcess(tmp_path), list[socket.socket]()
    with datastore.connect(server.database) as store:
        store.agent("mallory", "greedy").set_many({f"k{number}": "x" * 500_000 for number in range(40)})
        greedy, honest = store.tokens.mint("mallory", "greedy"), store.tokens.mint("ann", "honest")
    arguments = {
        "get_many": {"keys": [f"k{number}" for number in range(40)]},
        "find": {"filter": None, "sort": "$createdAt"},
    }
    server.start()
    try:
        for _ in range(900 if FULL else 120):
            with contextlib.suppress(OSError):
                opened.append(ask(str(server.socket), greedy, call, arguments.get(call, {})))
        client = Client(str(server.socket), honest)
        for number in range(50):
            assert client.call("set", {"key": "k", "value": number}).status == 200
        client.close()
        assert server.most_memory() < 1_000_000_000
    finally:
        for one in opened:
            one.close()
        server.stop()

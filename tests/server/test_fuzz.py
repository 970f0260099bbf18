"""What no hostile client may do, tried with requests that nobody has thought of.

Schemathesis makes calls from the OpenAPI document, valid ones and others, and judges the answers by it. Our own fuzzer
changes the bytes of requests. Whatever comes, the server answers or closes the connection, goes on serving others,
shows nothing of another user, and changes nothing of hers.
"""

from __future__ import annotations

import json
import random
import re
import socket
from hashlib import sha256

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

import datastore
from datastore.blobs.uploads import REQUEST
from datastore.conformance.topics.memory import WORDS
from datastore.server import create_app
from datastore.wire import PREFIX, REPEAT
from datastore.wire.calls import CALLS
from tests.full import FULL
from tests.server.serving import closed, served
from tests.server.test_blobs import CONTENT, text
from tests.server.test_calls import IN_ORDER, SOME

SECRET = "only ben knows this"
CHECKS = [response_schema_conformance, status_code_conformance]
EXAMPLES = 40 if FULL else 6


@pytest.fixture(scope="module")
def world():
    """A store with the data of two users, served to one of them, whose records the generated calls can find."""
    with datastore.connect("memory://", embedder=WORDS) as store:
        ben = store.agent("ben", "holder")
        ben.set_many({"k": SECRET, "plan": {"secret": SECRET}})
        ann = store.agent("ann", "tester")
        ann.set_many({"a": 1, "b": {"x": [1, "two", None]}, "0": [1]})
        app = create_app(store, allowed_hosts=None)
        described = schemathesis.openapi.from_asgi("/openapi.json", app)
        yield described, store.tokens.mint("ann", "tester")
        assert ben.get_all() == {"k": SECRET, "plan": {"secret": SECRET}}
        assert store.host("ben").list_namespaces() == ["default"]


@pytest.mark.parametrize("call", [*CALLS, "whoami", "narrow"])
def test_calls_made_from_the_document_are_answered_as_it_says(world, call):
    described, token = world
    operation = described[PREFIX + call]["POST"]
    cases = st.one_of(
        operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE),
    )

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def calls(case):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}
        response = case.call()
        assert SECRET not in response.text
        # A repeat of a write that this server was not sent, which it must not do again, is the one that may be 503.
        assert response.status_code < 500 or (response.status_code == 503 and REPEAT in case.headers), response.text
        case.validate_response(response, checks=CHECKS)

    calls()
    assert operation.path == PREFIX + call


def test_every_call_is_described_as_it_succeeds_and_as_it_is_refused(world):
    """Chance finds no handle and no run. So each call is made with what it takes, and with what it does not."""
    described, token = world
    accepted, refused = set[str](), set[str]()

    def ask(name, arguments):
        operation = described[PREFIX + name]["POST"]
        headers = {"Authorization": f"Bearer {token}"}
        case = operation.Case(
            method="POST", body={"arguments": arguments}, media_type="application/json", headers=headers
        )
        response = case.call()
        case.validate_response(response, checks=CHECKS)
        (accepted if response.status_code == 200 else refused).add(name)
        return None if name in CALLS and CALLS[name].in_lines else response.json().get("result")

    def act(run, name, /, **arguments):
        lease = run["lease"]
        held = {"id": run["id"], "fence": lease["number"], "handle": lease["handle"]}
        return ask(f"run_{name}", held | arguments)

    for name, value in (("k", 1), ("number", 1), ("list", []), ("object", {})):
        ask("set", {"key": name, "value": value})
    for name in sorted(CALLS.keys() - IN_ORDER):
        ask(name, SOME.get(name, {}))
    ask("add_many", {"items": [{"key": "newer", "value": 1}]})
    for name in ("first", "second"):
        place = {"name": name, **ask("blob_begin", {"name": name})}
        ask("blob_write", {**place, "at": 0, "data": text(CONTENT[:REQUEST])})
        if name == "second":
            ask("blob_abandon", {**place, "written": REQUEST})
            continue
        digest = sha256(CONTENT).hexdigest()
        ask("blob_finish", {**place, "written": REQUEST, "digest": digest, "data": text(CONTENT[REQUEST:])})
        ask("blob_read", {"name": name, "version": place["version"], "numbers": [0]})
    run = ask("run_start", {"id": "fuzzed"})
    act(run, "append", number=0, entry={"kind": "step", "name": "s", "result": 1, "seconds": 0.5})
    act(run, "append", number=1, entry={"kind": "branch", "children": 2})
    act(run, "begin_children", number=2, at=2)
    act(run, "read", after=0)
    act(run, "join", number=2, children=[])
    act(run, "wait", number=3, name="yes")
    ask("run_signal", {"id": "fuzzed", "name": "yes", "payload": 1})
    ask("run_fork", {"id": "fuzzed", "at": 1})
    ask("run_history", {"id": "fuzzed"})
    ask("lease_release", {"leases": [{"namespace": "default", "name": "fuzzed", "area": "runs", **run["lease"]}]})
    ask("run_resume", {"id": "fuzzed"})
    ask("run_cancel", {"id": "fuzzed"})
    ask("run_retry", {"id": "fuzzed"})
    ended = ask("run_start", {"id": "ended"})
    act(ended, "append", number=0, entry={"kind": "end", "status": "done", "result": {"a": 1}})
    ask("run_result", {"id": "ended"})
    ask("run_ends", {"children": ["ended"]})
    ask("whoami", {})
    ask("narrow", {"label": "child"})
    every = {*CALLS, "whoami", "narrow"}
    assert every - accepted == set()
    for name in every:
        ask(name, {"no such argument": 1})
    assert every - refused == set()


_VALID = (
    b"POST /v1/set HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\n"
    b"Idempotency-Key: 0123456789abcdef%d\r\nContent-Length: %d\r\n\r\n%s"
)
_PIECES = (
    b"\r\n", b"\n", b"\0", b"\xff", b" ", b":", b"%2F", b"%00", b"../", b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n",
    b"Authorization: Bearer dst_x\r\n", b"0\r\n\r\n", b"[" * 300, b"9" * 400, b'"\\ud800"', b"GET / HTTP/1.1\r\n\r\n",
)  # fmt: skip


def _changed(request: bytes, luck: random.Random) -> bytes:
    """Return a request with one to four changes: bytes cut out, doubled, replaced, or hostile pieces put in."""
    for _ in range(luck.randint(1, 4)):
        start = luck.randrange(len(request) + 1)
        end = min(len(request), start + luck.choice((1, 1, 2, 8, 60)))
        match luck.randrange(5):
            case 0:
                request = request[:start] + request[end:]
            case 1:
                request = request[:end] + request[start:end] + request[end:]
            case 2:
                request = request[:start] + luck.randbytes(end - start) + request[end:]
            case 3:
                request = request[:start] + luck.choice(_PIECES) + request[start:]
            case 4:
                request = request[:start]
    return request


@pytest.mark.parametrize("seed", range(60 if FULL else 6))
def test_requests_with_changed_bytes_are_answered_or_refused(tmp_path, seed):
    luck = random.Random(seed)
    with (
        datastore.connect(f"sqlite:///{tmp_path}/agents.db") as store,
        served(store, tmp_path) as server,
    ):
        store.agent("ben", "holder").set("k", SECRET)
        token, honest = store.tokens.mint("ann", "tester"), store.tokens.mint("eve", "honest")
        for number in range(30):
            body = json.dumps(
                {"arguments": {"key": f"k{number}", "value": "v" * luck.choice((1, 100, 5_000))}}
            ).encode()
            request = _VALID % (token.encode(), number, len(body), body)
            connection = server.raw()
            try:
                connection.sendall(_changed(request, luck))
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it was refused before it was sent whole
            answer = closed(connection)
            assert not answer or re.match(rb"HTTP/1\.[01] [1-5]\d\d ", answer), answer[:200]
            assert not re.search(rb"HTTP/1\.1 500", answer), answer[:500]
            assert SECRET.encode() not in answer
            assert b"Traceback" not in answer
            assert token.encode() not in answer
        client = server.client(honest)
        assert client.call("set", {"key": "k", "value": 1}).status == 200
        assert client.call("get", {"key": "k"}).result == {"found": True, "value": 1}
        assert store.agent("ben", "holder").get_all() == {"k": SECRET}

"""Whoever means no good gets nothing, and holds up nobody."""

from __future__ import annotations

import resource
import select
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

import datastore
from datastore import Quota
from datastore.server import ConnectionLimits, ServerLimits
from datastore.server.fairness import Lane
from tests.patience import PATIENCE
from tests.server.serving import closed, served

FORGED = "dst_" + "A" * 43


def head(token: str, call: str = "get", *more: str, host: str = "localhost") -> bytes:
    lines = [f"POST /v1/{call} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {token}", *more]
    return "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode()


# -------------------------------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    "given",
    [None, FORGED, "", "dst_", "x" * 43, "dst_" + "é" * 43, FORGED + "A" * 200, "dst_\x00"],
    ids=["no", "forged", "empty", "prefix", "foreign", "no-ascii", "long", "nul"],
)
def test_who_has_no_valid_token_is_told_so_and_nothing_else(server, given):
    headers = {} if given is None else {"Authorization": f"Bearer {given}".encode("latin-1", "replace")}
    if given is not None and "\x00" in given:
        said = closed(server.raw(head(given)))
        assert said.startswith(b"HTTP/1.1 400")
        return
    answered = server.client(None).call("get", {"key": "k"}, headers=headers)
    assert (answered.status, answered.error) == (401, "InvalidTokenError")
    assert answered.headers["WWW-Authenticate"] == "Bearer"
    assert given is None or len(given) < 5 or given not in answered.body.decode()


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t + "A", lambda t: t.swapcase()], ids=["cut", "longer", "case"]
)
def test_a_token_that_is_changed_is_no_token(server, token, change):
    assert server.client(change(token)).call("whoami").status == 401


def test_a_token_that_this_process_revokes_ends_at_once(client, store, token):
    assert client.call("whoami").status == 200
    store.tokens.revoke(token)
    assert client.call("whoami").status == 401


def test_a_token_ends_when_that_which_it_was_made_from_does(server, store, token):
    child = server.client(store.tokens.narrow(token))
    assert child.call("whoami").status == 200
    store.tokens.revoke(token)
    assert child.call("whoami").status == 401


def test_a_token_that_another_process_revokes_ends_within_the_stated_time(store, tmp_path, token, monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr("datastore.server.access.time", SimpleNamespace(monotonic=lambda: now[0]))
    with served(store, tmp_path, ServerLimits(token_seconds=5)) as server:
        client = server.client(token)
        assert client.call("whoami").status == 200
        with datastore.connect(f"sqlite:///{tmp_path}/agents.db") as other:
            other.tokens.revoke(token)
        now[0] += 4.9
        assert client.call("whoami").status == 200  # it is not looked up before its time is over
        now[0] += 0.1
        assert client.call("whoami").status == 401


def test_no_time_is_kept_where_each_request_looks_up(store, tmp_path, token):
    with served(store, tmp_path, ServerLimits(token_seconds=0)) as server:
        client = server.client(token)
        assert client.call("whoami").status == 200
        with datastore.connect(f"sqlite:///{tmp_path}/agents.db") as other:
            other.tokens.revoke(token)
        assert client.call("whoami").status == 401


def test_a_token_that_has_expired_is_refused_although_it_is_remembered(tmp_path):
    now = [1_800_000_000.0]
    with datastore.connect("memory://", clock=lambda: now[0]) as store:
        token = store.tokens.mint("ann", "tester", ttl=60)
        with served(store, tmp_path, ServerLimits(token_seconds=1_000)) as server:
            client = server.client(token)
            assert client.call("whoami").status == 200
            now[0] += 61
            assert client.call("whoami").status == 401


def test_no_token_is_logged_or_told(server, store, token, caplog):
    caplog.set_level(0)
    server.client(token).call("get", {"key": token})
    server.client(FORGED).call("get", {"key": "k"})
    store.backend.read = store.backend.read_at_once = lambda ids, fields: 1 / 0
    failed = server.client(token).call("get", {"key": "k"})
    assert failed.error == "InternalError"
    assert "ZeroDivision" not in failed.body.decode()
    assert token not in caplog.text
    assert FORGED not in caplog.text


def test_nothing_leads_from_one_user_to_another(server, store):
    store.host("bob").set("k", "secret")
    ann = server.client(store.tokens.mint("ann", "tester"))
    assert ann.call("get_all").items == []
    for namespace in ("..", "../bob", "bob:default", "%2E%2E", "x/../../bob", "bob\x00"):
        answered = ann.call("get", {"key": "k"}, namespace=namespace)
        assert answered.status == 400 or answered.result == {"found": False}


def test_grants_hold_and_tell_nothing_of_what_is_there(server, store):
    store.host("ann", "payroll").set("emma", 3_000)
    reader = server.client(store.tokens.mint("ann", "reader", "mine", grants={"mine": "write"}))
    there = reader.call("get", {"key": "emma"}, namespace="payroll")
    missing = reader.call("get", {"key": "nobody"}, namespace="payroll")
    assert (there.status, there.body) == (missing.status, missing.body) == (403, missing.body)
    assert reader.call("list_namespaces").items == []
    written = reader.call("set_many", {"items": [{"key": "emma", "value": 1, "namespace": "payroll"}]})
    assert written.error == "PermissionDeniedError"
    assert reader.call("compute_begin", {"key": "emma"}, namespace="payroll").status == 403


# ------------------------------------------------------------------------------------------------------------ requests


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:80", ""], ids=str
)
def test_another_host_is_refused_because_a_browser_may_have_been_led_here(server, token, host):
    for path in ("/v1/whoami", "/health", "/openapi.json"):
        client = server.client(token)
        client.connection.request("POST", path, "{}", {"Host": host, "Content-Type": "application/json"})
        assert client.connection.getresponse().status == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "[::1]:80", "[::1]"], ids=str)
def test_the_names_of_this_machine_are_answered(server, host):
    assert server.client(None).get("/health", Host=host).status == 200


def test_a_web_page_is_refused(client):
    for origin in ("https://evil.example", "http://localhost", "null"):
        assert client.call("whoami", headers={"Origin": origin}).status == 403


def test_a_form_of_a_web_page_is_no_request(client):
    assert client.call("whoami", headers={"Content-Type": "text/plain"}).status == 415
    assert client.call("whoami", headers={"Content-Type": "application/x-www-form-urlencoded"}).status == 415


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "HEAD", "DELETE", "TRACE"])
def test_a_call_is_made_with_post_alone(client, method):
    assert client.call("whoami", method=method).status == 405


@pytest.mark.parametrize(
    "more",
    [
        ("Content-Length: 2", "Transfer-Encoding: chunked"),
        ("Content-Length: 2", "Content-Length: 3"),
        ("Content-Length: -1",),
        ("Content-Length: 2x",),
        ("Transfer-Encoding: chunked, identity", "Content-Length: 2"),
        ("Host: evil.example", "Content-Length: 2"),
        ("Authorization: Bearer other", "Content-Length: 2"),
        ("Bad Header: x", "Content-Length: 2"),
        ("X: a\x00b", "Content-Length: 2"),
    ],
    ids=["length-and-chunks", "two-lengths", "negative", "no-number", "odd-coding", "two-hosts", "two-tokens",
         "space-in-name", "nul"],
)  # fmt: skip
def test_a_request_of_which_two_parties_could_think_differently_is_refused(server, token, more):
    connection = server.raw(head(token, "whoami", *more) + b"{}" + head(token, "whoami", "Content-Length: 2") + b"{}")
    said = closed(connection)
    assert said.startswith((b"HTTP/1.1 400", b"")), said
    assert b" 200 " not in said.partition(b"\r\n")[0]
    assert said.count(b"HTTP/1.1 200") == 0


def test_a_body_that_says_that_it_is_too_large_is_refused_before_it_comes(store, tmp_path, token):
    with served(store, tmp_path, ServerLimits(body_bytes=10_000)) as server:
        said = closed(server.raw(head(token, "set", "Content-Length: 10001")))
        assert said.startswith(b"HTTP/1.1 413")
        assert b"connection: close" in said.lower()


def test_an_endless_body_is_cut_off(store, tmp_path, token):
    with served(store, tmp_path, ServerLimits(body_bytes=10_000)) as server:
        connection = server.raw(head(token, "set", "Transfer-Encoding: chunked"))
        sent = 0
        try:
            while sent < 50_000_000:
                connection.sendall(b"1000\r\n" + b"x" * 4_096 + b"\r\n")
                sent += 4_096
        except OSError:
            pass
        assert sent < 50_000_000
        assert server.client(token).call("whoami").status == 200


def test_a_compressed_body_is_refused(client):
    assert client.call("whoami", headers={"Content-Encoding": "gzip"}).status == 415


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"arguments":' * 5_000, b"\xff\xfe", b"{}x", b"9" * 100_000], ids=len
)
def test_a_body_that_is_no_request_is_refused(client, body):
    answered = client.call("get", body=body)
    assert (answered.status, answered.error) == (400, "InvalidValueError")


def test_a_body_without_a_token_is_not_kept(server):
    connection = server.raw(head(FORGED, "set", "Content-Length: 15000000"))
    assert connection.recv(12) == b"HTTP/1.1 401"
    try:
        for _ in range(200):
            connection.sendall(b"x" * 65_536)
    except OSError:
        return
    pytest.fail("the server has read a body that it is not going to use")


# --------------------------------------------------------------------------------------------------------- connections

SHORT = 0.3  # seconds


@pytest.fixture
def served_with(store, tmp_path):
    """Return a function that serves the store with some limits.

    A busy machine stalls for longer than any time that is worth waiting for here. So a test shortens the one time that
    it is about, and everything else has as long as it takes.
    """
    with ExitStack() as servers:
        yield lambda *limits: servers.enter_context(served(store, tmp_path, *limits))


@pytest.fixture
def impatient(served_with):
    return served_with(None, ConnectionLimits(head_seconds=SHORT))


@pytest.mark.parametrize(
    "begun",
    [b"", b"\r\n", b"POST", b"POST /v1/get HTTP/1.1\r\nHost: loc"],
    ids=["nothing", "empty-line", "method", "header"],
)
def test_who_says_nothing_or_half_a_request_is_not_waited_for(impatient, begun):
    assert closed(impatient.raw(begun)) == b""


def test_who_sends_a_byte_now_and_then_is_not_waited_for_either(impatient, token):
    connection = impatient.raw()
    with pytest.raises(OSError):  # noqa: PT012 - whichever of them finds it closed
        for byte in head(token) * 100:
            connection.sendall(bytes([byte]))
            time.sleep(0.02)
            connection.setblocking(False)
            try:
                if connection.recv(10) == b"":
                    raise ConnectionResetError
            except BlockingIOError:
                pass
            connection.setblocking(True)


def test_empty_lines_before_a_request_win_no_time(impatient):
    connection = impatient.raw()
    with pytest.raises(OSError):  # noqa: PT012 - as above
        for _ in range(1_000):
            connection.sendall(b"\r\n")
            time.sleep(0.02)


def test_a_slow_body_is_not_waited_for(served_with, token):
    server = served_with(ServerLimits(body_seconds=SHORT))
    said = closed(server.raw(head(token, "set", "Content-Length: 100") + b"{"))
    assert said.startswith(b"HTTP/1.1 408")


def test_an_idle_connection_is_closed(served_with, token):
    server = served_with(None, ConnectionLimits(idle_seconds=SHORT))
    connection = server.raw(head(token, "whoami", "Content-Length: 2") + b"{}")
    said = closed(connection)
    assert said.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "endless", [b"X: " + b"x" * 1_000_000, b"X: y\r\n" * 100_000], ids=["one-header", "many-headers"]
)
def test_an_endless_head_is_cut_off(server, endless):
    connection = server.raw()
    try:
        connection.sendall(b"POST /v1/get HTTP/1.1\r\n" + endless)
    except OSError:
        return
    assert b" 200 " not in closed(connection)


def test_endless_trailers_are_cut_off(server, token):
    connection = server.raw(head(token, "whoami", "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n")
    try:
        for _ in range(1_000):
            connection.sendall(b"X: y\r\n")
    except OSError:
        return
    assert b" 200 " not in closed(connection)


def test_a_client_that_reads_nothing_is_given_up(served_with, store, token):
    store.host("ann").set_many({f"k{number}": "x" * 100_000 for number in range(100)})
    server = served_with(None, ConnectionLimits(write_seconds=SHORT))
    connection = server.raw(head(token, "get_all", "Content-Length: 2") + b"{}")
    assert connection.recv(12) == b"HTTP/1.1 200"
    hanging_up = select.poll()
    hanging_up.register(connection, select.POLLHUP)
    assert hanging_up.poll(PATIENCE * 1_000), "the server still waits"
    said = closed(connection)
    assert b'{"end"' not in said
    assert len(said) < 10_000_000


def test_half_open_connections_make_room_for_whoever_has_a_token(store, tmp_path, token):
    limits = ConnectionLimits(connections=20)
    with served(store, tmp_path, connections=limits) as server:
        known = server.client(token)
        assert known.call("whoami").status == 200
        for _ in range(200):
            server.raw(b"POST /v1/")
        assert known.call("whoami").status == 200
        assert server.client(token).call("whoami").status == 200


@pytest.fixture
def many_files():
    """Let this process have 4,000 files open: some systems begin with 256."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("begun", [b"", b"POST /v1/get HTTP/1.1\r\nHost: "], ids=["silent", "half-open"])
def test_two_thousand_connections_that_do_nothing_hold_up_nobody(many_files, server, token, begun):
    """Twice as many as the server keeps."""
    client = server.client(token)
    assert client.call("set", {"key": "k", "value": 1}).status == 200
    for number in range(2_000):
        server.raw(begun)
        if number % 100 == 0:
            assert client.call("get", {"key": "k"}).result["value"] == 1
            assert server.client(token).call("get", {"key": "k"}).result["value"] == 1


def test_one_token_cannot_keep_all_connections_for_itself(store, tmp_path, token):
    limits = ConnectionLimits(connections=20)
    with served(store, tmp_path, connections=limits) as server:
        child = store.tokens.narrow(token)
        greedy = [server.client(token if number % 2 else child) for number in range(20)]
        for one in greedy:
            assert one.call("whoami").status == 200
        honest = [server.client(store.tokens.mint("bob", "other")) for _ in range(3)]
        for one in honest:
            assert one.call("whoami").status == 200
        for one in honest:
            assert one.call("get", {"key": "k"}).status == 200


# ------------------------------------------------------------------------------------------------------------- fairness


def test_calls_a_minute_are_counted_for_a_token_and_what_it_descends_from(server, store):
    token = store.tokens.mint("ann", "busy", quota=Quota(calls_per_minute=3))
    busy, child = server.client(token), server.client(store.tokens.narrow(token))
    assert [busy.call("whoami").status for _ in range(2)] == [200, 200]
    assert child.call("whoami").status == 200
    for client in (busy, child):
        refused = client.call("get", {"key": "k"})
        assert (refused.status, refused.error) == (429, "QuotaExceededError")
        assert refused.json["error"]["unit"] == "calls per minute"
        assert int(refused.headers["Retry-After"]) >= 1
    assert server.client(store.tokens.mint("ann", "other")).call("whoami").status == 200


def test_a_quota_of_records_holds(server, store):
    small = server.client(store.tokens.mint("ann", "small", quota=Quota(records=1)))
    assert small.call("set", {"key": "a", "value": 1}).status == 200
    refused = small.call("set", {"key": "b", "value": 1})
    assert (refused.status, refused.error) == (403, "QuotaExceededError")


def test_too_many_waiting_calls_of_a_token_are_refused_and_others_are_not(store, tmp_path, token, monkeypatch):
    gate, begun, waits = threading.Event(), threading.Event(), threading.Event()
    read, enter = store.backend.read, Lane.enter

    def slow(ids, fields):
        if any(id.startswith("ann:") for id in ids):
            begun.set()
            gate.wait(PATIENCE)
        return read(ids, fields)

    async def entered(lane, share):
        if begun.is_set():
            waits.set()  # the loop does nothing else until it does
        await enter(lane, share)

    limits = ServerLimits(calls_at_once=1, waiting_calls=1)
    with served(store, tmp_path, limits) as server:
        waiting = [server.client(token) for _ in range(2)]
        for client in waiting:
            assert client.call("whoami").status == 200
        store.backend.read = slow
        monkeypatch.setattr(Lane, "enter", entered)
        threads = [threading.Thread(target=client.call, args=("get_record", {"key": "k"})) for client in waiting]
        try:
            for thread, is_there in zip(threads, (begun, waits), strict=True):
                thread.start()
                assert is_there.wait(PATIENCE)
            refused = server.client(token).call("get_record", {"key": "k"})
            assert (refused.status, refused.error) == (429, "ThrottledError")
            assert "waiting" in refused.json["error"]["message"]
            other = server.client(store.tokens.mint("bob", "other"))
            assert other.call("get_record", {"key": "k"}).result is None
        finally:
            gate.set()
            for thread in threads:
                thread.join(PATIENCE)


BURNS = {"filter": {"text": {"$regex": "(a|aa)+$"}}}
"""What takes long on the texts below, with any engine: there are many of them."""


def test_a_token_that_burns_processor_time_does_not_stop_the_others(store, tmp_path):
    store.host("mallory").set_many({f"k{number}": {"text": "a" * 2_000 + "b"} for number in range(3_000)})
    mallory, ann = store.tokens.mint("mallory", "burner"), store.tokens.mint("ann", "honest")
    with served(store, tmp_path) as server:
        client = server.client(ann)
        client.call("set", {"key": "k", "value": 1})
        until = threading.Event()

        def burn() -> None:
            burner = server.client(mallory)
            while not until.is_set():
                burner.call("find", BURNS)

        burning = [threading.Thread(target=burn) for _ in range(8)]
        for thread in burning:
            thread.start()
        try:
            for _ in range(50):
                assert client.call("get", {"key": "k"}).result["value"] == 1
                assert client.call("find", {"filter": {"a": 1}}).items == []
        finally:
            until.set()
            for thread in burning:
                thread.join(PATIENCE)


def test_leases_that_are_taken_and_never_ended_are_limited(server, store, token, monkeypatch):
    monkeypatch.setattr("datastore.server.running._MOST_LEASES", 2)
    client = server.client(token)
    first = client.call("compute_begin", {"key": "a"}).result
    assert "lease" in client.call("compute_begin", {"key": "b"}).result
    assert client.call("compute_begin", {"key": "c"}).error == "ThrottledError"
    client.call("compute_abandon", {"key": "a", "lease": first["lease"]})
    assert "lease" in client.call("compute_begin", {"key": "c"}).result

"""Faults between client and server: the right answer after retries, or the typed error; never "missing"."""

import json
import threading

import pytest

import datastore
from datastore import (
    BackendUnavailableError,
    BackendUnusableError,
    ConfigurationError,
    DataStoreError,
    DeadlineExceededError,
    InternalError,
    PermissionDeniedError,
    ThrottledError,
    ValueTooLargeError,
)
from datastore.conformance.documents import id_of
from tests.couchdb.faults import STALL, hurry
from tests.couchdb.server import proxy_request
from tests.servers import couchdb, tls
from tests.servers.strict_couchdb import (
    StrictProxy,
    page_of_html,
    reset,
    reset_after,
    reset_in_the_body,
    status,
)
from tests.slow import Clock

PASSING = {
    "reset": reset,
    "reset in the body": reset_in_the_body,
    "500": status(500, "internal_server_error"),
    "503": status(503, "service_unavailable"),
    "429": status(429, "too_many_requests"),
    "answer lost": reset_after,
}

pytestmark = pytest.mark.server("couchdb")
OWN_DATABASES = True  # who is cut off from an answer does not know when the server is done


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_passing_fault_is_not_seen(agent, store, proxy, fault):
    calls = [
        (lambda: agent.set("k", {"a": 1}), None),
        (lambda: agent.get("k"), {"a": 1}),
        (lambda: agent.get("missing", "default"), "default"),
        (lambda: agent.exists("k"), True),
        (lambda: agent.set_many({"a": 1, "b": 2}), 2),
        (lambda: agent.get_many(["a", "b", "c"]), {"a": 1, "b": 2}),
        (lambda: agent.list_keys(), ["a", "b", "k"]),
        (lambda: agent.get_all(), {"a": 1, "b": 2, "k": {"a": 1}}),
        (lambda: agent.count(), 3),
        (lambda: agent.list_namespaces(), ["default"]),
        (lambda: agent.increment("n"), 1),
        (lambda: agent.increment("n"), 2),
        (lambda: agent.append("l", 1), [1]),
        (lambda: agent.add("new", 1), None),
        (lambda: agent.delete("new"), True),
        (lambda: agent.delete("new"), False),
        (lambda: agent.delete_many(["a", "b", "c"]), 2),
        (lambda: agent.clear(), 3),
    ]
    for call, answer in calls:
        proxy.fail(".*", fault)
        result = call()
        assert answer is None or result == answer
    assert agent.get_all() == {}


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (status(500), BackendUnavailableError, "failed .500"),
        (status(502), BackendUnavailableError, "failed .502"),
        (status(504), BackendUnavailableError, "failed .504"),
        (status(429), ThrottledError, "is overloaded"),
        (status(401, "unauthorized"), PermissionDeniedError, "refused the credentials .401"),
        (status(403, "forbidden"), PermissionDeniedError, "refused the credentials .403"),
        (status(400, "bad_request"), InternalError, "did not understand a request of this package .400"),
        (page_of_html(404), BackendUnusableError, "no JSON but"),
        (page_of_html(200), BackendUnavailableError, "is not CouchDB's .no JSON but"),
        (page_of_html(502), BackendUnavailableError, "failed .502"),
        (status(507, "insufficient_storage"), BackendUnusableError, "the disk of .* is full"),
        (status(500, "enospc", "enospc"), BackendUnusableError, "the disk of .* is full"),
        (status(501, "not_implemented"), BackendUnusableError, "does not have what this version asks for"),
        (reset, BackendUnavailableError, "cannot be reached"),
        (STALL, BackendUnavailableError, "did not answer within"),
    ],
    ids=[
        "500",
        "502",
        "504",
        "429",
        "401",
        "403",
        "400",
        "html 404",
        "html 200",
        "html 502",
        "507",
        "enospc",
        "501",
        "reset",
        "stall",
    ],
)
def test_a_lasting_fault_is_the_typed_error_on_every_call(url, proxy, fault, error, words):
    datastore.connect(url).close()
    with datastore.connect(url, retry_seconds=0, tracking="off") as store:
        agent = store.agent("u", "a")
        agent.set("k", 1)
        calls = [
            lambda: agent.get("k"),
            lambda: agent.get("missing"),
            lambda: agent.exists("k"),
            lambda: agent.get_many(["k", "l"]),
            lambda: agent.set("k", 2),
            lambda: agent.set_many({"k": 2, "l": 2}),
            lambda: agent.delete("missing"),
            agent.list_keys,
            agent.get_all,
            agent.count,
            agent.list_namespaces,
        ]
        for call in calls:
            proxy.fail(".*", *[fault] * 3)
            hurry(store, fault, 3)
            with pytest.raises(error, match=words) as caught:
                call()
            assert "on couchdb" in str(caught.value)
            assert "secret" not in str(caught.value)
            proxy.clear_faults()


def test_a_document_that_the_server_cannot_read_is_not_missing(agent, proxy):
    def failing(handler, request):
        failed = {"id": id_of("a", "default", "u"), "docs": [{"error": {"error": "timeout", "reason": "x"}}]}
        handler.answer(200, json.dumps({"results": [failed]}).encode())
        return True

    agent.set_many({"a": 1, "b": 2})
    proxy.fail("POST _bulk_get", failing)
    assert agent.get_many(["a", "b"]) == {"a": 1, "b": 2}


def test_a_part_of_a_batch_that_the_server_refuses_is_told_by_key(agent, store, proxy):
    def refusing(handler, request):
        documents = [document["_id"] for document in request.json()["docs"]]
        bad = {"id": documents[1], "error": "forbidden", "reason": "validation says no"}
        request.body = b'{"docs":[' + request.body.split(b'{"docs":[')[1].split(b',{"_id"')[0] + b"]}"
        code, body = handler.forward(request)
        handler.answer(code, json.dumps([*json.loads(body), bad]).encode())
        return True

    proxy.fail("POST _bulk_docs", refusing)
    with pytest.raises(datastore.BatchError) as caught:
        agent.set_many({"a": 1, "b": 2})
    assert caught.value.succeeded == ["a"]
    assert isinstance(caught.value.failed["b"], PermissionDeniedError)


def test_a_database_deleted_under_us_is_an_error_and_comes_back_when_it_is_made_again(agent, store, name, url, proxy):
    agent.set("k", 1)
    proxy_request(proxy, "DELETE", f"/{name}")
    for call in (lambda: agent.get("k"), lambda: agent.set("k", 1), agent.list_keys, lambda: agent.delete("k")):
        with pytest.raises(BackendUnusableError, match="does not exist; create it, or connect with create=true"):
            call()
    datastore.connect(url).close()
    assert agent.get("k") is None
    agent.set("k", 2)
    assert agent.get_record("k").created_by_agent == "a"


def test_the_server_may_restart_between_two_calls(tmp_path, name):
    server = couchdb.new_server(tmp_path, persistent=True)
    server.start()
    proxy = StrictProxy(server.port, couchdb.USER, couchdb.PASSWORD)
    proxy.start()
    try:
        with datastore.connect(couchdb.url(name, proxy), retry_seconds=60) as store:
            agent = store.agent("u", "a")
            agent.set("k", 1)
            server.stop()
            starting = threading.Timer(0.3, server.start)
            starting.start()
            assert agent.get("k") == 1
            starting.join()
            agent.set("k", 2)
            assert agent.get("k") == 2
    finally:
        proxy.stop()
        server.stop()


def test_wrong_passwords_are_refused_at_connect(name, proxy):
    for credentials in ("admin:wrong@", ""):
        with pytest.raises(
            PermissionDeniedError, match=r"refused the credentials .401.*check user and password"
        ) as info:
            datastore.connect(f"couchdb://{credentials}127.0.0.1:{proxy.port}/{name}")
        assert "wrong" not in str(info.value)


def test_nobody_listening_is_unavailable(name):
    with pytest.raises(BackendUnavailableError, match="cannot be reached: ConnectError"):
        datastore.connect(f"couchdb://admin:secret@127.0.0.1:1/{name}")


def test_what_lasts_is_not_tried_again(url, proxy):
    """A full disk, a page of something between, a request that is not understood, refused credentials, no database."""
    lasting = [
        status(507, "insufficient_storage"),
        page_of_html(404),
        status(400, "bad_request"),
        status(401, "unauthorized"),
        status(404, "not_found", "Database does not exist."),
    ]
    with datastore.connect(url, retry_seconds=60, tracking="off") as store:
        agent = store.agent("u", "a")
        for fault in lasting:
            for call in (lambda: agent.get("k"), lambda: agent.set("k", 1), agent.list_keys):
                proxy.requests.clear()
                proxy.fail(".*", *[fault] * 9)
                with pytest.raises(DataStoreError) as caught:
                    call()
                assert not caught.value.retryable
                assert len(proxy.requests) == 1
                proxy.clear_faults()


def test_a_database_that_was_removed_is_unusable_and_misconfigured(agent, name, proxy):
    agent.set("k", 1)
    proxy_request(proxy, "DELETE", f"/{name}")
    for kind in (BackendUnusableError, ConfigurationError):
        with pytest.raises(kind, match="does not exist"):
            agent.get("k")


def test_an_answer_that_is_not_whole_is_a_lost_answer_and_none_is_quoted(url, proxy):
    """Half of a document is no document; what it holds is nobody's to read in a log."""

    def half(handler, request):
        handler.answer(
            200, f'{{"_id": "{id_of("k", "default", "u")}", "value": "the secret'.encode(), "application/json"
        )
        return True

    with datastore.connect(url, retry_seconds=0, tracking="off") as store:
        proxy.fail("GET .*", half)
        with pytest.raises(BackendUnavailableError, match="broke off") as caught:
            store.agent("u", "a").get("k")
        assert "secret" not in str(caught.value)
        proxy.clear_faults()


def test_the_chained_error_does_not_hold_the_password(url, proxy):
    """The client's exception holds its request, and that the header with the credentials."""
    with datastore.connect(url, retry_seconds=0, tracking="off") as store:
        proxy.fail(".*", reset)
        with pytest.raises(BackendUnavailableError) as caught:
            store.agent("u", "a").get("k")
        with pytest.raises(RuntimeError, match="has not been set"):
            _ = caught.value.__cause__.request


def test_a_certificate_that_cannot_be_verified_is_no_outage(tmp_path):
    with (
        tls.untrusted_server(tmp_path) as port,
        pytest.raises(ConfigurationError, match=r"certificate of https://localhost:\d+ could not .*\$SSL_CERT_FILE"),
    ):
        datastore.connect(f"couchdbs://admin:secret@localhost:{port}/db", retry_seconds=60)


def test_the_named_authority_is_trusted(tmp_path, monkeypatch):
    """What the message says is what helps: the server then answers, if not like CouchDB."""
    with tls.untrusted_server(tmp_path) as port:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        with pytest.raises(BackendUnusableError, match="no JSON but"):
            datastore.connect(f"couchdbs://admin:secret@localhost:{port}/db")


def test_a_server_without_tls_is_no_outage():
    with tls.server_without_tls() as port, pytest.raises(ConfigurationError, match="does not speak TLS"):
        datastore.connect(f"couchdbs://admin:secret@localhost:{port}/db", retry_seconds=60)


def test_a_document_too_large_for_the_servers_settings_says_so(agent, proxy):
    proxy.fail("POST _bulk_docs", status(413, "document_too_large"))
    with pytest.raises(ValueTooLargeError, match="raise max_document_size"):
        agent.set("k", "x" * 1_000)


def test_no_request_is_begun_after_the_deadline(agent, backend, proxy, monkeypatch):
    """`clear` lists and removes until nothing is left."""
    agent.set_many({"a": 1, "b": 2})
    proxy.requests.clear()
    backend._session.client.event_hooks = {"response": [Clock(monkeypatch).advance]}
    with pytest.raises(DeadlineExceededError, match="max_seconds, which is 30 s"):
        agent.clear()
    assert len(proxy.requests) == 2
    monkeypatch.undo()
    assert agent.clear() in (0, 2)

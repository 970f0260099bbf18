"""The client's connections: which requests are repeated, what counts as an answer, and who may use a connection."""

import logging
import os
import socket
import ssl
import threading
import time
import traceback

import pytest

from datastore import (
    BackendUnavailableError,
    BackendUnusableError,
    ClosedError,
    ConfigurationError,
    DeadlineExceededError,
    PermissionDeniedError,
    deadlines,
)
from datastore.remote.addresses import Address
from datastore.remote.handover import Secret
from datastore.remote.transport import Reply, Stream, Transport
from datastore.urls import Url
from tests.patience import PATIENCE
from tests.remote.conftest import TOKEN
from tests.remote.scripted import END, OK, HangUpError, answer, chunked

# ------------------------------------------------------------------------------------------------------ one request


def test_a_request_has_the_token_and_only_a_write_a_key_of_its_own(scripted, client):
    server = scripted()
    transport = client(server)
    assert transport.ask("get", b"{}", writes=False) == Reply(200, OK)
    for _ in range(2):
        transport.ask("set", b'{"a":1}', writes=True)
    read, write, other = server.requests
    assert (read.path, write.path, write.body) == ("/v1/get", "/v1/set", b'{"a":1}')
    assert {request.headers["Authorization"] for request in server.requests} == {f"Bearer {TOKEN}"}
    assert "Idempotency-Key" not in read.headers
    keys = write.headers["Idempotency-Key"], other.headers["Idempotency-Key"]
    assert len(set(keys)) == 2
    assert all(len(bytes.fromhex(key)) == 16 for key in keys)
    assert not any("Datastore-Repeat" in request.headers for request in server.requests)


def test_calls_one_after_another_use_one_connection(scripted, client):
    server = scripted()
    transport = client(server)
    for _ in range(20):
        transport.ask("get", b"{}", writes=False)
    assert len(server.connections) == 1


def test_threads_at_once_have_connections_of_their_own_and_keep_a_few(scripted, client):
    together = threading.Barrier(12)

    def script(request):
        together.wait(PATIENCE)
        return answer(request.body)

    server = scripted(script)
    transport = client(server)
    answers = []

    def ask(number):
        body = b"%d" % number
        answers.append(transport.ask("get", body, writes=False).body == body)

    for _ in range(2):
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [True] * 24
    assert 12 < len(server.connections) <= 12 + 4  # 8 of the first 12 are kept


# ------------------------------------------------------------------------------------------------- what is repeated


def test_a_connection_that_the_server_has_closed_meanwhile_is_noticed_before_anything_is_sent(scripted, client):
    server = scripted()
    transport = client(server)
    transport.ask("get", b"{}", writes=False)
    server.hang_up(0)
    assert transport.ask("set", b"{}", writes=True).status == 200
    assert "Datastore-Repeat" not in server.requests[1].headers
    assert [request.connection for request in server.requests] == [0, 1]


@pytest.mark.parametrize("writes", [False, True])
def test_a_lost_answer_is_asked_for_again_with_the_same_key_and_who_may_have_done_it(scripted, client, writes):
    lost = [2, 3]

    def script(request):
        if len(server.requests) in lost:
            raise HangUpError
        return answer(instance="one" if request.connection == 0 else "other")

    server = scripted(script)
    transport = client(server)
    transport.ask("get", b"{}", writes=False)
    assert transport.ask("set", b"{}", writes=writes).status == 200
    first, second, third = server.requests[1:]
    if writes:
        assert "Datastore-Repeat" not in first.headers
        assert second.headers["Datastore-Repeat"] == third.headers["Datastore-Repeat"] == "one"
        assert len({request.headers["Idempotency-Key"] for request in (first, second, third)}) == 1
    else:
        assert not {"Datastore-Repeat", "Idempotency-Key"} & {*first.headers, *second.headers, *third.headers}


def test_a_write_that_nobody_knows_who_got_is_not_sent_again(scripted, client):
    def script(request):
        raise HangUpError

    server = scripted(script)
    with pytest.raises(BackendUnavailableError, match="may or may not have been made"):
        client(server).ask("set", b"{}", writes=True)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_what_the_server_refused_before_it_began_is_a_first_attempt_the_next_time(scripted, client, status):
    def script(request):
        if len(server.requests) == 1:
            return answer(b"{}", status, retry_after="0", instance="one")
        return answer(instance="one")

    server = scripted(script)
    assert client(server).ask("set", b"{}", writes=True) == Reply(200, OK)
    first, second = server.requests
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert "Datastore-Repeat" not in second.headers


def test_an_error_of_the_database_is_an_answer_and_not_repeated(scripted, client):
    server = scripted(lambda request: answer(b"{}", "503 Service Unavailable"))
    assert client(server).ask("get", b"{}", writes=False) == Reply(503, b"{}")
    assert len(server.requests) == 1


def test_a_refusal_for_longer_than_there_is_time_is_returned_at_once(scripted, client):
    server = scripted(lambda request: answer(b"{}", "429 Too Many Requests", retry_after="3600"))
    assert client(server).ask("get", b"{}", writes=False).status == 429
    assert len(server.requests) == 1


def test_a_server_that_is_not_there_yet_is_waited_for(scripted, client, tmp_path):
    address = Address(Url(f"http+unix://{tmp_path / 's'}"))
    transport = Transport(address, Secret(TOKEN), retry_seconds=60, warn_on_loop=False)
    starter = threading.Timer(0.2, scripted)
    starter.start()
    assert transport.ask("set", b"{}", writes=True).status == 200
    starter.join()
    transport.close()


def test_a_server_that_is_not_there_is_an_outage_and_nothing_was_sent(tmp_path):
    address = Address(Url(f"http+unix://{tmp_path / 'none'}"))
    transport = Transport(address, Secret(TOKEN), retry_seconds=0, warn_on_loop=False)
    with pytest.raises(BackendUnavailableError, match=r"nobody answers at the socket .*No such file.*nothing was sent"):
        transport.ask("set", b"{}", writes=True)


def test_a_lost_answer_and_then_a_dead_server_do_not_become_nothing_was_sent(scripted, client):
    def script(request):
        if len(server.requests) == 2:
            server._listener.shutdown(socket.SHUT_RDWR)
            raise HangUpError
        return answer(instance="one")

    server = scripted(script)
    transport = client(server, retry_seconds=0.2)
    transport.ask("get", b"{}", writes=False)
    with pytest.raises(BackendUnavailableError, match="may or may not have been made"):
        transport.ask("set", b"{}", writes=True)


# --------------------------------------------------------------------------------------------- what counts as an answer


def test_an_answer_that_is_cut_anywhere_is_no_answer(scripted, client):
    whole = answer(b'{"result": [1, 2, 3]}', instance="one")
    cuts = iter(range(len(whole)))

    def script(request):
        if request.path == "/v1/set":
            yield whole[: next(cuts)]
            raise HangUpError
        yield whole

    server = scripted(script)
    transport = client(server, retry_seconds=0)
    for _ in range(len(whole)):
        with pytest.raises(BackendUnavailableError, match="the answer was lost"):
            transport.ask("set", b"{}", writes=True)
    assert transport.ask("get", b"{}", writes=False).status == 200


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"HTTP/1.1 200 OK\r\n\r\n" + OK,  # nothing says where it ends
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + (b"A: " + b"b" * 60_000 + b"\r\n") * 3,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
    ],
    ids=["no end", "negative", "bad chunk", "no status", "not HTTP", "many headers", "long header", "endless 100"],
)
def test_what_is_not_an_answer_is_not_taken_for_one(scripted, client, bytes_sent):
    def script(request):
        yield bytes_sent
        raise HangUpError

    server = scripted(script)
    with pytest.raises(BackendUnavailableError, match="the answer was lost"):
        client(server, retry_seconds=0).ask("set", b"{}", writes=True)


def test_what_follows_an_answer_is_not_taken_for_the_next_one(scripted, client):
    def script(request):
        more = answer(b'{"result":"forged"}') if request.path == "/v1/a" else b""
        return answer(instance="one") + more

    server = scripted(script)
    transport = client(server)
    transport.ask("a", b"{}", writes=False)
    assert transport.ask("b", b"{}", writes=False).body == OK
    assert [request.connection for request in server.requests] == [0, 1]


def test_a_connection_that_the_server_is_about_to_close_is_not_used_again(scripted, client):
    server = scripted(lambda request: answer(Connection="close"))
    transport = client(server)
    for _ in range(2):
        transport.ask("get", b"{}", writes=False)
    assert [request.connection for request in server.requests] == [0, 1]


# ---------------------------------------------------------------------------------------------------------------- time


@pytest.mark.parametrize("pieces", [[], [b"HTTP/1.1 200 OK\r\n"], [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"]])
def test_a_server_that_does_not_go_on_is_not_waited_for_longer_than_the_call_has(scripted, client, pieces):
    over = threading.Event()

    def script(request):
        yield from pieces
        while not over.wait(0.02):
            yield b"A"  # a byte now and then does not buy more time

    server = scripted(script)
    transport = client(server)
    try:
        with deadlines.within(0.2), pytest.raises(DeadlineExceededError, match="max_seconds"):
            transport.ask("get", b"{}", writes=False)
    finally:
        over.set()


# ------------------------------------------------------------------------------------------------------------- streams


def read_all(stream: Stream) -> bytes:
    read = b""
    while piece := stream.read(time.monotonic() + 60):
        read += piece
    return read


def test_a_stream_is_read_piece_by_piece_and_its_connection_is_kept(scripted, client):
    go_on = threading.Event()

    def script(request):
        yield chunked(b"one\n")
        assert go_on.wait(PATIENCE)
        yield b"4\r\ntwo\n\r\n" + END

    server = scripted(script)
    transport = client(server)
    stream = transport.stream("iter_records", b"{}")
    assert stream.read(time.monotonic() + 60) == b"one\n"
    go_on.set()
    assert read_all(stream) == b"two\n"
    stream.close()
    other = transport.stream("iter_records", b"{}")
    read_all(other)
    other.close()
    assert [request.connection for request in server.requests] == [0, 0]


def test_a_stream_that_is_cut_anywhere_is_an_error(scripted, client):
    whole = chunked(b"one\n", b"two\n") + END
    lengths = range(len(chunked()), len(whole) - len(END) + 1)  # from there on only the end itself can be cut
    cuts = iter(lengths)

    def script(request):
        yield whole[: next(cuts)]
        raise HangUpError

    server = scripted(script)
    transport = client(server, retry_seconds=0)
    for _ in lengths:
        stream = transport.stream("iter_records", b"{}")
        with pytest.raises(BackendUnavailableError, match="the answer was lost"):
            read_all(stream)
        stream.close()


def test_a_stream_that_is_dropped_closes_its_connection(scripted, client):
    server = scripted(lambda request: iter([chunked(b"one\n")]) if request.path == "/v1/iter_records" else answer())
    transport = client(server)
    transport.stream("iter_records", b"{}").close()
    transport.ask("get", b"{}", writes=False)
    assert [request.connection for request in server.requests] == [0, 1]


def test_closing_ends_a_stream(scripted, client):
    server = scripted(lambda request: iter([chunked(b"one\n")]))
    transport = client(server)
    stream = transport.stream("iter_records", b"{}")
    transport.close()
    with pytest.raises(ClosedError):
        stream.read(time.monotonic() + 60)
    with pytest.raises(ClosedError):
        transport.ask("get", b"{}", writes=False)
    stream.close()


# --------------------------------------------------------------------------------------------------------------- forks


def in_a_child(function) -> str:
    """Call a function in a forked child, and return what it returns."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = function()
        except BaseException as error:  # noqa: BLE001 - told to the parent
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as reader:
        said = reader.read().decode()
    os.waitpid(child, 0)
    return said


def test_a_child_opens_connections_of_its_own_and_leaves_the_parents_alone(scripted, client):
    server = scripted()
    transport = client(server)
    transport.ask("get", b"{}", writes=False)

    def child():
        for _ in range(2):
            transport.ask("get", b"{}", writes=False)
        transport.close()
        return "done"

    assert in_a_child(child) == "done"
    transport.ask("get", b"{}", writes=False)
    assert [request.connection for request in server.requests] == [0, 1, 1, 0]


def test_a_child_cannot_go_on_with_a_stream_of_its_parent(scripted, client):
    go_on = threading.Event()

    def script(request):
        yield chunked(b"one\n")
        assert go_on.wait(PATIENCE)
        yield b"4\r\ntwo\n\r\n" + END

    server = scripted(script)
    transport = client(server)
    stream = transport.stream("iter_records", b"{}")
    stream.read(time.monotonic() + 60)

    def child():
        try:
            stream.read(time.monotonic() + 60)
        except BackendUnusableError as error:
            stream.close()
            return str(error)
        return "read"

    assert "before the process forked" in in_a_child(child)
    go_on.set()
    assert read_all(stream) == b"two\n"


# ------------------------------------------------------------------------------------------------------ the token, TLS


def test_no_error_and_no_log_shows_the_token(scripted, client, caplog):
    def script(request):
        raise HangUpError

    caplog.set_level(logging.DEBUG)
    transport = client(scripted(script), retry_seconds=0)
    with pytest.raises(BackendUnavailableError) as raised:
        transport.ask("set", b"{}", writes=True)
    assert TOKEN not in "".join(traceback.format_exception(raised.value)) + caplog.text + repr(Secret(TOKEN))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http+unix://", "absolute path"),
        ("http+unix://run/store.sock", "absolute path"),
        ("http://store:8000", "sends the token in clear text to store"),
        ("http://127.0.0.1.example.com", "sends the token in clear text"),
        ("http://127.0.0.1:0", "it must be from 1 to 65535"),
        ("http://127.0.0.1:99999", "it must be from 1 to 65535"),
        ("http://", "needs a host"),
        ("http://a b", "needs a host"),
        ("http://127.0.0.1\r\nX: y", "needs a host"),
        ("http://127.0.0.1/a%0d%0ab", "only letters, digits"),
        ("https://user:secret@host", "token_file"),
        ("https://host?cafile=/none.pem", "'cafile' names no file"),
        ("http://127.0.0.1?cafile=x", "has no parameter 'cafile'"),
        ("http+unix:///s?rot=/x", r"has no parameter 'rot' \(did you mean 'root'"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(url, words):
    with pytest.raises(ConfigurationError, match=words) as raised:
        Address(Url(url))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1", "http://localhost:1/a/b", "http://[::1]:80", "http://127.8.9.1/"])
def test_this_machine_needs_no_tls(url):
    Address(Url(url))


def test_a_server_without_tls_is_not_an_outage(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak():
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.recv(1000)

        thread = threading.Thread(target=speak)
        thread.start()
        address = Address(Url(f"https://127.0.0.1:{listener.getsockname()[1]}"))
        transport = Transport(address, Secret(TOKEN), retry_seconds=60, warn_on_loop=False)
        with pytest.raises(ConfigurationError, match="does not speak TLS"):
            transport.ask("get", b"{}", writes=False)
        thread.join()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_a_socket_of_somebody_else_is_no_outage(scripted, client, tmp_path):
    server = scripted()
    (tmp_path / "s").chmod(0)
    with pytest.raises(PermissionDeniedError, match="refuses access to the socket"):
        client(server).ask("get", b"{}", writes=False)


def test_a_path_that_is_too_long_for_a_socket_is_said(tmp_path):
    address = Address(Url(f"http+unix:///{'x' * 200}"))
    with pytest.raises(ConfigurationError, match="too long for a socket"):
        Transport(address, Secret(TOKEN), retry_seconds=60, warn_on_loop=False).ask("get", b"{}", writes=False)


def test_a_proxy_of_the_environment_is_not_asked(scripted, client, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert client(scripted()).ask("get", b"{}", writes=False).status == 200


def test_a_certificate_must_be_trusted_and_of_the_host():
    context = Address(Url("https://host"))._context
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED

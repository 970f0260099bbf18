"""A `get` that is answered while its request is parsed: the same answer as any other way, and nothing out of order."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
import uvicorn
from uvicorn.server import ServerState

from datastore.ids import encode_key
from datastore.server import ConnectionLimits, ServerLimits, create_app
from datastore.server.prompt import PromptProtocol, protocol_for
from tests.patience import PATIENCE
from tests.server.serving import served

LARGE = "x" * 100_000  # more than `ServerLimits.at_once_bytes`


def request(token: str, arguments: object, call: str = "get", more: str = "", **headers: str) -> bytes:
    body = json.dumps({"arguments": arguments}) + more
    lines = {
        "Host": "localhost",
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body.encode())),
    }
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in (lines | headers).items() if value)
    return f"POST /v1/{call} HTTP/1.1\r\n{head}\r\n{body}".encode()


def answers(connection: socket.socket, number: int) -> list[tuple[bytes, dict[bytes, bytes], bytes]]:
    """Return the status, the headers and the body of some answers."""
    found = []
    with connection.makefile("rb") as file:
        for _ in range(number):
            status = file.readline().strip()
            headers = {}
            while line := file.readline().strip():
                name, _, value = line.partition(b": ")
                headers[name] = value
            found.append((status, headers, file.read(int(headers[b"content-length"]))))
    return found


@pytest.fixture
def server(store, tmp_path):
    """A server that knows a token for as long as a test takes: where it looks one up, a `get` is left to a worker."""
    with served(store, tmp_path, ServerLimits(token_seconds=600)) as server:
        yield server


@pytest.fixture
def connection(server):
    with socket.socket(socket.AF_UNIX) as opened:
        opened.settimeout(PATIENCE)
        opened.connect(server.path)
        yield opened


def test_a_small_record_is_read_without_a_worker_and_a_large_one_by_one(store, connection, token):
    store.host("ann").set_many({"small": 1, "large": LARGE})
    connection.sendall(request(token, {"key": "small"}))  # the token is looked up
    assert answers(connection, 1)[0][2] == b'{"result":{"found":true,"value":1}}'
    read, keys = store.backend.read, []
    store.backend.read = lambda ids, fields: keys.extend(ids) or read(ids, fields)
    for key, value in (("small", 1), ("missing", None), ("large", LARGE)):
        connection.sendall(request(token, {"key": key}))
        assert json.loads(answers(connection, 1)[0][2])["result"].get("value") == value
    assert [key for key in keys if not key.startswith(":")] == [f"ann:default:{encode_key('large')}"]
    assert store.host("ann").get_record("small").access_count == 2


REQUESTS = {
    "hit": {"arguments": {"key": "k"}},
    "miss": {"arguments": {"key": "missing"}},
    "expired": {"arguments": {"key": "old"}},
    "not a key": {"arguments": {"key": 7}},
    "no key": {"arguments": {}},
    "another argument": {"arguments": {"key": "k", "colour": "red"}},
    "not an object": {"arguments": []},
    "not json": {"arguments": {"key": "k"}, "more": "}"},
    "no token": {"arguments": {"key": "k"}, "Authorization": ""},
    "forged": {"arguments": {"key": "k"}, "Authorization": "Bearer dst_" + "A" * 43},
    "another host": {"arguments": {"key": "k"}, "Host": "evil.example"},
    "an origin": {"arguments": {"key": "k"}, "Origin": "https://evil.example"},
    "another type": {"arguments": {"key": "k"}, "Content_Type": "text/plain"},
    "compressed": {"arguments": {"key": "k"}, "Content_Encoding": "gzip"},
    "a type of its own": {"arguments": {"key": "k", "touch": 60}},
    "a long body": {"arguments": {"key": "k" * 5_000}},
    "twice": {"arguments": {"key": "k"}, "host": "localhost"},
}


@pytest.mark.parametrize("asked", REQUESTS.values(), ids=REQUESTS.keys())
def test_the_answer_is_that_of_the_ordinary_way(store, tmp_path, token, asked):
    data_store = store.host("ann")
    data_store.set("k", {"a": [1, 2.5, None, "é"]})
    data_store.set("old", 1, ttl=1e-6)
    told = []
    for limits in (ServerLimits(), ServerLimits(at_once_bytes=0)):
        with served(store, tmp_path, limits=limits) as server, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(server.path)
            for _ in range(2):  # the second time the token is known
                connection.sendall(request(token, **asked))
                ((status, headers, body),) = answers(connection, 1)
                headers = {
                    name: value for name, value in headers.items() if name not in (b"date", b"datastore-instance")
                }
                told.append((status, headers, body))
                if b"connection" in headers:
                    break
    half = len(told) // 2
    assert told[:half] == told[half:]


def test_requests_in_one_packet_are_answered_in_their_order(connection, token):
    gets = [request(token, {"key": "n"})] * 3
    sets = [request(token, {"key": "n", "value": number}, "set") for number in range(3)]
    connection.sendall(b"".join(one for pair in zip(gets, sets, strict=True) for one in pair) + gets[0])
    bodies = [json.loads(body)["result"] for _, _, body in answers(connection, 7)]
    assert bodies[::2] == [{"found": False}, *({"found": True, "value": number} for number in range(3))]


def test_a_request_in_pieces_is_answered(connection, token):
    whole = request(token, {"key": "n"})
    for pieces in ([bytes([one]) for one in whole], [whole[:-5], whole[-5:] + whole[:40], whole[40:]]):
        for piece in pieces:
            connection.sendall(piece)
    assert [body for _, _, body in answers(connection, 3)] == [b'{"result":{"found":false}}'] * 3


class Pipe(asyncio.Transport):
    """What a protocol writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = list[bytes]()
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None: ...

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def test_an_idle_connection_is_not_taken_for_one_with_half_a_head(store, token):
    async def main() -> None:
        application = create_app(store, limits=ServerLimits(token_seconds=600))
        holder = await application.access.holder(f"Bearer {token}".encode())
        holder.store(None)
        kind = protocol_for(application, ConnectionLimits(), 1_000)
        protocol = kind(uvicorn.Config(application, http=kind, lifespan="off"), ServerState(), {})
        pipe = Pipe()
        protocol.connection_made(pipe)
        whole = request(token, {"key": "k"})
        for _ in range(3):
            await asyncio.sleep(0)  # the next round
            protocol.data_received(whole)
            assert protocol._is_late is None
            assert protocol.timeout_keep_alive_task is not None  # it is closed when it has been idle for long
        assert len(pipe.written) == 3, "an answer is one packet"
        await asyncio.sleep(0)
        protocol.data_received(whole + whole[:10])
        assert len(pipe.written) == 4
        assert protocol._is_late is not None, "a head that has begun must end in time"
        await asyncio.sleep(0)
        protocol.data_received(whole[10:])
        assert len(pipe.written) == 5
        assert protocol._is_late is None
        assert not protocol.tasks, "no task was made"
        protocol.connection_lost(None)
        application.stop()

    asyncio.run(main())


class Served:
    """Connections of some tokens to one server, on the running loop."""

    def __init__(self, store, tokens: list[str]) -> None:
        self.application = create_app(store, limits=ServerLimits(token_seconds=600))
        self._tokens = tokens
        self._kind = protocol_for(self.application, ConnectionLimits(), 1_000)
        self._config = uvicorn.Config(self.application, http=self._kind, lifespan="off")

    async def begin(self) -> Served:
        for token in self._tokens:
            holder = await self.application.access.holder(f"Bearer {token}".encode())
            holder.store(None)
        return self

    def connect(self) -> tuple[PromptProtocol, Pipe]:
        protocol, pipe = self._kind(self._config, ServerState(), {}), Pipe()
        protocol.connection_made(pipe)
        return protocol, pipe


def test_in_each_round_one_request_of_each_token_is_answered(store, token):
    other = store.tokens.mint("bob", "reader")

    async def main() -> None:
        served = await Served(store, [token, other]).begin()
        many = [served.connect() for _ in range(4)]
        gone, one = served.connect(), served.connect()
        for protocol, _ in [*many[:2], gone, *many[2:]]:
            protocol.data_received(request(token, {"key": "k"}))
        one[0].data_received(request(other, {"key": "k"}))
        assert [len(pipe.written) for _, pipe in many] == [1, 0, 0, 0]
        assert len(one[1].written) == 1, "it has not waited for those of another token"
        gone[0].connection_lost(None)
        for number in (2, 3, 4):
            one[0].data_received(request(other, {"key": "k"}))
            await asyncio.sleep(0)
            assert [len(pipe.written) for _, pipe in many] == [1] * number + [0] * (4 - number)
            assert len(one[1].written) == number
        assert not gone[1].written
        assert not any(protocol.tasks for protocol, _ in many)
        assert all(protocol._is_late is None for protocol, _ in many), "a connection that has been answered may be idle"
        served.application.stop()

    asyncio.run(main())


def test_a_fault_ends_its_own_connection_and_not_the_turns_of_others(store, token, monkeypatch):
    others = [store.tokens.mint(name, "reader") for name in ("bob", "eve")]

    async def main() -> None:
        served = await Served(store, [token, *others]).begin()
        answer, told = served.application.answer_at_once, list[BaseException]()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))
        first = [served.connect() for _ in range(3)]
        second = [served.connect() for _ in range(3)]
        for connections in (first, second):
            for (protocol, _), one in zip(connections, (token, *others), strict=True):
                protocol.data_received(request(one, {"key": "k"}))
        failing = [RuntimeError("a fault")]
        monkeypatch.setattr(
            served.application, "answer_at_once", lambda *asked: raised(failing.pop()) if failing else answer(*asked)
        )
        await asyncio.sleep(0)
        assert [len(pipe.written) for _, pipe in second] == [0, 1, 1]
        assert [pipe.aborted for _, pipe in second] == [True, False, False]
        assert [str(error) for error in told] == ["a fault"]
        second[0][0].connection_lost(None)
        served.application.stop()

    asyncio.run(main())


def raised(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("at_once", [True, False], ids=["read at once", "left to a worker"])
def test_who_does_not_wait_for_an_answer_has_no_more_turns(store, token, monkeypatch, at_once):
    async def main() -> None:
        served = await Served(store, [token]).begin()
        if not at_once:
            monkeypatch.setattr(served.application, "answer_at_once", lambda holder, body: None)
        (first, _), (hasty, pipe) = served.connect(), served.connect()
        whole = request(token, {"key": "k"})
        first.data_received(whole)
        hasty.data_received(whole)
        assert not pipe.written
        hasty.data_received(whole)
        hasty.data_received(whole)
        while hasty.tasks or first.tasks:
            await asyncio.sleep(0)
        text = b"".join(pipe.written)
        assert text.count(b"HTTP/1.1 200 OK") == text.count(b'{"found":false}') == 3
        served.application.stop()

    asyncio.run(main())

"""A server for tests, in a thread, and a client that says exactly what it is told to."""

from __future__ import annotations

import http.client
import json
import secrets
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datastore import DataStore
from datastore.server import ConnectionLimits, ServerLimits, serve
from datastore.wire import INSTANCE, KEY, REPEAT
from tests.patience import PATIENCE


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float = PATIENCE) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass
class Answered:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def result(self) -> Any:
        assert self.status == 200, self.body
        return self.json["result"]

    @property
    def items(self) -> list[Any]:
        assert self.status == 200, self.body
        *some, last = map(json.loads, self.body.splitlines())
        items = [item for line in some for item in line["items"]]
        assert last["end"]["items"] == len(items)
        return items

    @property
    def error(self) -> str:
        assert self.status >= 400, self.body
        return self.json["error"]["type"]


class Client:
    """Speaks to a server over one connection."""

    def __init__(self, path: str, token: str | None, timeout: float = PATIENCE) -> None:
        self.path = path
        self.token = token
        self.connection = UnixConnection(path, timeout)

    def call(
        self,
        call: str,
        arguments: Any = None,
        *,
        namespace: str | None = None,
        headers: dict[str, str] | None = None,
        body: Any = None,
        method: str = "POST",
    ) -> Answered:
        given = {"Content-Type": "application/json"}
        if self.token is not None:
            given["Authorization"] = f"Bearer {self.token}"
        given |= headers or {}
        if body is None:
            body = json.dumps({"namespace": namespace, "arguments": arguments or {}})
        self.connection.request(method, f"/v1/{call}", body, {k: v for k, v in given.items() if v is not None})
        response = self.connection.getresponse()
        return Answered(response.status, response.headers, response.read())

    def once(self, call: str, arguments: Any, key: str, repeat: str | None = None) -> Answered:
        """Make a call with an idempotency key."""
        return self.call(call, arguments, headers={KEY: key} | ({} if repeat is None else {REPEAT: repeat}))

    def get(self, path: str, **headers: str) -> Answered:
        self.connection.request("GET", path, headers=headers)
        response = self.connection.getresponse()
        return Answered(response.status, response.headers, response.read())

    @property
    def instance(self) -> str:
        return self.call("whoami").headers[INSTANCE]

    def close(self) -> None:
        self.connection.close()


def new_key() -> str:
    return secrets.token_urlsafe(16)


@dataclass
class Served:
    store: DataStore
    path: str
    opened: list[Any] = field(default_factory=list)
    """What is closed at the end."""

    def client(self, token: str | None, timeout: float = PATIENCE) -> Client:
        client = Client(self.path, token, timeout)
        self.opened.append(client)
        return client

    def raw(self, data: bytes = b"", timeout: float = PATIENCE) -> socket.socket:
        """Open a connection, and send some bytes."""
        connection = socket.socket(socket.AF_UNIX)
        self.opened.append(connection)
        connection.settimeout(timeout)
        connection.connect(self.path)
        connection.sendall(data)
        return connection


def closed(connection: socket.socket) -> bytes:
    """Read until the server closes the connection, and return what it has said."""
    said = b""
    try:
        while part := connection.recv(65_536):
            said += part
    except ConnectionError:
        pass
    return said


@contextmanager
def served(
    store: DataStore,
    directory: Path,
    limits: ServerLimits | None = None,
    connections: ConnectionLimits | None = None,
    **options: Any,
):
    """Serve a store on a Unix socket while the block runs."""
    path = str(directory / "s.sock")
    is_ready, until = threading.Event(), threading.Event()
    failures = list[BaseException]()

    def run() -> None:
        try:
            serve(
                store,
                uds=path,
                limits=limits,
                connections=connections,
                ready=lambda _: is_ready.set(),
                until=until,
                **options,
            )
        except BaseException as error:  # noqa: BLE001 - raised in the test
            failures.append(error)
            is_ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        assert is_ready.wait(PATIENCE)
        if failures:
            raise failures[0]
        server = Served(store, path)
        yield server
        for one in server.opened:
            one.close()
    finally:
        until.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()

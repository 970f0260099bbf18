"""A server that answers as a test says, byte for byte, and notes what it is asked."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.patience import PATIENCE

OK = b'{"result":1}'


class Request(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """The number of the connection, in the order in which they were accepted."""


def answer(body: bytes = OK, status: str = "200 OK", **headers: str) -> bytes:
    """Return an answer; `instance="x"` becomes the header `Datastore-Instance: x`."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    names = {"instance": "Datastore-Instance", "retry_after": "Retry-After"}
    lines += [f"{names.get(name, name.replace('_', '-'))}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*pieces: bytes, **headers: str) -> bytes:
    """Return the beginning of an answer in pieces, without its end."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


END = b"0\r\n\r\n"


class HangUpError(Exception):
    """Raised by a script: close the connection without another byte."""


class Scripted:
    """Calls ``script`` with each request; it returns the bytes to send, or a generator that yields them."""

    def __init__(self, path: Path, script: Callable[[Request], bytes | Iterator[bytes]]) -> None:
        self.requests: list[Request] = []
        self.script = script
        self.connections: list[socket.socket] = []
        self.url = f"http+unix://{path}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            number = len(self.connections)
            self.connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection, number))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, HangUpError), connection.makefile("rb") as reader:
            while line := reader.readline():
                headers = {}
                while (header := reader.readline().strip()) != b"":
                    name, _, value = header.decode().partition(": ")
                    headers[name] = value
                body = reader.read(int(headers["Content-Length"]))
                request = Request(line.decode().split()[1], headers, body, number)
                self.requests.append(request)
                made = self.script(request)
                for piece in [made] if isinstance(made, bytes) else made:
                    connection.sendall(piece)
        self.hang_up(number)

    def is_hung_up(self, number: int) -> bool:
        """Wait until a connection is closed, and return whether it is."""
        thread = self._threads[1 + number]
        thread.join(PATIENCE)
        return not thread.is_alive()

    def hang_up(self, number: int) -> None:
        """Close a connection."""
        connection = self.connections[number]
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for number in range(len(self.connections)):
            self.hang_up(number)
        for thread in self._threads:
            thread.join()

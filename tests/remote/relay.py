"""Stands between client and server, and breaks the connection where a test says."""

import contextlib
import socket
import threading
from pathlib import Path


class Relay:
    """Hands on what it gets, until the limit of a direction is reached: then both connections are closed.

    Attributes:
        request: How many more bytes are handed on to the server; ``None`` for all.
        answer: How many more bytes are handed back to the client; ``None`` for all.
    """

    def __init__(self, path: Path, server: str) -> None:
        self.url = f"http+unix://{path}"
        self.request: int | None = None
        self.answer: int | None = None
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            self._pairs.append((client, server))
            for source, sink, limit in ((client, server, "request"), (server, client, "answer")):
                thread = threading.Thread(target=self._hand_on, args=(source, sink, limit, (client, server)))
                self._threads.append(thread)
                thread.start()

    def _hand_on(self, source, sink, limit, pair) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                left = getattr(self, limit)
                if left is not None and left < len(data):
                    setattr(self, limit, None)  # the next connection is left alone
                    sink.sendall(data[:left])
                    break
                sink.sendall(data)
                if left is not None:
                    setattr(self, limit, left - len(data))
        self._break(pair)

    def _break(self, pair) -> None:
        for one in pair:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pair in self._pairs:
            self._break(pair)
        for thread in self._threads:
            thread.join()

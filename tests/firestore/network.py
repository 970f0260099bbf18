"""A network that can be cut: everything passes through here on its way to the emulator."""

import contextlib
import functools
import socket
import threading

from tests.servers.firestore import server
from tests.servers.processes import HOST


class Network:
    """Forwards connections on a port of its own to another, until it is cut."""

    def __init__(self, target: int):
        self.target = target
        self.port = 0
        self.received = 0
        """Bytes that came back from the target."""
        self._cut_at = None
        self._listener = None
        self._open = set()
        self._lock = threading.Lock()
        self.restore()

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    def restore(self):
        """Listen again, on the same port."""
        self._listener = socket.create_server((HOST, self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self):
        """Refuse new connections and end those that are open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.end_connections()

    def cut_after(self, number):
        """End the connections when so many more bytes have come back; what is behind them is lost."""
        self._cut_at = self.received + number

    def end_connections(self):
        """End those that are open; new ones are taken."""
        with self._lock:
            ends, self._open = self._open, set()
        for end in ends:
            _close(end)

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection((HOST, self.target))
            except OSError:
                _close(near)
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink, source is far), daemon=True).start()

    def _pump(self, source, sink, back):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if back:
                    data = self._count(data)
                sink.sendall(data)
                if back and self._cut_at is not None and self.received >= self._cut_at:
                    self._cut_at = None
                    self.end_connections()
        with self._lock:
            self._open -= {source, sink}
        _close(source)
        _close(sink)

    def _count(self, data):
        """Return of what has come back what may pass."""
        if self._cut_at is not None:
            data = data[: self._cut_at - self.received]
        self.received += len(data)
        return data


@functools.cache
def to_the_emulator() -> Network:
    """Return the way to the emulator of this session, which is started."""
    return Network(server().port)


def _close(end):
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()

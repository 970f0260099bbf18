"""What passes between the client's connections and the server, with faults to let happen."""

import threading
from collections import deque

from redis import Connection
from redis import exceptions as client

from datastore_redis import client as adapter


class Wire:
    """Notes the commands of each request, as they are packed.

    Attributes:
        requests: The names of the commands of each request.
    """

    def __init__(self, monkeypatch):
        self.requests = []
        self.faults = deque()
        self.meanwhile = lambda: None
        pack, read = adapter.packed, Connection.read_response
        send = Connection.send_packed_command
        left, now = {}, threading.local()

        def packed(commands):
            commands = list(commands)
            self.requests.append([command[0] for command in commands])
            now.packed = len(commands)
            return pack(commands)

        def send_packed_command(connection, command, check_health=True):
            if getattr(now, "packed", 0):
                left[connection], now.packed = now.packed, 0
            if left.get(connection) and self.faults and self.faults[0] == "unsent":
                self.faults.popleft()
                raise client.ConnectionError("the connection is cut")
            return send(connection, command, check_health)

        def read_response(connection, *arguments, **options):
            answer, error = None, None
            try:
                answer = read(connection, *arguments, **options)
            except client.ResponseError as refused:
                error = refused
            number = left.pop(connection, 0)
            if number > 1:
                left[connection] = number - 1
            elif (
                number and self.faults and self.faults.popleft() == "unanswered"
            ):  # the server is done with all of them
                self.meanwhile()
                raise client.TimeoutError("no answer in time")
            if error is not None:
                raise error
            return answer

        monkeypatch.setattr(adapter, "packed", packed)
        monkeypatch.setattr(Connection, "send_packed_command", send_packed_command)
        monkeypatch.setattr(Connection, "read_response", read_response)

    def meet(self, *faults, meanwhile=None):
        """Let these happen to the next requests: ``unsent``, ``unanswered`` after it was carried out, or ``None``."""
        self.faults.extend(faults)
        if meanwhile is not None:
            self.meanwhile = meanwhile

    def of(self, call):
        """Return how many requests a call takes."""
        self.requests.clear()
        call()
        return len(self.requests)

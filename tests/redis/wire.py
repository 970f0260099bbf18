"""What passes between redis-py's connections and the server: commands, as they are packed."""

import threading

from redis import Connection
from redis import exceptions as client

from datastore_redis import client as adapter
from tests.adapters import connections


class Wire(connections.Wire):
    """Notes the names of the commands of each request."""

    def __init__(self, monkeypatch):
        super().__init__()
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

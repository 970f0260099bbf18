"""What a client sends, seen and answered at the last moment before it would leave."""

import json


class Wire:
    """Notes what is sent, by the name of the operation, and sends faults back in place of answers."""

    def __init__(self, client):
        self.requests = []
        self._faults = []
        client.meta.events.register("before-send.dynamodb", self._before_send)

    @property
    def operations(self):
        return [operation for operation, _ in self.requests]

    def fail(self, *faults, operation=None, forever=False):
        """Answer the next requests (of one operation) with faults: exceptions, or functions that make an answer."""
        self._faults += [[operation, fault, forever] for fault in faults]

    def heal(self):
        self._faults.clear()

    def _before_send(self, request, **_):
        operation = request.headers["X-Amz-Target"]
        operation = (operation.decode() if isinstance(operation, bytes) else operation).rpartition(".")[2]
        body = json.loads(request.body)
        self.requests.append((operation, body))
        for entry in self._faults:
            if entry[0] in (None, operation):
                if not entry[2]:
                    self._faults.remove(entry)
                if isinstance(entry[1], Exception):
                    raise entry[1]
                return entry[1](request, body)
        return None

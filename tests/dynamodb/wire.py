"""Sees and answers what a client sends, just before it would leave, and changes what the client receives."""

import json
import threading
from contextlib import contextmanager
from unittest.mock import patch

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session

from tests.dynamodb.answers import Raw


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
        operation = operation_of(request)
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


def operation_of(request):
    """The name of the operation that a request asks for."""
    target = request.headers["X-Amz-Target"]
    return (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]


@contextmanager
def after_each_answer(change):
    """Carry out all requests of this process, and hand on what ``change(session, request, answer)`` returns."""
    send = URLLib3Session.send

    def send_and_change(session, request):
        return change(session, request, send(session, request))

    with patch.object(URLLib3Session, "send", send_and_change):
        yield


@contextmanager
def every_third_answer_lost():
    """Lose the third answer that each client gets, the sixth and so on, whichever request it belongs to.

    Yields the numbers of answers, and of those lost, so far.
    """
    counts, numbers, guard = {"answers": 0, "lost": 0}, {}, threading.Lock()

    def lose(session, request, answer):
        with guard:
            number = numbers[session] = numbers.get(session, 0) + 1
            counts["answers"] += 1
            if number % 3:
                return answer
            counts["lost"] += 1
        raise ConnectionClosedError(endpoint_url=request.url)

    with after_each_answer(lose):
        yield counts


def changed(request, answer, content, **headers):
    """An answer with another body, and headers that are replaced, or removed where they are ``None``."""
    named = {name.lower(): value for name, value in answer.headers.items()}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    kept = {name: value for name, value in named.items() if value is not None}
    return AWSResponse(request.url, answer.status_code, kept, Raw(content))

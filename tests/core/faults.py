"""A backend that fails as it is told to, around one that works."""

from collections import deque
from copy import copy
from dataclasses import replace

from datastore.backend import Backend, Outcome
from datastore_memory import MemoryBackend


class FaultyBackend(Backend):
    """Passes every call on, unless a fault is waiting for its method: an error to raise instead, or a function.

    A fault that is a function gets the method and its arguments, and answers in its place.
    """

    def __init__(self, inner=None):
        self.inner = inner or MemoryBackend()
        self.name = self.inner.name
        self.capabilities = replace(self.inner.capabilities, abilities=self.overridden())
        self.calls = []
        self.faults = {}

    def fail(self, method, *faults):
        self.faults[method] = deque(faults)

    def _pass(self, name, *arguments):
        self.calls.append(name)
        method = getattr(self.inner, name)
        if self.faults.get(name):
            fault = self.faults[name].popleft()
            if isinstance(fault, Exception):
                raise copy(fault)  # like a client, which makes a new error each time
            return fault(method, *arguments)
        return method(*arguments)

    def read(self, ids, fields):
        return self._pass("read", ids, fields)

    def write(self, writes):
        return self._pass("write", writes)

    def scan(self, range, fields, limit, after=None, reverse=False):
        return self._pass("scan", range, fields, limit, after, reverse)

    def record_access(self, accesses):
        return self._pass("record_access", accesses)

    def close(self):
        self._pass("close")


def losing_the_answer(error):
    """The call takes effect, and its answer never arrives."""

    def fault(method, *arguments):
        method(*arguments)
        raise copy(error)

    return fault


def refusing(keys, error):
    """Each write to one of the keys fails; the others are done."""

    def fault(method, writes):
        return [Outcome(False, error=copy(error)) if write.key in keys else method([write])[0] for write in writes]

    return fault

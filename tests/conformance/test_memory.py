"""The kit on the memory backend, which cannot have an outage and whose data ends with the process."""

from datastore.conformance import ConformanceSuite, Harness


class MemoryHarness(Harness):
    name = "memory"

    def url(self) -> str:
        return "memory://"


class TestMemory(ConformanceSuite):
    harness = MemoryHarness

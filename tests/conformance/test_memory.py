"""The kit on the memory backend, which cannot be away and whose data dies with it."""

from datastore.conformance import ConformanceSuite, Harness


class MemoryHarness(Harness):
    name = "memory"

    def url(self) -> str:
        return "memory://"


class TestMemory(ConformanceSuite):
    harness = MemoryHarness

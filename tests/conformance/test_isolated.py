"""The kit on tenants' databases: what a backend can do, it can also do with ``isolation="database"``."""

from datastore.conformance import ConformanceSuite, Harness


class IsolatedHarness(Harness):
    name = "isolated"

    def url(self) -> str:
        return "sqlite://:memory:?isolation=database"


class TestIsolated(ConformanceSuite):
    harness = IsolatedHarness

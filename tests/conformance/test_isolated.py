"""The kit on databases of tenants: what a backend can do alone, it can do behind ``isolation="database"``."""

from datastore.conformance import ConformanceSuite, Harness


class IsolatedHarness(Harness):
    name = "isolated"

    def url(self) -> str:
        return "sqlite://:memory:?isolation=database"


class TestIsolated(ConformanceSuite):
    harness = IsolatedHarness

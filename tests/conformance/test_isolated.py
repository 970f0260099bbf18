"""The kit on tenants' databases: what a backend can do, it can also do with ``isolation="database"``."""

from datastore.conformance import ConformanceSuite, Harness
from tests.full import EXAMPLES_OF_A_VARIANT


class IsolatedHarness(Harness):
    name = "isolated"
    examples = EXAMPLES_OF_A_VARIANT

    def url(self) -> str:
        return "sqlite://:memory:?isolation=database"


class TestIsolated(ConformanceSuite):
    harness = IsolatedHarness

"""The kit on databases of customers: what a backend can do alone, it can do behind ``isolation="database"``."""

from typing import ClassVar

from datastore.conformance import ConformanceSuite, Harness
from datastore.conformance.topics.customers import Customers


class IsolatedHarness(Harness):
    name = "isolated"
    differs: ClassVar = {
        name: "it is about opening such a store beside a shared one, and this one is isolated already"
        for name in vars(Customers)
        if name.startswith("test_")
    }

    def url(self) -> str:
        return "sqlite://:memory:?isolation=database"


class TestIsolated(ConformanceSuite):
    harness = IsolatedHarness

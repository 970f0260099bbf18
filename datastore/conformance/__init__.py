"""The conformance kit: what every backend must do, as tests that an adapter author runs until they are green.

An adapter's whole test file is one class that opens the database, and one more line::

    from pathlib import Path
    from datastore.conformance import ConformanceSuite, Harness

    class MyHarness(Harness):
        name = "mydb"                      # what the report calls the backend

        def url(self) -> str:              # a fresh, empty database for this one test
            return f"mydb://localhost/{uuid4().hex}"

        def outage(self, store):           # optional: a context manager during which the database cannot be reached
            return my_proxy.cut_off()

    class TestMyDatabase(ConformanceSuite):
        harness = MyHarness

If there is no URL scheme yet, override `Harness.open` instead of `url`. The adapter's `Capabilities` select the tests:
what is declared must work, and what is not declared must not exist. A test that does not apply is reported as such,
with the ability that is missing.

The kit needs pytest, and Hypothesis for its property tests. Load the plugin in the top-level ``conftest.py``::

    pytest_plugins = ["datastore.conformance.plugin"]

It prints a report by backend and topic, and lets ``-k`` select topics by name (``pytest -k "mydb and expiry"``). Name
each backend that must run in the ini option ``conformance_backends``. If one of them does not run, or does not run
every test of the kit, a complete run fails: nothing is skipped silently. The levels of the report:

``full``
    Every test passed, and every test applied.
``core``
    Every test that applied passed, but some abilities are missing (``persistent``, ``shared``, an optional method, or
    an outage that the harness can cause).
``partial``
    Nothing failed, but only some of the tests ran.
``failed``
    Something failed.
"""

import pytest

# Registered before the topics are imported, so that a failing assert shows its values.
pytest.register_assert_rewrite("datastore.conformance.topics")

from datastore.conformance.harness import Harness  # noqa: E402 - imported after the registration
from datastore.conformance.suite import ConformanceSuite  # noqa: E402 - imported after the registration

__all__ = ["ConformanceSuite", "Harness"]

"""The conformance kit: what every backend must do, as tests that an adapter author runs until they are green.

An adapter's whole test file is one class that opens the database, and one line more::

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

Where there is no URL scheme yet, override `Harness.open` instead of `url`. What the adapter declares in its
`Capabilities` selects the tests: what is declared must work, and what is not must not be there. A test that does not
apply is reported as such, with the ability that is missing.

The kit needs pytest, and Hypothesis for its property tests. Load the plugin in the top-level ``conftest.py``::

    pytest_plugins = ["datastore.conformance.plugin"]

It prints a report by backend and topic, and lets ``-k`` select topics by name (``pytest -k "mydb and expiry"``). A
backend that is named in the ini option ``conformance_backends`` and that did not run, or not with every test of the
kit, fails a complete run: nothing is skipped in silence. The levels of the report:

``full``
    Every test passed, and every one of them applied.
``core``
    Every test that applied passed; some abilities (``persistent``, ``shared``, an optional protocol, an outage that the
    harness can bring about) are not there.
``partial``
    Nothing failed, but only some of the tests ran.
``failed``
    Something failed.
"""

import pytest

# Before they are imported, so that a failing assert shows its values; hence the imports below it (E402).
pytest.register_assert_rewrite("datastore.conformance.topics")

from datastore.conformance.harness import Harness  # noqa: E402
from datastore.conformance.suite import ConformanceSuite  # noqa: E402

__all__ = ["ConformanceSuite", "Harness"]

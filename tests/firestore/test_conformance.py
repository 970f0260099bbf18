"""The kit on the emulator over gRPC, and on a real database if the environment names one."""

import os

import pytest

from datastore.conformance import ConformanceSuite
from tests.firestore.databases import REAL, EmulatorHarness, RealHarness


@pytest.mark.server("firestore")
@pytest.mark.usefixtures("network")
class TestFirestore(ConformanceSuite):
    harness = EmulatorHarness


if os.environ.get(REAL):

    class TestRealFirestore(ConformanceSuite):
        harness = RealHarness
